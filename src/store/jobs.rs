//! Jobs that a Python server left in the database.

use diesel::prelude::*;
use serde_json::Value;

use super::schema::jobs;
use super::{Store, each};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::JobId;
use crate::domain::job::{Job, JobQuery, status_name};
use crate::domain::{Error, Result};

impl Store {
    /// Returns a job.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_job(&self, id: JobId) -> Result<Job> {
        self.read(move |conn| {
            let row: Option<JobRow> = each!(conn, c => jobs::table
                .find(id.as_str())
                .filter(jobs::workspace.eq(DEFAULT_WORKSPACE))
                .select(JobRow::as_select())
                .first(c)
                .optional())?;
            let missing = || Error::not_found(format!("Job with ID {id} not found"));
            row.ok_or_else(missing)?.into_job()
        })
        .await
    }

    /// Returns the jobs that a query asks for, the oldest first.
    ///
    /// Upstream: `SqlAlchemyJobStore.list_jobs`.
    pub async fn search_jobs(&self, query: JobQuery) -> Result<Vec<Job>> {
        let statuses = query.statuses()?;
        self.scan(move |conn| {
            macro_rules! rows {
                ($c:ident) => {{
                    let mut rows = jobs::table
                        .filter(jobs::workspace.eq(DEFAULT_WORKSPACE))
                        .order((jobs::creation_time, jobs::id))
                        .select(JobRow::as_select())
                        .into_boxed();
                    if let Some(name) = &query.job_name {
                        rows = rows.filter(jobs::job_name.eq(name));
                    }
                    if !statuses.is_empty() {
                        rows = rows.filter(jobs::status.eq_any(&statuses));
                    }
                    rows.load($c)
                }};
            }
            let rows: Vec<JobRow> = each!(conn, c => rows!(c))?;
            let mut found = rows.into_iter().map(JobRow::into_job).collect::<Result<Vec<_>>>()?;
            found.retain(|job| query.matches(&job.params));
            Ok(found)
        })
        .await
    }
}

/// A row of `jobs`, as far as it is shown.
#[derive(Queryable, Selectable)]
#[diesel(table_name = jobs)]
struct JobRow {
    id: String,
    creation_time: i64,
    job_name: String,
    params: String,
    timeout: Option<f64>,
    status: i32,
    result: Option<String>,
    retry_count: i32,
    last_update_time: i64,
    status_details: Option<String>,
    creator: Option<String>,
    status_message: Option<String>,
    progress: Option<String>,
    progress_updated_at: Option<i64>,
}

impl JobRow {
    /// Upstream: `mlflow.entities._job.Job`.
    fn into_job(self) -> Result<Job> {
        let json = |text: &str| serde_json::from_str::<Value>(text).map_err(Error::internal);
        let status = status_name(self.status)?;
        let result = match &self.result {
            Some(text) if status == "SUCCEEDED" => json(text)?,
            result => Value::from(result.clone()),
        };
        let has_failed = matches!(status, "FAILED" | "TIMEOUT");
        Ok(Job {
            job_id: self.id,
            creation_time: self.creation_time,
            job_name: self.job_name,
            params: json(&self.params)?,
            timeout: self.timeout,
            status,
            result,
            error_message: self.result.filter(|_| has_failed),
            retry_count: self.retry_count,
            last_update_time: self.last_update_time,
            status_details: self.status_details.as_deref().map(json).transpose()?.unwrap_or_default(),
            creator: self.creator,
            status_message: self.status_message,
            progress: match self.progress.as_deref() {
                None => None,
                Some(text) => serde_json::from_str(text).map_err(Error::internal)?,
            },
            progress_updated_at: self.progress_updated_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::testing::on_each_database;

    #[test]
    fn jobs_of_another_server_are_shown() {
        on_each_database(|store| async move {
            let rows = [
                ("a", 2, "'{\"x\": 1}'", "'{\"completed\": 1}'"),
                ("b", 3, "'went wrong'", "NULL"),
                ("c", 0, "NULL", "'null'"),
            ];
            for (n, (id, status, result, progress)) in rows.into_iter().enumerate() {
                let sql = format!(
                    "INSERT INTO jobs (id, creation_time, job_name, params, status, result, retry_count, \
                     last_update_time, progress) VALUES ('{id}', {n}, 'score', '{{\"n\": {n}}}', {status}, {result}, \
                     0, 5, {progress})"
                );
                store.write(move |conn| Ok(conn.batch_execute(&sql)?)).await.unwrap();
            }
            let done = store.get_job("a".into()).await.unwrap();
            assert_eq!((done.status, &done.result), ("SUCCEEDED", &json!({ "x": 1 })));
            assert_eq!(serde_json::to_value(&done.progress).unwrap()["completed"], json!(1));
            let failed = store.get_job("b".into()).await.unwrap();
            assert_eq!(
                (failed.result, failed.error_message.as_deref()),
                (json!("went wrong"), Some("went wrong"))
            );
            assert_eq!(store.get_job("c".into()).await.unwrap().progress, None);
            for (body, want) in [
                ("{}", "a b c"),
                (r#"{"statuses": ["PENDING", "FAILED"]}"#, "b c"),
                (r#"{"job_name": "other"}"#, ""),
                (r#"{"params": {"n": 1}}"#, "b"),
            ] {
                let found = store.search_jobs(JobQuery::parse(body.as_bytes()).unwrap()).await.unwrap();
                let ids: Vec<_> = found.iter().map(|job| job.job_id.as_str()).collect();
                assert_eq!(ids.join(" "), want, "{body}");
            }
            assert_eq!(store.get_job("d".into()).await.unwrap_err().message, "Job with ID d not found");
        });
    }
}
