//! Issues: which status and severity there are, and what a change may hold.

use super::ids::ExperimentId;
use super::python::list;
use super::{Error, Result};
use crate::proto::{CreateIssue, UpdateIssue};

const STATUSES: [&str; 3] = ["pending", "rejected", "resolved"];

/// How bad an issue can be, from the least on.
pub const SEVERITIES: [&str; 4] = ["not_an_issue", "low", "medium", "high"];

/// An issue to be stored, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssue {
    /// Where it was found.
    pub experiment_id: ExperimentId,
    /// In few words.
    pub name: String,
    /// In many words.
    pub description: String,
    /// What became of it.
    pub status: String,
    /// How bad it is.
    pub severity: Option<String>,
    /// Why there is an issue.
    pub root_causes: Vec<String>,
    /// What kind of issue it is.
    pub categories: Vec<String>,
    /// The run that found it.
    pub source_run_id: Option<String>,
    /// Who found it.
    pub created_by: Option<String>,
}

impl TryFrom<CreateIssue> for NewIssue {
    type Error = Error;

    /// Upstream: `_create_issue`. Differs: an unknown status or severity is refused with `INVALID_PARAMETER_VALUE`, not
    /// with a 500.
    fn try_from(r: CreateIssue) -> Result<Self> {
        Ok(Self {
            status: known("status", r.status, &STATUSES)?.unwrap_or_else(|| "pending".into()),
            severity: known("severity", r.severity, &SEVERITIES)?,
            experiment_id: ExperimentId::parse(r.experiment_id.as_deref().unwrap_or_default())?,
            name: r.name.unwrap_or_default(),
            description: r.description.unwrap_or_default(),
            root_causes: r.root_causes,
            categories: r.categories,
            source_run_id: r.source_run_id.filter(|id| !id.is_empty()),
            created_by: r.created_by.filter(|name| !name.is_empty()),
        })
    }
}

/// What is changed of an issue, checked; `None` is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueUpdate {
    /// What became of it.
    pub status: Option<String>,
    /// In few words.
    pub name: Option<String>,
    /// In many words.
    pub description: Option<String>,
    /// How bad it is.
    pub severity: Option<String>,
}

impl TryFrom<UpdateIssue> for IssueUpdate {
    type Error = Error;

    /// Upstream: `_update_issue`.
    fn try_from(r: UpdateIssue) -> Result<Self> {
        Ok(Self {
            status: known("status", r.status, &STATUSES)?,
            severity: known("severity", r.severity, &SEVERITIES)?,
            name: r.name.filter(|name| !name.is_empty()),
            description: r.description.filter(|text| !text.is_empty()),
        })
    }
}

fn known(what: &str, given: Option<String>, words: &[&str]) -> Result<Option<String>> {
    match given {
        Some(word) if !words.contains(&word.as_str()) => {
            let message = format!("Invalid issue {what} '{word}'. Valid values are {}", list(words));
            Err(Error::invalid(message))
        }
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_taken() {
        let new = |status: &str, severity: &str| {
            let (status, severity) = (Some(status.to_owned()), Some(severity.to_owned()));
            NewIssue::try_from(CreateIssue { status, severity, ..CreateIssue::default() })
        };
        assert!(new("resolved", "high").is_ok());
        assert!(new("Resolved", "high").is_err());
        assert!(new("pending", "").is_err());
        let plain = NewIssue::try_from(CreateIssue::default()).unwrap();
        assert_eq!((plain.status.as_str(), plain.severity), ("pending", None));
        let update = UpdateIssue { name: Some(String::new()), ..UpdateIssue::default() };
        assert_eq!(IssueUpdate::try_from(update).unwrap().name, None);
    }
}
