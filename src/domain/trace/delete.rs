//! Which traces are to be deleted.

use crate::domain::{Error, Result, validate};
use crate::proto::DeleteTraces;

/// Traces of one experiment: those named, or the oldest.
#[derive(Debug)]
pub struct Deletion {
    /// The experiment.
    pub experiment_id: i32,
    /// These traces only; all where none are named.
    pub ids: Vec<String>,
    /// Those that began no later, in milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
    /// No more than these.
    pub most: Option<i64>,
}

impl TryFrom<DeleteTraces> for Deletion {
    type Error = Error;

    /// Upstream: `AbstractStore.delete_traces`.
    fn try_from(request: DeleteTraces) -> Result<Self> {
        let (until_ms, most) = (request.max_timestamp_millis, request.max_traces);
        let ids = request.request_ids;
        let refusal = match (until_ms, ids.is_empty()) {
            (None, true) => "Either `max_timestamp_millis` or `trace_ids` must be specified.".to_owned(),
            (Some(_), false) => {
                "Only one of `max_timestamp_millis` and `trace_ids` can be specified.".to_owned()
            }
            (None, false) if most.is_some() => {
                "`max_traces` can't be specified if `trace_ids` is specified.".to_owned()
            }
            _ => match most {
                Some(most) if most <= 0 => {
                    format!("`max_traces` must be a positive integer, received {most}.")
                }
                _ => {
                    let experiment_id =
                        validate::experiment_id(request.experiment_id.as_deref().unwrap_or_default())?;
                    return Ok(Self { experiment_id, ids, until_ms, most: most.map(i64::from) });
                }
            },
        };
        Err(Error::invalid(refusal))
    }
}
