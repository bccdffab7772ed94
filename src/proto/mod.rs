//! The messages of the MLflow protocol, generated from `proto/*.proto`; they are the entities of the
//! whole server. Their JSON form is in [`json`].

pub mod json;
pub mod loose;
pub mod otlp;
pub mod outline;
pub mod parse;
pub mod well_known;

pub use generated::*;

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in `snake_case`, under which it is written.
    pub name: &'static str,
    /// Its name in `camelCase`, under which it is read as well.
    pub json_name: &'static str,
    /// The type of its value, or of each of its values.
    pub ty: Type,
    /// Whether it is a list.
    pub is_repeated: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// Text.
    Str,
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits.
    Int64,
    /// A whole number of 32 bits.
    Int32,
    /// A floating point number.
    Double,
    /// A value of an enum.
    Enum(EnumType),
    /// A message with these fields.
    Message(fn() -> &'static [Field]),
    /// A map of texts to values of this type.
    Map(&'static Self),
    /// A text of a certain form.
    Text(fn(&str) -> bool),
    /// Anything else; it is left to serde.
    Other,
}

/// The values of an enum.
#[derive(Debug, Clone, Copy)]
pub struct EnumType {
    /// Finds the number of a name.
    pub number: fn(&str) -> Option<i32>,
    /// Says whether there is a value of that number.
    pub has: fn(i32) -> bool,
}

impl EnumType {
    /// Returns the values of `T`.
    pub const fn of<T: Enumeration>() -> Self {
        Self { number: |name| T::from_name(name).map(Into::into), has: |number| T::try_from(number).is_ok() }
    }
}

/// What the reader of requests must know of a message.
pub trait Fields {
    /// Every field.
    const FIELDS: &'static [Field];

    /// Says whether `field` carries a value: not absent, not an empty string or list.
    fn is_set(&self, field: &str) -> bool;
}

/// Says whether a `T` can be read from a text.
pub fn is_text_of<T: std::str::FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

/// Returns the fields of `T`.
pub const fn fields_of<T: Fields>() -> &'static [Field] {
    T::FIELDS
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
    use super::{EnumType, Enumeration, Field, Fields, Type, fields_of, is_text_of, well_known};

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
