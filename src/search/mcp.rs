//! Searches of MCP servers, their versions and their endpoints: attributes and operators.
//!
//! Upstream: `SearchMCPServerUtils`, `SearchMCPServerVersionUtils`, `SearchMCPAccessEndpointUtils` and what
//! `SqlAlchemyMCPServerRegistryMixin` makes of them.

use super::field::{self, Attributes, Entity, Value};
use super::parser::Shape;
use super::{Direction, MAX_CLAUSES, Membership, Number, NumberOp, TextTest};
use crate::domain::mcp::semver::Precedence;
use crate::domain::{Error, Result, python};

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Servers.
    Servers,
    /// The versions of a server.
    Versions,
    /// Endpoints.
    Endpoints,
}

/// A validated filter and order: lowering them cannot fail.
#[derive(Debug, Clone)]
pub struct McpQuery {
    /// Joined by AND.
    pub predicates: Vec<McpPredicate>,
    /// The total order, by attribute names; it ends with a unique key.
    pub order: Vec<(&'static str, Direction)>,
}

/// One condition.
#[derive(Debug, Clone)]
pub enum McpPredicate {
    /// An attribute.
    Attribute(&'static str, Test),
    /// A tag that must exist.
    Tag(String, Test),
    /// Whether a server has endpoints.
    HasEndpoints(bool),
    /// The precedence of a version.
    Version(NumberOp, Precedence),
}

/// What is asked of a value.
#[derive(Debug, Clone)]
pub enum Test {
    /// A text comparison.
    Text(TextTest),
    /// An order of texts.
    Ordered(NumberOp, String),
    /// A list of texts.
    List(Membership, Vec<String>),
    /// A numeric comparison.
    Number(NumberOp, Number),
}

impl Subject {
    const fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Servers => {
                &["name", "display_name", "status", "has_access_endpoints", "created_at", "last_updated_at"]
            }
            Self::Versions => &["name", "version", "status", "created_at", "last_updated_at"],
            Self::Endpoints => &["status", "server_name", "transport_type", "created_at", "last_updated_at"],
        }
    }

    const fn values(self) -> Attributes {
        let numeric = &["created_at", "last_updated_at"];
        match self {
            Self::Servers => Attributes { numeric, listed: &["name", "status"] },
            Self::Versions => Attributes { numeric, listed: &["status"] },
            Self::Endpoints => Attributes { numeric, listed: &["server_name"] },
        }
    }

    /// The valid order keys, sorted.
    const fn orders(self) -> &'static [&'static str] {
        match self {
            Self::Servers => &["created_at", "last_updated_at", "name"],
            Self::Versions => &["created_at", "last_updated_at", "version"],
            Self::Endpoints => &["created_at", "id", "last_updated_at", "server_name"],
        }
    }

    /// Tie-break keys, unless already in the order.
    const fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Servers => &["name"],
            Self::Versions => &["created_at", "raw_version"],
            Self::Endpoints => &["id"],
        }
    }

    /// The attribute that is an SQL keyword, which stock accepts.
    const fn keyword(self) -> Option<&'static str> {
        match self {
            Self::Servers => None,
            Self::Versions => Some("version"),
            Self::Endpoints => Some("server_name"),
        }
    }
}

impl McpQuery {
    /// Parses a filter (empty for none) and an `order_by`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have.
    pub fn parse(subject: Subject, filter: &str, order_by: &[String]) -> Result<Self> {
        let filter = subject.keyword().map_or_else(|| filter.to_owned(), |word| quote_word(filter, word));
        let comparisons = field::comparisons(&filter, "'")?;
        if comparisons.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!("A search can have at most {MAX_CLAUSES} comparisons")));
        }
        let mut conditions = Vec::with_capacity(comparisons.len());
        for comparison in &comparisons {
            field::check_shape(comparison)?;
            let (prefix, key) = field::split(comparison.left.text);
            let entity = prefix.map_or(Ok(Entity::Attribute), Entity::parse)?;
            if entity == Entity::Attribute && !subject.attributes().contains(&key) {
                return Err(field::no_attribute(key, subject.attributes()));
            }
            let value = match comparison.right {
                Some(right) if right.shape == Shape::Parenthesis && entity == Entity::Tag => Value::Nothing,
                Some(right) => field::value(entity, key, right, &subject.values())?,
                None => Value::Nothing,
            };
            conditions.push((entity, key, comparison.operator.to_uppercase(), value));
        }
        let predicates = conditions
            .into_iter()
            .map(|(entity, key, operator, value)| predicate(subject, entity, key, &operator, value))
            .collect::<Result<_>>()?;
        Ok(Self { predicates, order: order(subject, order_by)? })
    }
}

fn predicate(
    subject: Subject,
    entity: Entity,
    key: &str,
    operator: &str,
    value: Value<'_>,
) -> Result<McpPredicate> {
    match entity {
        Entity::Attribute => {}
        Entity::Tag if subject == Subject::Servers => {
            let wrong = || Error::invalid(format!("Invalid comparator '{operator}' for tag '{key}'."));
            return Ok(McpPredicate::Tag(key.to_owned(), test(operator, value).ok_or_else(wrong)?));
        }
        other => return Err(Error::invalid(format!("Invalid filter type '{}'.", other.name()))),
    }
    let attribute = subject.attributes().iter().find(|name| **name == key).copied().unwrap_or_default();
    match (attribute, &value) {
        ("has_access_endpoints", Value::Text(text)) => match (operator, text.to_lowercase().as_str()) {
            ("=", "true") => return Ok(McpPredicate::HasEndpoints(true)),
            ("=", "false") => return Ok(McpPredicate::HasEndpoints(false)),
            _ => {
                return Err(Error::invalid("has_access_endpoints only supports '= true' or '= false'"));
            }
        },
        ("version", Value::Text(text)) => {
            let op = field::number_op(operator).ok_or_else(|| {
                Error::invalid(
                    "version only supports semantic comparators '=', '!=', '<', '<=', '>', and '>='",
                )
            })?;
            if !matches!(op, NumberOp::Eq | NumberOp::Ne) {
                return Ok(McpPredicate::Version(op, Precedence::parse(text, "filter_string version")?));
            }
        }
        _ => {}
    }
    let wrong = || Error::invalid(format!("Invalid comparator '{operator}' for attribute '{key}'."));
    Ok(McpPredicate::Attribute(attribute, test(operator, value).ok_or_else(wrong)?))
}

