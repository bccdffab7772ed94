//! Jobs that a Python server left in the database, as they are shown. This server runs none.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Error, Result};
use crate::proto::json::Object;

/// What became of a job, in the order of the numbers that are stored.
pub const STATUSES: [&str; 7] =
    ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "TIMEOUT", "CANCELED", "NEEDS_RECOVERY"];

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// Its id.
    pub job_id: String,
    /// In milliseconds since the Unix epoch.
    pub creation_time: i64,
    /// What it does.
    pub job_name: String,
    /// What it was given.
    pub params: Value,
    /// After how many seconds it ends.
    pub timeout: Option<f64>,
    /// One of [`STATUSES`].
    pub status: &'static str,
    /// What came out: a value of one that succeeded, a text of another.
    pub result: Value,
    /// What went wrong.
    pub error_message: Option<String>,
    /// How often it was tried again.
    pub retry_count: i32,
    /// In milliseconds since the Unix epoch.
    pub last_update_time: i64,
    /// What else is known of the status.
    pub status_details: Value,
    /// Who asked for it.
    pub creator: Option<String>,
    /// How it goes, for people.
    pub status_message: Option<String>,
    /// How it goes, for programs.
    pub progress: Option<Progress>,
    /// When that was said, in milliseconds since the Unix epoch.
    pub progress_updated_at: Option<i64>,
}

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    phase: Value,
    completed: Value,
    total: Value,
    unit: Value,
}

/// A job as the pages of experiments ask for it.
#[derive(Debug, Serialize)]
pub struct JobState {
    status: &'static str,
    result: Value,
    error_message: Option<String>,
    status_details: Value,
    status_message: Option<String>,
    progress: Value,
    progress_updated_at: Option<i64>,
}

impl From<Job> for JobState {
    fn from(job: Job) -> Self {
        Self {
            progress: job.progress.map_or(Value::Null, Progress::known),
            status: job.status,
            result: job.result,
            error_message: job.error_message,
            status_details: job.status_details,
            status_message: job.status_message,
            progress_updated_at: job.progress_updated_at,
        }
    }
}

impl Progress {
    /// Returns what is known only.
    fn known(self) -> Value {
        let fields = [
            ("phase", self.phase),
            ("completed", self.completed),
            ("total", self.total),
            ("unit", self.unit),
        ];
        let known = fields.into_iter().filter(|(_, value)| !value.is_null());
        Value::Object(known.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Returns the name of a stored status.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`, as in stock, for a number that is none.
pub fn status_name(number: i32) -> Result<&'static str> {
    let name = usize::try_from(number).ok().and_then(|number| STATUSES.get(number));
    name.copied().ok_or_else(|| {
        Error::invalid(format!("The value {number} can't be converted to JobStatus enum value."))
    })
}

/// Which jobs are searched.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct JobQuery {
    /// What they do.
    pub job_name: Option<String>,
    /// What they were given, among other things.
    pub params: Option<Map<String, Value>>,
    statuses: Option<Vec<String>>,
}

impl JobQuery {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything else; stock answers 422.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let Object(query) = serde_json::from_slice::<Object<Self>>(body)
            .map_err(|e| Error::invalid(format!("The search of jobs cannot be read: {e}")))?;
        query.statuses().map(|_| query)
    }

    /// Returns the numbers of the statuses that are asked for; none for all.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for one that does not exist.
    pub fn statuses(&self) -> Result<Vec<i32>> {
        let numbers: HashMap<&str, i32> = STATUSES.into_iter().zip(0..).collect();
        let number = |name: &String| {
            let unknown = || Error::invalid(format!("'{name}' is no status of a job"));
            numbers.get(name.as_str()).copied().ok_or_else(unknown)
        };
        self.statuses.iter().flatten().map(number).collect()
    }

    /// Says whether a job was given what is asked for.
    pub fn matches(&self, params: &Value) -> bool {
        self.params.iter().flatten().all(|(name, value)| params.get(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn searches_are_read() {
        let query = JobQuery::parse(br#"{"statuses": ["PENDING", "FAILED"], "params": {"a": 1}}"#).unwrap();
        assert_eq!(query.statuses().unwrap(), [0, 3]);
        assert!(query.matches(&json!({ "a": 1, "b": 2 })));
        assert!(!query.matches(&json!({ "a": 2 })));
        assert!(JobQuery::parse(b"{}").unwrap().matches(&json!({})));
        for text in ["", "[]", r#"{"statuses": ["DONE"]}"#, r#"{"params": 5}"#] {
            assert!(JobQuery::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn only_known_progress_is_shown() {
        let progress: Progress = serde_json::from_value(json!({ "completed": 3, "other": 1 })).unwrap();
        assert_eq!(progress.clone().known(), json!({ "completed": 3 }));
        let whole = json!({ "phase": null, "completed": 3, "total": null, "unit": null });
        assert_eq!(serde_json::to_value(progress).unwrap(), whole);
        assert_eq!((status_name(6).unwrap(), status_name(7).is_err()), ("NEEDS_RECOVERY", true));
    }
}
