//! Search of evaluation datasets: its attributes and operators.

use super::field::{self, Attributes, Entity, Value};
use super::parser::Comparison;
use super::{Direction, ListTest, MAX_CLAUSES, Membership, Number, NumberOp, TextTest};
use crate::domain::python;
use crate::domain::{Error, Result};

/// A validated filter and order over datasets: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationDatasetQuery {
    /// Joined by AND.
    pub predicates: Vec<EvaluationDatasetPredicate>,
    /// The order; ties are broken by id.
    pub order: Vec<(EvaluationDatasetColumn, Direction)>,
}

/// One condition on a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationDatasetPredicate {
    /// A text.
    Text(EvaluationDatasetColumn, ListTest),
    /// A text column, in its sort order.
    Place(EvaluationDatasetColumn, NumberOp, String),
    /// A time.
    Time(EvaluationDatasetColumn, NumberOp, i64),
    /// A tag that must exist.
    Tag(String, TextTest),
}

/// Columns to filter and order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluationDatasetColumn {
    /// `name`
    Name,
    /// `created_time`
    Created,
    /// `last_update_time`
    LastUpdated,
    /// `created_by`
    CreatedBy,
    /// `last_updated_by`
    LastUpdatedBy,
}

const COLUMNS: [(&str, EvaluationDatasetColumn); 5] = [
    ("name", EvaluationDatasetColumn::Name),
    ("created_time", EvaluationDatasetColumn::Created),
    ("last_update_time", EvaluationDatasetColumn::LastUpdated),
    ("created_by", EvaluationDatasetColumn::CreatedBy),
    ("last_updated_by", EvaluationDatasetColumn::LastUpdatedBy),
];
const FILTERED: [&str; 5] = ["name", "created_time", "last_update_time", "created_by", "last_updated_by"];
const ORDERED: [&str; 3] = ["name", "created_time", "last_update_time"];
const ATTRIBUTES: Attributes =
    Attributes { numeric: &["created_time", "last_update_time"], listed: &["name"] };

/// What an identifier names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field<'a> {
    Attribute(&'a str, EvaluationDatasetColumn),
    Tag(&'a str),
}

/// A parsed comparison whose operator is not validated yet.
struct Condition<'a> {
    field: Field<'a>,
    operator: &'a str,
    value: Value<'a>,
}

impl EvaluationDatasetQuery {
    /// Parses a filter (empty for none) and an `order_by`; the default is newest first.
    ///
    /// Upstream: `SearchEvaluationDatasetsUtils`, `_get_search_datasets_filter_clauses` and
    /// `_get_search_datasets_order_by_clauses`. Differs: lowercase operators are refused with
    /// `INVALID_PARAMETER_VALUE`, not with a 500.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have.
    pub fn parse(filter: &str, order_by: &[String]) -> Result<Self> {
        let comparisons = field::comparisons(filter, "")?;
        if comparisons.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!("A filter has at most {MAX_CLAUSES} conditions.")));
        }
        let conditions = comparisons.iter().map(condition).collect::<Result<Vec<_>>>()?;
        let predicates = conditions.into_iter().map(predicate).collect::<Result<Vec<_>>>()?;
        Ok(Self { predicates, order: order(order_by)? })
    }
}

fn condition<'a>(comparison: &Comparison<'a>) -> Result<Condition<'a>> {
    field::check_shape(comparison)?;
    let field = identifier(comparison.left.text, &FILTERED)?;
    let operator = comparison.operator;
    let (entity, key) = match field {
        Field::Attribute(key, _) => (Entity::Attribute, key),
        Field::Tag(key) => (Entity::Tag, key),
    };
    let value = match (comparison.right, field) {
        (Some(right), _) => field::value(entity, key, right, &ATTRIBUTES)?,
        (None, Field::Tag(_)) => Value::Nothing,
        (None, Field::Attribute(..)) => {
            return Err(Error::invalid(format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' '{key}'"
            )));
        }
    };
    if matches!(value, Value::List(_)) && operator != "IN" {
        return Err(Error::invalid("List values for 'name' are only supported with the IN comparator."));
    }
    Ok(Condition { field, operator, value })
}

fn identifier<'a>(text: &'a str, valid: &[&str]) -> Result<Field<'a>> {
    match text.split_once('.') {
        Some(("tags", key)) => Ok(Field::Tag(key)),
        Some((other, _)) => Err(Error::invalid(format!("Invalid identifier token '{other}' specified"))),
        None => COLUMNS
            .iter()
            .find(|(name, _)| *name == text && valid.contains(name))
            .map(|(name, column)| Field::Attribute(name, *column))
            .ok_or_else(|| {
                let valid = field::set(valid);
                Error::invalid(format!("Invalid attribute key '{text}' specified. Valid keys are: {valid}"))
            }),
    }
}

fn predicate(condition: Condition<'_>) -> Result<EvaluationDatasetPredicate> {
    let Condition { field, operator, value } = condition;
    match (field, value) {
        (Field::Tag(key), Value::Text(text)) => field::text_test(operator, text)
            .map(|test| EvaluationDatasetPredicate::Tag(key.to_owned(), test))
            .ok_or_else(|| Error::invalid(format!("Invalid comparator for tag: {operator}"))),
        (Field::Tag(_), _) => Err(Error::invalid(format!("Invalid comparator for tag: {operator}"))),
        (Field::Attribute(key, column), Value::Number(number)) => time_test(key, column, operator, number),
        (Field::Attribute(_, column), value) => text_test(column, operator, value),
    }
}

