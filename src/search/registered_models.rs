//! Search of registered models: its attributes and operators.

use super::registry::{self, Attributes, Condition, Field, Value, add_order, tag_test};
use super::{Direction, ListTest, TextTest, field};
use crate::domain::registry::PROMPT_TAG;
use crate::domain::{Error, Result};

pub use super::registry::Prompts;

/// A validated filter and order over registered models: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredModelQuery {
    /// Joined by AND.
    pub predicates: Vec<RegisteredModelPredicate>,
    /// Whether prompts are left out.
    pub prompts: Prompts,
    /// The total order; the name is unique.
    pub order: Vec<(RegisteredModelColumn, Direction)>,
}

/// One condition on a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisteredModelPredicate {
    /// Its name.
    Name(ListTest),
    /// A tag that must exist.
    Tag(String, TextTest),
}

/// Columns to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisteredModelColumn {
    /// `name`
    Name,
    /// `timestamp`, also called `last_updated_timestamp`.
    LastUpdated,
}

const ATTRIBUTES: Attributes = Attributes { all: &["name"], numeric: &[], listed: &["name"] };

impl RegisteredModelQuery {
    /// Parses a filter (empty for none) and an `order_by`; the default is by name.
    ///
    /// Upstream: `SearchModelUtils`, `_get_search_registered_model_filter_query` and
    /// `_parse_search_registered_models_order_by`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have, `INTERNAL_ERROR` for a duplicate
    /// column in the order.
    pub fn parse(filter: &str, order_by: &[String]) -> Result<Self> {
        let conditions = registry::conditions(filter, &ATTRIBUTES)?;
        registry::check_size(conditions.len())?;
        let order = order(order_by)?;
        let prompts = registry::prompts(&conditions);
        let mut predicates = conditions.into_iter().map(predicate).collect::<Result<Vec<_>>>()?;
        if prompts == Prompts::Hidden {
            predicates.retain(|p| !matches!(p, RegisteredModelPredicate::Tag(key, _) if key == PROMPT_TAG));
        }
        Ok(Self { predicates, prompts, order })
    }
}

fn predicate(condition: Condition<'_>) -> Result<RegisteredModelPredicate> {
    let Condition { field, operator, value } = condition;
    match field {
        Field::Tag(key) => Ok(RegisteredModelPredicate::Tag(key.to_owned(), tag_test(&operator, &value)?)),
        Field::Attribute(_) => name_test(&operator, value).map(RegisteredModelPredicate::Name),
    }
}

fn name_test(operator: &str, value: Value<'_>) -> Result<ListTest> {
    let test = match (value, field::membership(operator)) {
        (Value::List(names), Some(membership)) => Some(ListTest::List(membership, names)),
        (Value::List(_), None) => return Err(field::misplaced_list(operator)),
        (Value::Text(name), _) => field::text_test(operator, name).map(ListTest::Text),
        (Value::Number(_), _) => None,
    };
    test.ok_or_else(|| Error::invalid(format!("Invalid comparator for attribute: {operator}")))
}

fn order(order_by: &[String]) -> Result<Vec<(RegisteredModelColumn, Direction)>> {
    let mut order = Vec::with_capacity(order_by.len() + 1);
    for clause in order_by {
        let (key, direction) = field::order_term(clause)?;
        let column = match key.as_str() {
            "name" => RegisteredModelColumn::Name,
            "timestamp" | "last_updated_timestamp" => RegisteredModelColumn::LastUpdated,
            _ => {
                return Err(Error::invalid(format!(
                    "Invalid order by key '{key}' specified. Valid keys are '{}'",
                    field::set(&["name", "timestamp"])
                )));
            }
        };
        add_order(&mut order, column, direction, order_by)?;
    }
    if order.iter().all(|(column, _)| *column != RegisteredModelColumn::Name) {
        order.push((RegisteredModelColumn::Name, Direction::Ascending));
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(filter: &str, order_by: &[&str]) -> String {
        let order_by: Vec<String> = order_by.iter().map(|&by| by.into()).collect();
        RegisteredModelQuery::parse(filter, &order_by).unwrap_err().message
    }

    #[test]
    fn prompts_show_only_when_asked_for() {
        for (filter, prompts, left) in [
            ("", Prompts::Hidden, 0),
            ("name = 'a'", Prompts::Hidden, 1),
            ("tags.`mlflow.prompt.is_prompt` = 'true'", Prompts::Wanted, 1),
            ("tags.`mlflow.prompt.is_prompt` = 'True' AND tags.a = 'b'", Prompts::Wanted, 2),
            ("tag.`mlflow.prompt.is_prompt` != 'false'", Prompts::Wanted, 1),
            ("tag.`mlflow.prompt.is_prompt` = 'false'", Prompts::Hidden, 0),
            ("tag.`mlflow.prompt.is_prompt` != 'true' AND tags.a = 'b'", Prompts::Hidden, 1),
            ("tag.`mlflow.prompt.is_prompt` ILIKE 'true'", Prompts::Hidden, 0),
        ] {
            let query = RegisteredModelQuery::parse(filter, &[]).unwrap();
            assert_eq!((query.prompts, query.predicates.len()), (prompts, left), "{filter}");
        }
    }

    #[test]
    fn bad_filters_are_refused_in_the_words_of_stock() {
        for (filter, want) in [
            ("creator = '1'", "Invalid attribute key 'creator' specified. Valid keys are '{'name'}'"),
            ("`name` = 'a'", "Invalid attribute key '`name`' specified. Valid keys are '{'name'}'"),
            (
                "params.a = 'b'",
                "Invalid entity type 'params'. Valid entity types are ('attribute', 'tag', 'tags')",
            ),
            ("name > 'a'", "Invalid comparator for attribute: >"),
            ("tags.a < 'b'", "Invalid comparator for tag: <"),
            (
                "name = 5",
                "Expected a quoted string value or a list of quoted string values for attributes. Got value 5",
            ),
            ("tags.a = 5", "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5"),
            ("tags.a IN ('b')", "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('b')"),
            ("name = ('a')", "Invalid comparator '=' for a list; use IN or NOT IN"),
            ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string: OR"),
            ("tags.a IS NULL", "IS NULL is not supported here"),
        ] {
            assert_eq!(message(filter, &[]), want, "{filter}");
        }
    }

    #[test]
    fn orders_end_with_the_name() {
        let order = |by: &[&str]| {
            let by: Vec<String> = by.iter().map(|&by| by.into()).collect();
            RegisteredModelQuery::parse("", &by).unwrap().order
        };
        let (name, time) = (RegisteredModelColumn::Name, RegisteredModelColumn::LastUpdated);
        assert_eq!(order(&[]), [(name, Direction::Ascending)]);
        assert_eq!(order(&["name DESC"]), [(name, Direction::Descending)]);
        assert_eq!(order(&["timestamp desc"]), [(time, Direction::Descending), (name, Direction::Ascending)]);
        assert_eq!(
            message("", &["timestamp", "last_updated_timestamp"]),
            "`order_by` contains duplicate fields: ['timestamp', 'last_updated_timestamp']"
        );
        assert_eq!(
            message("", &["creation_timestamp"]),
            "Invalid order by key 'creation_timestamp' specified. Valid keys are '{'name', 'timestamp'}'"
        );
    }
}
