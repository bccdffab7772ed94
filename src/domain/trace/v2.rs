//! What is known of a trace, in the second version of the interface.

use crate::proto::trace_info_v3::State;
use crate::proto::{TraceInfo, TraceInfoV3, TraceRequestMetadata, TraceStatus, TraceTag};

/// Upstream: `TraceInfoV2.from_v3` and `to_proto`.
impl From<TraceInfoV3> for TraceInfo {
    fn from(info: TraceInfoV3) -> Self {
        let status = match info.state() {
            State::Ok => TraceStatus::Ok,
            State::Error => TraceStatus::Error,
            State::InProgress => TraceStatus::InProgress,
            State::Unspecified => TraceStatus::Unspecified,
        };
        let location = info.trace_location.and_then(|location| location.mlflow_experiment);
        let metadata = info.trace_metadata.into_iter();
        let tags = info.tags.into_iter();
        Self {
            request_id: info.trace_id,
            experiment_id: location.and_then(|experiment| experiment.experiment_id),
            timestamp_ms: info.request_time.map(|time| time.millis()),
            execution_time_ms: Some(info.execution_duration.map_or(0, |duration| duration.millis())),
            status: Some(status.into()),
            request_metadata: metadata
                .map(|(key, value)| TraceRequestMetadata { key: Some(key), value: Some(value) })
                .collect(),
            tags: tags.map(|(key, value)| TraceTag { key: Some(key), value: Some(value) }).collect(),
        }
    }
}
