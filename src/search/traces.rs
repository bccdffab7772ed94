//! Search of traces: its entities, attributes and operators. The parsing of its identifiers and values is in
//! `traces/read.rs`.

mod order;
mod read;
mod usage;

use super::field::{self, set};
use super::{MAX_CLAUSES, Membership, Number, NumberOp, TextTest};
use crate::domain::trace::{SESSION, TRACE_NAME};
use crate::domain::{Error, Result};
use read::{Condition, Entity, Value};

pub use order::{TraceOrder, TraceOrderKey};
pub use usage::{Usage, UsageTest};

/// A validated filter and order over traces: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceQuery {
    /// The filter.
    pub filter: TraceFilter,
    /// The total order; the unique id breaks ties.
    pub order: Vec<TraceOrder>,
}

/// Conditions, joined by AND.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceFilter {
    /// Conditions on the trace.
    pub predicates: Vec<TracePredicate>,
    /// Conditions on one and the same span.
    pub span: Vec<SpanPredicate>,
    /// Lower bound on the start of such a span, in milliseconds.
    pub span_since_ms: Option<i64>,
}

/// One condition on a trace.
#[derive(Debug, Clone, PartialEq)]
pub enum TracePredicate {
    /// A time or a duration in milliseconds.
    Time(TraceTime, NumberOp, Number),
    /// A text column.
    Text(TraceText, TraceTest),
    /// A tag.
    Tag(String, TraceTest),
    /// A metadata entry.
    Metadata(String, TraceTest),
    /// Metadata that is kept as numbers.
    Usage(Usage, UsageTest),
    /// The run that it was made in or that it is linked to.
    Run(String),
    /// A version of a prompt that it is linked to: `name/version`.
    Prompt(String),
    /// An issue that refers to it, by the issue's id.
    Issue(String),
    /// An assessment of the trace, or of its session.
    Assessment {
        /// Its kind.
        kind: AssessmentKind,
        /// Its name.
        name: String,
        /// The test.
        test: AssessmentTest,
    },
}

/// The numeric attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceTime {
    /// `timestamp_ms`, also called `timestamp`.
    Start,
    /// `execution_time_ms`, also called `execution_time`.
    Duration,
    /// `end_time_ms`, also called `end_time`: the sum of the other two.
    End,
}

/// The text columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceText {
    /// `request_id`
    Id,
    /// `client_request_id`
    ClientId,
    /// `status`
    Status,
    /// `name`, which is also the tag `mlflow.traceName`.
    Name,
    /// The metadata `mlflow.trace.session`.
    Session,
}

/// The metadata that names the run of a trace.
pub const SOURCE_RUN: &str = "mlflow.sourceRun";
const PROMPTS_TAG: &str = "mlflow.linkedPrompts";

/// A test of an optional text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceTest {
    /// It exists and matches.
    Value(TextMatch),
    /// `IS NOT NULL`
    Present,
    /// `IS NULL`
    Absent,
}

/// A text comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// With one text.
    Text(TextTest),
    /// With a list, which is never empty.
    List(Membership, Vec<String>),
    /// `RLIKE`: a regular expression in the database's dialect.
    Regex(String),
}

/// One condition on a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanPredicate {
    /// The column.
    pub column: SpanColumn,
    /// The test.
    pub test: TextMatch,
}

/// The filterable columns of a span. Attributes are searched in the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanColumn {
    /// `name`
    Name,
    /// `type`
    Type,
    /// `status`
    Status,
    /// `content`: the whole span as JSON.
    Content,
}

/// The kinds of assessments that can be filtered by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssessmentKind {
    /// `feedback`
    Feedback,
    /// `expectation`
    Expectation,
}

/// A test of an assessment.
#[derive(Debug, Clone, PartialEq)]
pub enum AssessmentTest {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// Its value is this text, raw or as JSON.
    Is(String),
    /// Its value is something else.
    IsNot(String),
    /// The JSON of its value matches; never a list.
    Like(TextMatch),
    /// Its value is a number and compares so.
    Number(NumberOp, Number),
}

