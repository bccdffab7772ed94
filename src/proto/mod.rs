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
