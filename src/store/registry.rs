//! Registered models, as far as runs show them.

use std::collections::HashMap;

use diesel::prelude::*;

use super::schema::{model_version_tags, model_versions};
use super::{Store, each};
use crate::domain::Result;
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::proto::{ModelVersion, ModelVersionStatus, ModelVersionTag};
use crate::store::conn::Conn;

/// The stage of a version that was deleted.
const DELETED_STAGE: &str = "Deleted_Internal";

impl Store {
    /// Returns the model versions that come from each of `run_ids`, the last updated first. Two statements.
    ///
    /// Upstream: `SqlAlchemyStore.search_model_versions` with a filter by run.
    pub async fn model_versions_of_runs(
        &self,
        run_ids: Vec<String>,
    ) -> Result<HashMap<String, Vec<ModelVersion>>> {
        self.read(move |conn| model_versions_of_runs_in(conn, &run_ids)).await
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = model_versions)]
struct VersionRow {
    name: String,
    version: i32,
    creation_time: Option<i64>,
    last_updated_time: Option<i64>,
    description: Option<String>,
    user_id: Option<String>,
    current_stage: Option<String>,
    source: Option<String>,
    run_id: Option<String>,
    status: Option<String>,
    status_message: Option<String>,
    run_link: Option<String>,
}

impl VersionRow {
    fn into_message(self, tags: Vec<ModelVersionTag>) -> ModelVersion {
        ModelVersion {
            name: Some(self.name),
            version: Some(self.version.to_string()),
            creation_timestamp: self.creation_time,
            last_updated_timestamp: self.last_updated_time,
            user_id: self.user_id,
            current_stage: self.current_stage,
            description: self.description,
            source: self.source,
            run_id: self.run_id,
            status: self.status.and_then(|s| ModelVersionStatus::from_str_name(&s)).map(i32::from),
            status_message: self.status_message.filter(|text| !text.is_empty()),
            tags,
            run_link: self.run_link,
        }
    }
}

fn model_versions_of_runs_in(
    conn: &mut Conn,
    run_ids: &[String],
) -> Result<HashMap<String, Vec<ModelVersion>>> {
    let rows: Vec<VersionRow> = each!(conn, c => model_versions::table
        .filter(model_versions::workspace.eq(DEFAULT_WORKSPACE))
        .filter(model_versions::run_id.eq_any(run_ids))
        .filter(model_versions::current_stage.ne(DELETED_STAGE))
        .order((
            model_versions::last_updated_time.desc(),
            model_versions::name,
            model_versions::version.desc(),
        ))
        .select(VersionRow::as_select())
        .load(c))?;
    let mut versions: HashMap<String, Vec<ModelVersion>> = HashMap::new();
    let mut tags = tags_of(conn, &rows)?;
    for row in rows {
        let tags = tags.remove(&(row.name.clone(), row.version)).unwrap_or_default();
        versions.entry(row.run_id.clone().unwrap_or_default()).or_default().push(row.into_message(tags));
    }
    Ok(versions)
}

fn tags_of(conn: &mut Conn, versions: &[VersionRow]) -> Result<HashMap<(String, i32), Vec<ModelVersionTag>>> {
    let names: Vec<&str> = versions.iter().map(|row| row.name.as_str()).collect();
    let mut tags: HashMap<(String, i32), Vec<ModelVersionTag>> = HashMap::new();
    if names.is_empty() {
        return Ok(tags);
    }
    let rows: Vec<(String, i32, String, Option<String>)> = each!(conn, c => model_version_tags::table
        .filter(model_version_tags::workspace.eq(DEFAULT_WORKSPACE))
        .filter(model_version_tags::name.eq_any(&names))
        .select((
            model_version_tags::name,
            model_version_tags::version,
            model_version_tags::key,
            model_version_tags::value,
        ))
        .load(c))?;
    for (name, version, key, value) in rows {
        tags.entry((name, version)).or_default().push(ModelVersionTag { key: Some(key), value });
    }
    Ok(tags)
}