fn time_test(
    key: &str,
    column: EvaluationDatasetColumn,
    operator: &str,
    number: Number,
) -> Result<EvaluationDatasetPredicate> {
    let Some(op) = field::number_op(operator) else {
        return Err(Error::invalid(format!("Invalid comparator for numeric attribute: {operator}")));
    };
    match number {
        Number::Int(value) => Ok(EvaluationDatasetPredicate::Time(column, op, value)),
        Number::Float(value) => Err(Error::invalid(format!(
            "Invalid value for numeric attribute '{key}': '{}'",
            python::float(value)
        ))),
    }
}

fn text_test(
    column: EvaluationDatasetColumn,
    operator: &str,
    value: Value<'_>,
) -> Result<EvaluationDatasetPredicate> {
    let text = match value {
        Value::List(values) => {
            let test = ListTest::List(Membership::In, values);
            return Ok(EvaluationDatasetPredicate::Text(column, test));
        }
        Value::Text(text) => text,
        Value::Number(_) | Value::Nothing => "",
    };
    if let Some(test) = field::text_test(operator, text) {
        return Ok(EvaluationDatasetPredicate::Text(column, ListTest::Text(test)));
    }
    field::number_op(operator)
        .map(|op| EvaluationDatasetPredicate::Place(column, op, text.to_owned()))
        .ok_or_else(|| Error::invalid(format!("Invalid comparator for string attribute: {operator}")))
}

fn order(order_by: &[String]) -> Result<Vec<(EvaluationDatasetColumn, Direction)>> {
    if order_by.is_empty() {
        return Ok(vec![(EvaluationDatasetColumn::Created, Direction::Descending)]);
    }
    if order_by.len() > MAX_CLAUSES {
        return Err(Error::invalid(format!("An order has at most {MAX_CLAUSES} parts.")));
    }
    let term = |clause: &String| {
        let (key, direction) = field::order_term(clause)?;
        match identifier(&key, &ORDERED)? {
            Field::Attribute(_, column) => Ok((column, direction)),
            Field::Tag(_) => Err(Error::invalid("Invalid order_by entity: tag")),
        }
    };
    order_by.iter().map(term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(filter: &str, order_by: &[&str]) -> String {
        let order_by: Vec<String> = order_by.iter().map(|&by| by.into()).collect();
        EvaluationDatasetQuery::parse(filter, &order_by).unwrap_err().message
    }

    #[test]
    fn filters_are_read() {
        for (filter, count) in [
            ("", 0),
            ("name = 'a'", 1),
            ("name > 'a'", 1),
            ("name IN ('a', 'b') AND tags.team LIKE 'x%'", 2),
            ("created_time >= 5 AND last_update_time != 7 AND created_by ILIKE 'me'", 3),
        ] {
            assert_eq!(
                EvaluationDatasetQuery::parse(filter, &[]).unwrap().predicates.len(),
                count,
                "{filter}"
            );
        }
    }

    #[test]
    fn bad_filters_are_refused_in_the_words_of_stock() {
        let valid = "{'name', 'created_time', 'last_update_time', 'created_by', 'last_updated_by'}";
        for (filter, want) in [
            ("digest = 'a'", format!("Invalid attribute key 'digest' specified. Valid keys are: {valid}")),
            ("tag.a = 'b'", "Invalid identifier token 'tag' specified".into()),
            ("name", "Invalid clause(s) in filter string: name".into()),
            ("name NOT IN ('a')", "List values for 'name' are only supported with the IN comparator.".into()),
            ("name = 5", "Expected a quoted string value for attributes. Got value 5".into()),
            (
                "created_by IN ('a')",
                "Only ['name'] attributes support comparison with a list of quoted string values.".into(),
            ),
            ("created_by like 'a'", "Invalid comparator for string attribute: like".into()),
            (
                "created_time = 'a'",
                "Expected numeric value type for numeric attribute: created_time. Found 'a'".into(),
            ),
            ("created_time = 1.5", "Invalid value for numeric attribute 'created_time': '1.5'".into()),
            ("created_time LIKE 5", "Invalid comparator for numeric attribute: LIKE".into()),
            ("tags.a > 'b'", "Invalid comparator for tag: >".into()),
            ("tags.a IS NULL", "Invalid comparator for tag: IS NULL".into()),
            (
                "name IS NULL",
                "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' 'name'"
                    .into(),
            ),
        ] {
            assert_eq!(message(filter, &[]), want, "{filter}");
        }
    }

    #[test]
    fn orders_are_read() {
        let order = |by: &[&str]| {
            let by: Vec<String> = by.iter().map(|&by| by.into()).collect();
            EvaluationDatasetQuery::parse("", &by).unwrap().order
        };
        assert_eq!(order(&[]), [(EvaluationDatasetColumn::Created, Direction::Descending)]);
        assert_eq!(
            order(&["name", "last_update_time DESC"]),
            [
                (EvaluationDatasetColumn::Name, Direction::Ascending),
                (EvaluationDatasetColumn::LastUpdated, Direction::Descending)
            ]
        );
        assert_eq!(message("", &["tags.a"]), "Invalid order_by entity: tag");
        assert_eq!(
            message("", &["created_by"]),
            "Invalid attribute key 'created_by' specified. Valid keys are: {'name', 'created_time', 'last_update_time'}"
        );
    }
}
