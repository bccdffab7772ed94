//! Search of model versions: its attributes and operators.

use super::registry::{self, Attributes, Condition, Field, Value, add_order, tag_test};
use super::{Direction, ListTest, Number, NumberOp, TextTest, field};
use crate::domain::registry::PROMPT_TAG;
use crate::domain::{Error, Result, python};

pub use super::registry::Prompts;

/// A validated filter and order over model versions: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelVersionQuery {
    /// Joined by AND.
    pub predicates: Vec<ModelVersionPredicate>,
    /// Whether prompts are left out.
    pub prompts: Prompts,
    /// The total order; name and number together are unique.
    pub order: Vec<(ModelVersionColumn, Direction)>,
}

/// One condition on a model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelVersionPredicate {
    /// A text attribute.
    Text(ModelVersionText, ListTest),
    /// Its number.
    Number(NumberOp, i64),
    /// A tag that must exist.
    Tag(String, TextTest),
}

/// The text attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelVersionText {
    /// `name`, that of its model.
    Name,
    /// `run_id`
    Run,
    /// `source_path`
    Source,
}

/// Columns to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelVersionColumn {
    /// `name`
    Name,
    /// `version_number`
    Number,
    /// `creation_timestamp`
    Creation,
    /// `last_updated_timestamp`
    LastUpdated,
}

const ATTRIBUTES: Attributes = Attributes {
    all: &["name", "version_number", "run_id", "source_path"],
    numeric: &["version_number", "creation_timestamp", "last_updated_timestamp"],
    listed: &["name", "run_id"],
};
const ORDER_KEYS: [&str; 4] = ["name", "version_number", "creation_timestamp", "last_updated_timestamp"];

impl ModelVersionQuery {
    /// Parses a filter (empty for none) and an `order_by`; the default is last updated first.
    ///
    /// Upstream: `SearchModelVersionUtils`, `_get_search_model_versions_filter_clauses` and
    /// `_parse_search_model_versions_order_by`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have, `INTERNAL_ERROR` for a duplicate
    /// column in the order.
    pub fn parse(filter: &str, order_by: &[String]) -> Result<Self> {
        let conditions = registry::conditions(filter, &ATTRIBUTES)?;
        registry::check_size(conditions.len())?;
        let prompts = registry::prompts(&conditions);
        let mut predicates = conditions.into_iter().map(predicate).collect::<Result<Vec<_>>>()?;
        if prompts == Prompts::Hidden {
            predicates.retain(|p| !matches!(p, ModelVersionPredicate::Tag(key, _) if key == PROMPT_TAG));
        }
        Ok(Self { predicates, prompts, order: order(order_by)? })
    }

    /// Returns the search for the versions that come from one of `run_ids`.
    pub fn of_runs(run_ids: Vec<String>) -> Self {
        let test = ListTest::List(super::Membership::In, run_ids);
        let predicates = vec![ModelVersionPredicate::Text(ModelVersionText::Run, test)];
        Self { predicates, prompts: Prompts::Hidden, order: DEFAULT_ORDER.to_vec() }
    }
}

fn predicate(condition: Condition<'_>) -> Result<ModelVersionPredicate> {
    let Condition { field, operator, value } = condition;
    match field {
        Field::Tag(key) => Ok(ModelVersionPredicate::Tag(key.to_owned(), tag_test(&operator, &value)?)),
        Field::Attribute("version_number") => number_test(&operator, &value),
        Field::Attribute(key) => {
            let column = match key {
                "name" => ModelVersionText::Name,
                "run_id" => ModelVersionText::Run,
                _ => ModelVersionText::Source,
            };
            text_test(&operator, value).map(|test| ModelVersionPredicate::Text(column, test))
        }
    }
}

fn number_test(operator: &str, value: &Value<'_>) -> Result<ModelVersionPredicate> {
    let op = field::number_op(operator).ok_or_else(|| {
        Error::invalid(format!("Invalid comparator for attribute version_number: {operator}"))
    })?;
    let invalid = |shown: String| {
        Error::invalid(format!("Invalid value for numeric attribute 'version_number': {shown}"))
    };
    let number = match value {
        Value::Number(Number::Int(number)) => *number,
        Value::Number(Number::Float(number)) => return Err(invalid(python::float(*number))),
        Value::Text(text) => python::parse_int(text).ok_or_else(|| invalid(python::repr(text)))?,
        Value::List(_) => return Err(field::misplaced_list(operator)),
    };
    Ok(ModelVersionPredicate::Number(op, number))
}

fn text_test(operator: &str, value: Value<'_>) -> Result<ListTest> {
    let test = match (value, field::membership(operator)) {
        (Value::List(texts), Some(membership)) => Some(ListTest::List(membership, texts)),
        (Value::List(_), None) => return Err(field::misplaced_list(operator)),
        (Value::Text(text), _) => field::text_test(operator, text).map(ListTest::Text),
        (Value::Number(_), _) => None,
    };
    test.ok_or_else(|| Error::invalid(format!("Invalid comparator for attribute: {operator}")))
}

/// The default order.
pub const DEFAULT_ORDER: [(ModelVersionColumn, Direction); 3] = [
    (ModelVersionColumn::LastUpdated, Direction::Descending),
    (ModelVersionColumn::Name, Direction::Ascending),
    (ModelVersionColumn::Number, Direction::Descending),
];

