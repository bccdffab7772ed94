//! What is said about traces: who says it, and what: a finding, an expectation or an issue.
//!
//! Upstream: `mlflow.entities.assessment`.

use std::collections::BTreeMap;

use serde_json::Value as Tree;

use crate::domain::ids::AssessmentId;
use crate::domain::time::now_ms;
use crate::domain::{Error, Result, python};
use crate::proto::assessment_source::SourceType;
use crate::proto::loose::Json;
use crate::proto::outline::is_readable;
use crate::proto::well_known::Value;
use crate::proto::{Assessment, AssessmentError, AssessmentSource, Expectation, Feedback, UpdateAssessment};

/// The metadata with the run that made an assessment.
const SOURCE_RUN: &str = "mlflow.assessment.sourceRunId";

/// Which of the three an assessment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was found.
    Feedback,
    /// What should have been.
    Expectation,
    /// A reference to an issue.
    Issue,
}

impl Kind {
    /// Returns the name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Expectation => "expectation",
            Self::Issue => "issue",
        }
    }
}

/// An assessment as it is stored.
#[derive(Debug, Clone)]
pub struct AssessmentValue {
    /// Its id.
    pub id: AssessmentId,
    /// Its name; of an issue the issue's id.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its value, as JSON.
    pub value: String,
    /// Why there is no value, as JSON.
    pub error: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it was changed last.
    pub updated_ms: i64,
    /// What kind of judge made it.
    pub source_type: &'static str,
    /// Which one.
    pub source_id: Option<String>,
    /// The run in which it was made.
    pub run_id: Option<String>,
    /// The span that it is about.
    pub span_id: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// The assessment that it stands for.
    pub overrides: Option<AssessmentId>,
    /// Its metadata, as JSON.
    pub metadata: Option<String>,
}

impl AssessmentValue {
    /// Returns the number that statistics count, and whether the value is one itself. Upstream: `assessment_aggregate`.
    pub fn aggregate(&self) -> (Option<f64>, bool) {
        aggregate(&self.value)
    }
}

/// Returns the number that statistics count for a value, and whether the value is one itself.
pub fn aggregate(json: &str) -> (Option<f64>, bool) {
    if json.starts_with(['[', '{']) {
        return (None, false);
    }
    match serde_json::from_str(json) {
        Ok(Tree::Bool(value)) => (Some(if value { 1.0 } else { 0.0 }), false),
        Ok(Tree::Number(number)) => {
            let number = number.as_f64().filter(|number| number.is_finite());
            (number, number.is_some())
        }
        Ok(Tree::String(text)) => match text.trim().to_lowercase().as_str() {
            "yes" => (Some(1.0), false),
            "no" => (Some(0.0), false),
            _ => (None, false),
        },
        _ => (None, false),
    }
}

/// Writes the value of a finding and why there is none.
pub fn feedback_json(feedback: &Feedback) -> (String, Option<String>) {
    let value = feedback.value.as_ref().map_or_else(|| "null".to_owned(), |value| value.json.clone());
    (value, feedback.error.as_ref().map(error_json))
}

fn error_json(error: &AssessmentError) -> String {
    let optional = |text: &Option<String>| {
        text.as_deref().filter(|text| !text.is_empty()).map_or_else(|| "null".to_owned(), python::json_string)
    };
    format!(
        "{{\"error_code\": {}, \"error_message\": {}, \"stack_trace\": {}}}",
        python::json_string(error.error_code()),
        optional(&error.error_message),
        optional(&error.stack_trace)
    )
}

/// Writes the value of an expectation.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for no value, and for one that is written in an unknown way.
pub fn expectation_json(expectation: &Expectation) -> Result<String> {
    let json = match &expectation.serialized_value {
        Some(serialized) if serialized.serialization_format() != "JSON_FORMAT" => {
            return Err(Error::invalid(format!(
                "Unknown serialization format: {}. Only JSON_FORMAT is supported.",
                serialized.serialization_format()
            )));
        }
        Some(serialized) => {
            let json = Some(serialized.value()).filter(|text| is_readable(text));
            let json = json.and_then(|text| Json::parse(text.as_bytes()));
            // A number that is none could be kept, but never be read again.
            json.filter(|json| !matches!(json, Json::Float(value) if !value.is_finite()))
                .ok_or_else(|| Error::invalid("The `serialized_value` of an expectation must be JSON."))?
                .dumps_spaced()
        }
        None => {
            expectation.value.as_ref().map_or_else(|| "null".to_owned(), |value: &Value| value.json.clone())
        }
    };
    if json == "null" {
        return Err(Error::invalid("The `value` field must be specified."));
    }
    Ok(json)
}

/// What of an assessment is changed; `None` leaves it.
#[derive(Debug, Default)]
pub struct AssessmentUpdate {
    /// Its name.
    pub name: Option<String>,
    /// What was found: value and error, as JSON.
    pub feedback: Option<(String, Option<String>)>,
    /// What should have been, as JSON.
    pub expectation: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// Metadata, beside and over what is there.
    pub metadata: BTreeMap<String, String>,
}

impl TryFrom<UpdateAssessment> for AssessmentUpdate {
    type Error = Error;

