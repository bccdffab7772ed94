//! Filters of trace metrics: one equality each, on a trace, a span or an assessment.

use crate::domain::python::{list, repr};
use crate::domain::trace::{SESSION, TRACE_NAME};
use crate::domain::{Error, Result};
use crate::proto::MetricViewType;
use crate::search::field;
use crate::search::lexer::Kind;
use crate::search::parser::{Comparison, Joining, Operand, Shape};
use crate::search::traces::{SOURCE_RUN, TextMatch, TracePredicate, TraceTest, TraceText, Usage};
use crate::search::{TextOp, TextTest};

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MetricFilter {
    /// Of its trace.
    Trace(TracePredicate),
    /// Of the span or the assessment itself.
    Own(OwnColumn, String),
}

/// Filterable columns of spans and assessments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnColumn {
    /// `span.name`
    SpanName,
    /// `span.status`
    SpanStatus,
    /// `span.type`
    SpanType,
    /// `assessment.name`
    AssessmentName,
    /// `assessment.type`
    AssessmentType,
}

impl OwnColumn {
    /// Returns the view that has it, and the view's name in the language.
    pub(super) const fn view(self) -> (MetricViewType, &'static str) {
        match self {
            Self::SpanName | Self::SpanStatus | Self::SpanType => (MetricViewType::Spans, "span"),
            Self::AssessmentName | Self::AssessmentType => (MetricViewType::Assessments, "assessment"),
        }
    }
}

/// Filterable fields of each view, and whether it takes a key.
const ENTITIES: [(&str, &[(&str, bool)]); 3] = [
    ("trace", &[("status", false), ("tag", true), ("metadata", true)]),
    ("span", &[("name", false), ("status", false), ("type", false)]),
    ("assessment", &[("name", false), ("type", false)]),
];

impl MetricFilter {
    /// Parses a filter: exactly one comparison.
    ///
    /// Upstream: `SearchTraceMetricsUtils`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything else.
    pub(super) fn parse(filter: &str) -> Result<Self> {
        let comparisons = field::comparisons_joined(filter, "", Joining::Nothing)?;
        let read = comparisons.iter().map(Self::read).collect::<Result<Vec<_>>>()?;
        match <[Self; 1]>::try_from(read) {
            Ok([one]) => Ok(one),
            Err(_) => Err(Error::invalid(format!("Invalid filter: '{filter}'. Expected one filter clause."))),
        }
    }

    fn read(comparison: &Comparison<'_>) -> Result<Self> {
        field::check_shape(comparison)?;
        let (view, entity, key) = identifier(comparison.left.text)?;
        if comparison.operator != "=" {
            return Err(Error::invalid(format!(
                "Invalid comparator: '{}', only '=' operator is supported",
                comparison.operator
            )));
        }
        let value = value(entity, comparison.right)?;
        let text = |column, value| TracePredicate::Text(column, is(value));
        Ok(match (view, entity) {
            ("trace", "tag") if key == TRACE_NAME => Self::Trace(text(TraceText::Name, value)),
            ("trace", "tag") => Self::Trace(TracePredicate::Tag(key.to_owned(), is(value))),
            ("trace", "metadata") => Self::Trace(metadata(key, value)),
            ("span", "name") => Self::Own(OwnColumn::SpanName, value),
            ("span", "status") => Self::Own(OwnColumn::SpanStatus, value),
            ("span", _) => Self::Own(OwnColumn::SpanType, value),
            ("assessment", "name") => Self::Own(OwnColumn::AssessmentName, value),
            ("assessment", _) => Self::Own(OwnColumn::AssessmentType, value),
            _ => Self::Trace(text(TraceText::Status, value)),
        })
    }
}

fn metadata(key: &str, value: String) -> TracePredicate {
    match Usage::of_metadata(key) {
        Some(usage) => TracePredicate::Usage(usage, usage.is(&value)),
        None if key == SESSION => TracePredicate::Text(TraceText::Session, is(value)),
        None if key == SOURCE_RUN => TracePredicate::Run(value),
        None => TracePredicate::Metadata(key.to_owned(), is(value)),
    }
}

fn is(value: String) -> TraceTest {
    TraceTest::Value(TextMatch::Text(TextTest { op: TextOp::Eq, value }))
}