fn test(operator: &str, value: Value<'_>) -> Option<Test> {
    match value {
        Value::Nothing => None,
        Value::Number(number) => field::number_op(operator).map(|op| Test::Number(op, number)),
        Value::List(values) => field::membership(operator).map(|membership| Test::List(membership, values)),
        Value::Text(text) => match field::text_test(operator, text) {
            Some(test) => Some(Test::Text(test)),
            None => field::number_op(operator).map(|op| Test::Ordered(op, text.to_owned())),
        },
    }
}

fn order(subject: Subject, order_by: &[String]) -> Result<Vec<(&'static str, Direction)>> {
    let mut order: Vec<(&'static str, Direction)> = Vec::with_capacity(order_by.len() + 2);
    for clause in order_by {
        let (key, direction) = field::order_term(clause)?;
        let Some(name) = subject.orders().iter().find(|name| **name == key) else {
            return Err(Error::invalid(format!(
                "Invalid order_by key '{key}'. Valid keys: {}",
                python::list(subject.orders())
            )));
        };
        if order.iter().any(|(before, _)| before == name) {
            return Err(Error::invalid(format!("Duplicate order_by field: '{key}'")));
        }
        order.push((name, direction));
    }
    for end in subject.ends() {
        // Versions of equal precedence may differ in their build, so the text breaks ties.
        if order.iter().all(|(name, _)| name != end) {
            order.push((end, Direction::Ascending));
        }
    }
    Ok(order)
}

/// Puts the whole word `word` into backticks wherever it is unquoted.
fn quote_word(filter: &str, word: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '`');
    let mut out = String::with_capacity(filter.len() + 8);
    let (mut quote, mut rest, mut before) = (None, filter, ' ');
    while let Some(c) = rest.chars().next() {
        let behind = rest.strip_prefix(word).filter(|_| quote.is_none() && !is_part(before));
        if let Some(behind) = behind.filter(|behind| !behind.starts_with(is_part)) {
            out.push('`');
            out.push_str(word);
            out.push('`');
            (rest, before) = (behind, '`');
            continue;
        }
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
            _ => {}
        }
        out.push(c);
        (rest, before) = (rest.get(c.len_utf8()..).unwrap_or_default(), c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: Subject, filter: &str, order_by: &[&str]) -> String {
        let order_by: Vec<String> = order_by.iter().map(|&by| by.into()).collect();
        McpQuery::parse(subject, filter, &order_by).unwrap_err().message
    }

    #[test]
    fn a_word_of_sql_is_an_attribute_outside_quotes() {
        for (filter, want) in [
            ("version = '1'", "`version` = 'version'"),
            ("version='1' AND `version`!=\"version\"", "`version`='version' AND `version`!=\"version\""),
            ("versions = 'a version b'", "versions = 'a version b'"),
        ] {
            let want = want.replacen("'version'", "'1'", 1);
            assert_eq!(quote_word(filter, "version"), want, "{filter}");
        }
    }

    #[test]
    fn filters_are_read() {
        for (subject, filter, count) in [
            (Subject::Servers, "name LIKE '%x%' AND status IN ('draft') AND tags.a = 'b'", 3),
            (Subject::Servers, "has_access_endpoints = 'True' AND created_at >= 5", 2),
            (Subject::Versions, "version >= '1.0.0-a' AND version != '2' AND status = 'active'", 3),
            (Subject::Endpoints, "server_name IN ('a/b') AND transport_type = 'sse'", 2),
        ] {
            assert_eq!(McpQuery::parse(subject, filter, &[]).unwrap().predicates.len(), count, "{filter}");
        }
    }

    #[test]
    fn others_are_refused_in_the_words_of_stock() {
        for (subject, filter, order_by, want) in [
            (Subject::Versions, "tags.a = 'b'", &[][..], "Invalid filter type 'tag'."),
            (Subject::Servers, "name = 'a' OR name = 'b'", &[], "Invalid clause(s) in filter string: 'OR'"),
            (
                Subject::Versions,
                "version LIKE '1'",
                &[],
                "version only supports semantic comparators '=', '!=', '<', '<=', '>', and '>='",
            ),
            (
                Subject::Versions,
                "version > '1'",
                &[],
                "Invalid semantic version for filter_string version: '1'",
            ),
            (
                Subject::Servers,
                "has_access_endpoints = 'x'",
                &[],
                "has_access_endpoints only supports '= true' or '= false'",
            ),
            (
                Subject::Servers,
                "",
                &["status"],
                "Invalid order_by key 'status'. Valid keys: ['created_at', 'last_updated_at', 'name']",
            ),
            (Subject::Servers, "", &["name", "name DESC"], "Duplicate order_by field: 'name'"),
        ] {
            assert_eq!(message(subject, filter, order_by), want);
        }
    }
}
