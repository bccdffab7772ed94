//! Ids and names as types of their own, so that no two of them can be swapped on the way from a request to the database.
//! A text id holds what the client wrote; whether such a thing exists is for the store to say.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize, Serializer};

use super::{Result, validate};

/// Defines ids that are texts. One that is not given is empty, which no row is.
macro_rules! text_ids {
    ($($(#[$doc:meta])+ $name:ident)+) => {
        $(
            $(#[$doc])+
            #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// Returns the text.
                pub const fn as_str(&self) -> &str {
                    self.0.as_str()
                }
            }

            impl Deref for $name {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl From<String> for $name {
                fn from(text: String) -> Self {
                    Self(text)
                }
            }

            impl From<&str> for $name {
                fn from(text: &str) -> Self {
                    Self(text.to_owned())
                }
            }

            impl From<Option<String>> for $name {
                fn from(text: Option<String>) -> Self {
                    Self(text.unwrap_or_default())
                }
            }
        )+
    };
}

text_ids! {
    /// A run.
    RunId
    /// A logged model.
    LoggedModelId
    /// The name of a registered model, which is its key.
    ModelName
    /// A name of a version of a registered model.
    ModelAlias
    /// The number of a version of a registered model, before it is read: webhooks repeat it as it was written.
    VersionText
    /// A trace.
    TraceId
    /// An assessment of a trace.
    AssessmentId
    /// An evaluation dataset.
    EvaluationDatasetId
    /// A label schema.
    LabelSchemaId
    /// A review queue.
    ReviewQueueId
    /// An issue.
    IssueId
    /// A job.
    JobId
    /// A webhook.
    WebhookId
    /// The name of an MCP server, which is its key.
    McpServerName
    /// A version of an MCP server.
    McpVersion
    /// A name of a version of an MCP server.
    McpAlias
    /// An access endpoint of an MCP server.
    McpEndpointId
    /// A secret of the gateway.
    GatewaySecretId
    /// An endpoint of the gateway.
    GatewayEndpointId
    /// A model definition of the gateway.
    ModelDefinitionId
    /// A guardrail of the gateway.
    GuardrailId
    /// A budget policy of the gateway.
    BudgetPolicyId
}

/// An experiment: its number, and how it was written, which messages repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentId {
    number: i32,
    written: String,
}

impl ExperimentId {
    /// Reads an id; an empty one is the default experiment.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything but a whole number, `RESOURCE_DOES_NOT_EXIST` beyond the column's type.
    pub fn parse(text: &str) -> Result<Self> {
        let number = if text.is_empty() { 0 } else { validate::experiment_id(text)? };
        Ok(Self { number, written: text.to_owned() })
    }

    /// Returns the number, as it is stored.
    pub const fn number(&self) -> i32 {
        self.number
    }

    /// Returns the id as it was written.
    pub const fn as_str(&self) -> &str {
        self.written.as_str()
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Serialize for ExperimentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

/// Tests name experiments by the text that their creation returned.
#[cfg(test)]
impl From<String> for ExperimentId {
    fn from(text: String) -> Self {
        Self::parse(&text).unwrap()
    }
}

#[cfg(test)]
impl From<&str> for ExperimentId {
    fn from(text: &str) -> Self {
        Self::parse(text).unwrap()
    }
}

/// A tag: its key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

#[cfg(test)]
impl From<(&str, &str)> for Tag {
    fn from((key, value): (&str, &str)) -> Self {
        Self { key: key.to_owned(), value: value.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_are_numbers_that_messages_repeat_as_they_were_written() {
        for (text, number) in [("12", 12), (" 1_2 ", 12), ("", 0), ("-1", -1)] {
            let id = ExperimentId::parse(text).unwrap();
            assert_eq!((id.number(), id.to_string().as_str()), (number, text));
        }
        for text in ["x", "1.0", " "] {
            assert!(ExperimentId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_that_is_not_given_is_empty() {
        assert_eq!(RunId::from(None::<String>), RunId::from(""));
    }
}