/// Returns the view, what of it is asked, and the key, which is empty where none is wanted.
fn identifier(text: &str) -> Result<(&'static str, &'static str, &str)> {
    let mut parts = text.splitn(3, '.');
    let (Some(view), Some(entity), key) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Error::invalid(format!(
            "Invalid identifier {}. Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'.",
            repr(text)
        )));
    };
    let view = view.strip_prefix('`').and_then(|inside| inside.strip_suffix('`')).unwrap_or(view);
    let Some((view, entities)) = ENTITIES.iter().find(|(name, _)| *name == view) else {
        return Err(Error::invalid(format!(
            "Invalid view type '{view}'. Valid values are dict_keys(['trace', 'span', 'assessment'])"
        )));
    };
    let Some((entity, takes_key)) = entities.iter().find(|(name, _)| *name == entity) else {
        let names: Vec<&str> = entities.iter().map(|(name, _)| *name).collect();
        return Err(Error::invalid(format!(
            "Invalid entity '{entity}' specified for view type '{view}'. Valid entities are {}",
            list(&names)
        )));
    };
    match key {
        None if *takes_key => Err(Error::invalid(format!(
            "Filtering by {entity} requires a key, e.g. '{view}.{entity}.<key> = <value>'"
        ))),
        Some(_) if !takes_key => Err(Error::invalid(format!(
            "Filtering by {entity} does not require a key, use '{view}.{entity}' instead"
        ))),
        key => Ok((view, entity, field::unquote(key.unwrap_or_default()))),
    }
}

fn value(entity: &str, right: Option<Operand<'_>>) -> Result<String> {
    match right {
        Some(Operand { shape: Shape::Identifier | Shape::Token(Kind::Text), text }) => {
            field::quoted(text).map(ToOwned::to_owned)
        }
        other => Err(Error::invalid(format!(
            "Expected a quoted string value for {entity} value (e.g. 'my-value'). Got value {}",
            other.map_or("", |operand| operand.text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use TracePredicate as Predicate;

    fn trace(predicate: Predicate) -> MetricFilter {
        MetricFilter::Trace(predicate)
    }

    #[test]
    fn filters_are_read_as_stock_reads_them() {
        for (filter, want) in [
            ("trace.status = 'OK'", trace(Predicate::Text(TraceText::Status, is("OK".into())))),
            ("trace.status = \"OK\"", trace(Predicate::Text(TraceText::Status, is("OK".into())))),
            ("trace.tag.a.b = 'x'", trace(Predicate::Tag("a.b".into(), is("x".into())))),
            ("trace.tag.mlflow.traceName = 'x'", trace(Predicate::Text(TraceText::Name, is("x".into())))),
            ("trace.metadata.`mlflow.sourceRun` = \"r\"", trace(Predicate::Run("r".into()))),
            (
                "trace.metadata.mlflow.trace.session = 's'",
                trace(Predicate::Text(TraceText::Session, is("s".into()))),
            ),
            ("span.type = 'TOOL'", MetricFilter::Own(OwnColumn::SpanType, "TOOL".into())),
            ("assessment.name = 'a'", MetricFilter::Own(OwnColumn::AssessmentName, "a".into())),
        ] {
            assert_eq!(MetricFilter::parse(filter).unwrap(), want, "{filter}");
        }
    }

    #[test]
    fn bad_filters_are_refused_in_the_words_of_stock() {
        for (filter, want) in [
            ("", "Invalid filter: ''. Expected one filter clause."),
            ("trace.status = 'OK' AND span.type = 'x'", "Invalid clause(s) in filter string: AND"),
            ("span.type IN ('x')", "Invalid clause(s) in filter string: span.type, IN, ('x')"),
            ("trace.status != 'OK'", "Invalid comparator: '!=', only '=' operator is supported"),
            (
                "trace.status = 5",
                "Expected a quoted string value for status value (e.g. 'my-value'). Got value 5",
            ),
            (
                "status = 'OK'",
                "Invalid identifier 'status'. Columns should be specified as 'trace.<key>', 'span.<key>', \
                 'assessment.<key>'.",
            ),
            (
                "run.id = 'x'",
                "Invalid view type 'run'. Valid values are dict_keys(['trace', 'span', 'assessment'])",
            ),
            (
                "trace.name = 'x'",
                "Invalid entity 'name' specified for view type 'trace'. Valid entities are ['status', 'tag', \
                 'metadata']",
            ),
            ("trace.tag = 'x'", "Filtering by tag requires a key, e.g. 'trace.tag.<key> = <value>'"),
            ("span.name.x = 'x'", "Filtering by name does not require a key, use 'span.name' instead"),
        ] {
            assert_eq!(MetricFilter::parse(filter).unwrap_err().message, want, "{filter}");
        }
    }
}