const TAG_OPS: [&str; 7] = ["!=", "=", "LIKE", "ILIKE", "RLIKE", "IS NULL", "IS NOT NULL"];
const TEXT_OPS: [&str; 7] = ["!=", "=", "IN", "NOT IN", "LIKE", "ILIKE", "RLIKE"];
const CONTENT_OPS: [&str; 2] = ["LIKE", "ILIKE"];
const ASSESSMENT_OPS: [&str; 11] =
    ["!=", "=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "RLIKE", "IS NULL", "IS NOT NULL"];

/// Clock skew: how far a span may begin before its trace.
const SPAN_TOLERANCE_MS: i64 = 10_000;

impl TraceQuery {
    /// Parses a filter (empty for none) and an `order_by`; the default is newest first.
    ///
    /// Upstream: `SqlAlchemyStore.search_traces`, which reads the order first.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have; `INTERNAL_ERROR`, as in stock, for
    /// a duplicate key in the order.
    pub fn parse(filter: &str, order_by: &[String]) -> Result<Self> {
        let order = order::parse(order_by)?;
        let filter = TraceFilter::parse(filter)?;
        if filter.predicates.len() + filter.span.len() + order.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!(
                "A search can have at most {MAX_CLAUSES} comparisons and order_by clauses together"
            )));
        }
        Ok(Self { filter, order })
    }
}

impl TraceFilter {
    /// Parses a filter, which is empty for none. Of several runs the last one wins.
    ///
    /// Upstream: `SearchTraceUtils.parse_search_filter_for_search_traces` and
    /// `_get_filter_clauses_for_search_traces`. Differs where stock answers 500: a list after an operator
    /// that takes none, and a time compared with a non-numeric text, are refused with
    /// `INVALID_PARAMETER_VALUE`. Differs in that `feedback.name` and the like are assessments of that name;
    /// stock takes them for the attributes.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have.
    pub fn parse(filter: &str) -> Result<Self> {
        let mut read = Self::default();
        let mut since: Option<i64> = None;
        for condition in read::conditions(filter)? {
            let condition = condition.with_aliases();
            if let (Entity::Attribute, "timestamp_ms", ">" | ">=", Value::Number(number)) =
                (condition.entity, condition.key.as_ref(), condition.operator.as_str(), &condition.value)
            {
                since = since.max(Some(whole(*number)));
            }
            read.add(condition)?;
        }
        if read.predicates.len() + read.span.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!("A search can have at most {MAX_CLAUSES} comparisons")));
        }
        read.span_since_ms =
            since.filter(|_| !read.span.is_empty()).map(|ms| ms.saturating_sub(SPAN_TOLERANCE_MS));
        Ok(read)
    }

    fn add(&mut self, condition: Condition<'_>) -> Result<()> {
        let predicate = match condition.entity {
            Entity::Attribute => attribute(condition)?,
            Entity::Tag => tag(condition)?,
            Entity::Metadata if condition.key == SOURCE_RUN && condition.operator == "=" => {
                self.predicates.retain(|before| !matches!(before, TracePredicate::Run(_)));
                TracePredicate::Run(condition.text("run")?)
            }
            Entity::Metadata => metadata(condition)?,
            Entity::Span => {
                self.span.push(span(condition)?);
                return Ok(());
            }
            Entity::Feedback => assessment(AssessmentKind::Feedback, condition)?,
            Entity::Expectation => assessment(AssessmentKind::Expectation, condition)?,
            Entity::Issue => issue(&condition)?,
        };
        self.predicates.push(predicate);
        Ok(())
    }
}

/// Rounds down to an integer.
#[expect(clippy::cast_possible_truncation, reason = "saturates, as wanted of a time")]
fn whole(number: Number) -> i64 {
    match number {
        Number::Int(whole) => whole,
        Number::Float(float) => float.floor() as i64,
    }
}