    /// Takes what the mask names. Upstream: `_update_assessment`.
    fn try_from(request: UpdateAssessment) -> Result<Self> {
        let given = request.assessment.unwrap_or_default();
        let mut update = Self::default();
        for path in request.update_mask.unwrap_or_default().paths {
            match path.as_str() {
                "assessment_name" => update.name = Some(given.assessment_name().to_owned()),
                "feedback" => {
                    update.feedback = Some(feedback_json(&given.feedback.clone().unwrap_or_default()));
                }
                "expectation" => {
                    update.expectation =
                        Some(expectation_json(&given.expectation.clone().unwrap_or_default())?);
                }
                "rationale" => update.rationale = Some(given.rationale().to_owned()),
                "metadata" => update.metadata.clone_from(&given.metadata),
                "valid" => {
                    return Err(Error::invalid(
                        "Whether an assessment is valid follows from what overrides it.",
                    ));
                }
                _ => {}
            }
        }
        if update.expectation.is_some() && update.feedback.is_some() {
            return Err(Error::invalid("Cannot specify both `expectation` and `feedback` parameters."));
        }
        Ok(update)
    }
}

/// Writes metadata; none where there is nothing.
pub fn metadata_json(metadata: &BTreeMap<String, String>) -> Option<String> {
    let pair = |(key, value): (&String, &String)| {
        format!("{}: {}", python::json_string(key), python::json_string(value))
    };
    let pairs: Vec<String> = metadata.iter().map(pair).collect();
    (!pairs.is_empty()).then(|| format!("{{{}}}", pairs.join(", ")))
}

/// Draws an id that sorts behind all that this process drew before: PostgreSQL lists assessments of one moment by their
/// ids, and has nothing else that tells which came first.
fn new_id() -> String {
    format!("a-{}", uuid::Uuid::now_v7().simple())
}

impl TryFrom<Assessment> for AssessmentValue {
    type Error = Error;

    /// Upstream: `Assessment.from_proto`, `SqlAssessments.from_mlflow_entity`.
    fn try_from(message: Assessment) -> Result<Self> {
        let (kind, value, error) = if let Some(feedback) = &message.feedback {
            let (value, error) = feedback_json(feedback);
            (Kind::Feedback, value, error)
        } else if let Some(expectation) = &message.expectation {
            (Kind::Expectation, expectation_json(expectation)?, None)
        } else if let Some(issue) = &message.issue {
            (Kind::Issue, format!("{{\"issue_name\": {}}}", python::json_string(issue.issue_name())), None)
        } else {
            return Err(Error::invalid("Unknown assessment type: None"));
        };
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let now = now_ms();
        let source = message.source.unwrap_or_default();
        let source_type = AssessmentSource::source_type(&source);
        Ok(Self {
            id: set(message.assessment_id).unwrap_or_else(new_id).into(),
            name: message.assessment_name.unwrap_or_default(),
            kind,
            value,
            error,
            created_ms: message
                .create_time
                .map(|time| time.millis())
                .filter(|time| *time != 0)
                .unwrap_or(now),
            updated_ms: message
                .last_update_time
                .map(|time| time.millis())
                .filter(|time| *time != 0)
                .unwrap_or(now),
            source_type: SourceType::as_str_name(&source_type),
            source_id: set(source.source_id),
            run_id: message.metadata.get(SOURCE_RUN).cloned(),
            span_id: set(message.span_id),
            // Expectations have none, and are only made, never in the place of another.
            rationale: set(message.rationale).filter(|_| kind != Kind::Expectation),
            overrides: set(message.overrides).filter(|_| kind == Kind::Feedback).map(AssessmentId::from),
            metadata: metadata_json(&message.metadata),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(json: Tree) -> Result<AssessmentValue> {
        AssessmentValue::try_from(serde_json::from_value::<Assessment>(json).unwrap())
    }

    #[test]
    fn values_are_stored_as_python_writes_them() {
        for (value, want, number) in [
            (json!(5), "5.0", (Some(5.0), true)),
            (json!(true), "true", (Some(1.0), false)),
            (json!(" Yes "), "\" Yes \"", (Some(1.0), false)),
            (json!("maybe"), "\"maybe\"", (None, false)),
            (json!(null), "null", (None, false)),
            (json!({ "b": [1] }), "{\"b\": [1.0]}", (None, false)),
        ] {
            let made = made(json!({ "assessment_name": "n", "feedback": { "value": value } })).unwrap();
            assert_eq!((made.value.as_str(), made.aggregate()), (want, number));
        }
        let serialized = json!({ "serialization_format": "JSON_FORMAT", "value": "[1]" });
        let wanted = made(json!({ "expectation": { "serialized_value": serialized } })).unwrap();
        assert_eq!((wanted.value.as_str(), wanted.kind), ("[1]", Kind::Expectation));
        let error = json!({ "error_code": "E" });
        let failed = made(json!({ "feedback": { "error": error } })).unwrap();
        let want = r#"{"error_code": "E", "error_message": null, "stack_trace": null}"#;
        assert_eq!(failed.error.as_deref(), Some(want));
    }

    #[test]
    fn ids_sort_in_the_order_of_making() {
        let ids: Vec<String> = (0..10_000).map(|_| new_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_is_no_assessment_is_refused() {
        for (json, want) in [
            (json!({}), "Unknown assessment type: None"),
            (json!({ "expectation": {} }), "The `value` field must be specified."),
        ] {
            assert_eq!(made(json).unwrap_err().message, want);
        }
    }
}
