//! The messages of the MLflow protocol, generated from `proto/*.proto`; they are the entities of the
//! whole server. Their JSON form is in [`json`].

pub mod json;

pub use generated::*;

/// How a field takes its value from a query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// One value.
    Single,
    /// One `true` or `false`.
    Bool,
    /// Every value of that name.
    Repeated,
}

/// What the reader of requests must know of a message.
pub trait Fields {
    /// Name and kind of every field.
    const FIELDS: &'static [(&'static str, FieldKind)];

    /// Says whether `field` carries a value: not absent, not an empty string or list.
    fn is_set(&self, field: &str) -> bool;
}

/// An enum of the protocol, known by the names of its values.
pub trait Enumeration: TryFrom<i32> + Copy + Into<i32> {
    /// Returns the name that stands in JSON.
    fn name(self) -> &'static str;
    /// Finds the value of that name.
    fn from_name(name: &str) -> Option<Self>;
}

#[expect(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
mod generated {
    use super::{Enumeration, FieldKind, Fields};

    include!(concat!(env!("OUT_DIR"), "/mlflow.rs"));
    include!(concat!(env!("OUT_DIR"), "/impls.rs"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Serialize, de::DeserializeOwned};

    use super::{LogBatch, Metric, Param, Run, RunInfo, RunTag};

    fn metric() -> impl Strategy<Value = Metric> {
        (any::<Option<String>>(), any::<Option<f64>>(), any::<Option<i64>>(), any::<Option<i64>>()).prop_map(
            |(key, value, timestamp, step)| Metric { key, value, timestamp, step, ..Metric::default() },
        )
    }

    fn batch() -> impl Strategy<Value = LogBatch> {
        let param = any::<(Option<String>, Option<String>)>().prop_map(|(key, value)| Param { key, value });
        let tag = any::<(Option<String>, Option<String>)>().prop_map(|(key, value)| RunTag { key, value });
        let lists = (
            prop::collection::vec(metric(), 0..4),
            prop::collection::vec(param, 0..4),
            prop::collection::vec(tag, 0..4),
        );
        (any::<Option<String>>(), lists).prop_map(|(run_id, (metrics, params, tags))| LogBatch {
            run_id,
            metrics,
            params,
            tags,
        })
    }

    fn round_trip<T: Serialize + DeserializeOwned>(message: &T) -> (String, String) {
        let json = serde_json::to_string(message).unwrap();
        let back: T = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {json}"));
        (serde_json::to_string(&back).unwrap(), json)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(batch in batch(), status in 1..=5_i32, end_time in any::<Option<i64>>()) {
            let (back, json) = round_trip(&batch);
            prop_assert_eq!(back, json);
            let info = RunInfo { status: Some(status), end_time, run_name: batch.run_id, ..RunInfo::default() };
            let (back, json) = round_trip(&Run { info: Some(info), ..Run::default() });
            prop_assert_eq!(back, json);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(serde_json::from_slice::<LogBatch>(&bytes));
        }
    }
}