/// Upstream: `SearchTraceUtils.is_attribute`.
fn attribute(condition: Condition<'_>) -> Result<TracePredicate> {
    let operator = condition.operator.as_str();
    let refused = |end: &str| {
        Error::invalid(format!("Invalid comparator '{operator}' not one of '{}{end}", set(&TEXT_OPS)))
    };
    if let Some(column) = read::time(&condition.key) {
        let op = field::number_op(operator).ok_or_else(|| refused(""))?;
        return Ok(TracePredicate::Time(column, op, condition.number()?));
    }
    let column = match condition.key.as_ref() {
        "request_id" => TraceText::Id,
        "client_request_id" => TraceText::ClientId,
        _ => TraceText::Status,
    };
    if !TEXT_OPS.contains(&operator) {
        return Err(refused("'"));
    }
    Ok(TracePredicate::Text(column, TraceTest::Value(text_match(condition)?)))
}

/// Upstream: `SearchTraceUtils.is_tag`.
fn tag(condition: Condition<'_>) -> Result<TracePredicate> {
    let operator = condition.operator.as_str();
    if !TAG_OPS.contains(&operator) {
        return Err(Error::invalid(format!("Invalid comparator '{operator}' not one of '{}", set(&TAG_OPS))));
    }
    if condition.key == PROMPTS_TAG {
        return prompt(&condition);
    }
    let key = condition.key.clone().into_owned();
    let test = key_test(condition)?;
    Ok(if key == TRACE_NAME {
        TracePredicate::Text(TraceText::Name, test)
    } else {
        TracePredicate::Tag(key, test)
    })
}

fn prompt(condition: &Condition<'_>) -> Result<TracePredicate> {
    if condition.operator != "=" {
        return Err(Error::invalid(format!(
            "Invalid comparator '{}' for prompts filter. Only '=' is supported with format: prompt = \
             \"name/version\"",
            condition.operator
        )));
    }
    let value = condition.text("prompts")?;
    if value.matches('/').count() == 1 {
        return Ok(TracePredicate::Prompt(value));
    }
    Err(Error::invalid(format!(
        "Invalid prompts filter value '{value}'. Expected format: prompt = \"name/version\""
    )))
}

/// Upstream: `SearchTraceUtils.is_request_metadata`, `get_trace_analytics_metadata_filter`.
fn metadata(condition: Condition<'_>) -> Result<TracePredicate> {
    let operator = condition.operator.as_str();
    if !TAG_OPS.contains(&operator) {
        return Err(Error::invalid(format!(
            "Invalid comparator '{operator}' not one of '{}'",
            set(&TAG_OPS)
        )));
    }
    let key = condition.key.clone().into_owned();
    if let Some(usage) = Usage::of_metadata(&key) {
        let test = usage.test(&key, operator, || condition.text("metadata"))?;
        return Ok(TracePredicate::Usage(usage, test));
    }
    let test = key_test(condition)?;
    Ok(if key == SESSION {
        TracePredicate::Text(TraceText::Session, test)
    } else {
        TracePredicate::Metadata(key, test)
    })
}

/// Upstream: `SearchTraceUtils.is_span`.
fn span(condition: Condition<'_>) -> Result<SpanPredicate> {
    read::check_span(&condition.key, &condition.operator)?;
    let column = match condition.key.as_ref() {
        "name" => SpanColumn::Name,
        "type" => SpanColumn::Type,
        "status" => SpanColumn::Status,
        _ => SpanColumn::Content,
    };
    let attribute =
        condition.key.strip_prefix("attributes.").map(|name| read::without_backticks(name).to_owned());
    let Some(attribute) = attribute else {
        return Ok(SpanPredicate { column, test: text_match(condition)? });
    };
    let test = match text_match(condition)? {
        TextMatch::Text(TextTest { op, value }) => {
            TextMatch::Text(TextTest { op, value: format!("%\"{attribute}\"{value}%") })
        }
        TextMatch::Regex(pattern) => TextMatch::Regex(in_attribute(&attribute, &pattern)),
        TextMatch::List(..) => return Err(Error::invalid("Span attributes cannot be compared with a list")),
    };
    Ok(SpanPredicate { column, test })
}