fn order(order_by: &[String]) -> Result<Vec<(ModelVersionColumn, Direction)>> {
    if order_by.is_empty() {
        return Ok(DEFAULT_ORDER.to_vec());
    }
    let mut order = Vec::with_capacity(order_by.len() + 2);
    for clause in order_by {
        let (text, direction) = field::order_term(clause)?;
        add_order(&mut order, column(&text)?, direction, order_by)?;
    }
    for (last, direction) in [
        (ModelVersionColumn::Name, Direction::Ascending),
        (ModelVersionColumn::Number, Direction::Descending),
    ] {
        if order.iter().all(|(column, _)| *column != last) {
            order.push((last, direction));
        }
    }
    Ok(order)
}

/// Parses a column. Stock hardly checks the prefix: `tags.name` is the name.
fn column(text: &str) -> Result<ModelVersionColumn> {
    let (prefix, key) = field::split(text);
    let known = match key {
        "name" => Some(ModelVersionColumn::Name),
        "version_number" => Some(ModelVersionColumn::Number),
        "creation_timestamp" => Some(ModelVersionColumn::Creation),
        "last_updated_timestamp" => Some(ModelVersionColumn::LastUpdated),
        _ => None,
    };
    match (prefix, known) {
        (None | Some("attribute" | "tag" | "tags"), Some(column)) => Ok(column),
        (None | Some("attribute"), None) => Err(field::no_attribute(key, &ORDER_KEYS)),
        (Some("tag" | "tags"), None) => Err(Error::invalid(format!(
            "Invalid order by key '{key}' specified. Valid keys are {}",
            field::set(&ORDER_KEYS)
        ))),
        (Some(other), _) => Err(registry::no_entity(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Membership;

    fn message(filter: &str, order_by: &[&str]) -> String {
        let order_by: Vec<String> = order_by.iter().map(|&by| by.into()).collect();
        ModelVersionQuery::parse(filter, &order_by).unwrap_err().message
    }

    #[test]
    fn conditions_are_read() {
        let text = |column, test| ModelVersionPredicate::Text(column, test);
        let list =
            |values: &[&str]| ListTest::List(Membership::In, values.iter().map(|&v| v.into()).collect());
        for (filter, want) in [
            ("run_id IN ('a', 'b')", text(ModelVersionText::Run, list(&["a", "b"]))),
            ("attribute.name in ('a')", text(ModelVersionText::Name, list(&["a"]))),
            ("version_number >= 2", ModelVersionPredicate::Number(NumberOp::Ge, 2)),
            ("version_number = '2'", ModelVersionPredicate::Number(NumberOp::Eq, 2)),
        ] {
            assert_eq!(ModelVersionQuery::parse(filter, &[]).unwrap().predicates, [want], "{filter}");
        }
    }

    #[test]
    fn bad_filters_are_refused_in_the_words_of_stock() {
        for (filter, want) in [
            ("version_number = 1.5", "Invalid value for numeric attribute 'version_number': 1.5"),
            ("version_number = 'x'", "Invalid value for numeric attribute 'version_number': 'x'"),
            ("version_number LIKE '1'", "Invalid comparator for attribute version_number: LIKE"),
            (
                "source_path IN ('a')",
                "Only ['name', 'run_id'] attributes support comparison with a list of quoted string values.",
            ),
            ("run_id > 'a'", "Invalid comparator for attribute: >"),
            (
                "name = 5",
                "Only the '{'version_number', 'creation_timestamp', 'last_updated_timestamp'}' attributes support comparison with numeric values.",
            ),
            (
                "creation_timestamp > 5",
                "Invalid attribute key 'creation_timestamp' specified. Valid keys are '{'name', 'version_number', 'run_id', 'source_path'}'",
            ),
            ("tags.a > 'b'", "Invalid comparator for tag: >"),
        ] {
            assert_eq!(message(filter, &[]), want, "{filter}");
        }
    }

    #[test]
    fn orders_end_with_what_is_unique() {
        let by = |order_by: &str| ModelVersionQuery::parse("", &[order_by.into()]).unwrap().order;
        let (name, number) = (ModelVersionColumn::Name, ModelVersionColumn::Number);
        let (up, down) = (Direction::Ascending, Direction::Descending);
        assert_eq!(by("version_number"), [(number, up), (name, up)]);
        assert_eq!(by("tags.name DESC"), [(name, down), (number, down)]);
        assert_eq!(by("creation_timestamp").len(), 3);
        let keys = "{'name', 'version_number', 'creation_timestamp', 'last_updated_timestamp'}";
        for (order_by, want) in [
            (&["run_id"][..], format!("Invalid attribute key 'run_id' specified. Valid keys are '{keys}'")),
            (&["tags.a"], format!("Invalid order by key 'a' specified. Valid keys are {keys}")),
            (
                &["x.name"],
                "Invalid entity type 'x'. Valid entity types are ('attribute', 'tag', 'tags')".into(),
            ),
            (&["name", "name DESC"], "`order_by` contains duplicate fields: ['name', 'name DESC']".into()),
        ] {
            assert_eq!(message("", order_by), want);
        }
    }
}