/// Returns the pattern of a span's JSON in which `pattern` matches an attribute's text: a string nested in a
/// string, so its quotes are escaped.
fn in_attribute(attribute: &str, pattern: &str) -> String {
    let (from, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (r#""\\""#, rest),
        None => (r#""\\".*"#, pattern),
    };
    match pattern.strip_suffix('$') {
        Some(pattern) => format!(r#""{attribute}": {from}{pattern}\\""#),
        None => format!(r#""{attribute}": {from}{pattern}"#),
    }
}

/// Upstream: `SearchTraceUtils.is_assessment`.
fn assessment(kind: AssessmentKind, condition: Condition<'_>) -> Result<TracePredicate> {
    let (name, operator) = (condition.key.clone().into_owned(), condition.operator.clone());
    if name.is_empty() {
        return Err(Error::invalid("Assessment field name cannot be empty"));
    }
    let refused = || {
        Error::invalid(format!(
            "assessment.{name} comparator '{operator}' not one of '{}'",
            set(&ASSESSMENT_OPS)
        ))
    };
    if !ASSESSMENT_OPS.contains(&operator.as_str()) {
        return Err(refused());
    }
    let test = match (operator.as_str(), condition.value) {
        ("IS NULL", _) => AssessmentTest::Absent,
        ("IS NOT NULL", _) => AssessmentTest::Present,
        ("=", Value::Text(value)) => AssessmentTest::Is(value.to_owned()),
        ("!=", Value::Text(value)) => AssessmentTest::IsNot(value.to_owned()),
        ("RLIKE", Value::Text(value)) => AssessmentTest::Like(TextMatch::Regex(value.to_owned())),
        (op, Value::Text(value)) => {
            let test = field::text_test(op, value).ok_or_else(refused)?;
            AssessmentTest::Like(TextMatch::Text(test))
        }
        (op, Value::Number(value)) => {
            AssessmentTest::Number(field::number_op(op).ok_or_else(refused)?, value)
        }
        // The parser returns nothing else.
        (_, Value::List(_) | Value::Nothing) => return Err(refused()),
    };
    Ok(TracePredicate::Assessment { kind, name, test })
}

/// Upstream: `SearchTraceUtils.is_issue`.
fn issue(condition: &Condition<'_>) -> Result<TracePredicate> {
    if condition.key != "id" {
        return Err(Error::invalid(format!(
            "Invalid issue attribute '{}'. Supported attributes: id",
            condition.key
        )));
    }
    if condition.operator != "=" {
        return Err(Error::invalid(format!(
            "issue.id comparator '{}' not one of '{}'",
            condition.operator,
            set(&["="])
        )));
    }
    condition.text("issue").map(TracePredicate::Issue)
}

/// Parses a test of a tag or of metadata, whose operator is valid.
fn key_test(condition: Condition<'_>) -> Result<TraceTest> {
    match condition.operator.as_str() {
        "IS NULL" => Ok(TraceTest::Absent),
        "IS NOT NULL" => Ok(TraceTest::Present),
        _ => text_match(condition).map(TraceTest::Value),
    }
}

/// Parses a text comparison, whose operator is one of texts or of lists.
fn text_match(condition: Condition<'_>) -> Result<TextMatch> {
    let operator = condition.operator.as_str();
    let refused = || field::misplaced_list(operator);
    match condition.value {
        Value::Text(value) if operator == "RLIKE" => Ok(TextMatch::Regex(value.to_owned())),
        Value::Text(value) => field::text_test(operator, value).map(TextMatch::Text).ok_or_else(|| {
            Error::invalid(format!(
                "Expected a list of quoted string values behind {operator}. Got value {value}"
            ))
        }),
        Value::List(values) => {
            field::membership(operator).map(|op| TextMatch::List(op, values)).ok_or_else(refused)
        }
        // The parser returns neither.
        Value::Number(_) | Value::Nothing => Err(refused()),
    }
}
