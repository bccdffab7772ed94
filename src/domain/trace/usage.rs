//! Tokens and cost of a trace: the sum over its spans, where a span that counts for its children, too, is not counted
//! twice.
//!
//! Upstream: `_aggregate_from_nodes`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Tree};

use super::attributes::parse;
use super::{COST_KEYS, TOKEN_KEYS};
use crate::proto::loose;

/// What one span counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The span's id.
    pub span_id: String,
    /// The id of the span that called it.
    pub parent_span_id: Option<String>,
    /// What it counts, by name; `None` where it counts nothing.
    pub data: Option<Map<String, Tree>>,
}

impl Node {
    /// Makes a node of an attribute's value, which is an object or the JSON of one.
    pub fn new(span_id: &str, parent_span_id: Option<&str>, value: Option<&Tree>) -> Self {
        let data = match value {
            Some(Tree::Object(data)) => Some(data.clone()),
            Some(Tree::String(json)) => match parse(json) {
                Some(Tree::Object(data)) => Some(data),
                _ => None,
            },
            _ => None,
        };
        Self { span_id: span_id.to_owned(), parent_span_id: parent_span_id.map(str::to_owned), data }
    }
}

/// Returns the tokens of a trace, in the order of `TOKEN_KEYS`; what no span counts is `None`, but for input, output
/// and total, if anything is counted at all.
pub fn tokens_of(nodes: &[&Node]) -> Option<[Option<i64>; 6]> {
    let sums = sum(nodes, &TOKEN_KEYS)?;
    let mut counts = [None; 6];
    for (i, (count, sum)) in counts.iter_mut().zip(sums).enumerate() {
        *count = if i < 3 { Some(sum.unwrap_or_default()) } else { sum }.and_then(whole);
    }
    Some(counts)
}

/// Returns the cost of a trace, in the order of `COST_KEYS`.
pub fn cost_of(nodes: &[&Node]) -> Option<[Option<f64>; 3]> {
    let sums = sum(nodes, &COST_KEYS)?;
    let mut cost = [None; 3];
    for (cost, sum) in cost.iter_mut().zip(sums) {
        *cost = Some(sum.unwrap_or_default()).filter(|sum| sum.is_finite());
    }
    Some(cost)
}

/// Adds up what the spans count that have no ancestor that counts; `None` if none counts anything.
fn sum(nodes: &[&Node], keys: &[&str]) -> Option<Vec<Option<f64>>> {
    let by_id: HashMap<&str, &Node> = nodes.iter().map(|node| (node.span_id.as_str(), *node)).collect();
    let mut sums = vec![None; keys.len()];
    let mut has_data = false;
    for node in nodes {
        let Some(data) = node.data.as_ref().filter(|_| !has_counting_ancestor(node, &by_id)) else {
            continue;
        };
        has_data = true;
        for (sum, key) in sums.iter_mut().zip(keys) {
            if let Some(value) = data.get(*key).and_then(finite) {
                *sum = Some(sum.unwrap_or_default() + value);
            }
        }
    }
    has_data.then_some(sums)
}

fn has_counting_ancestor(node: &Node, by_id: &HashMap<&str, &Node>) -> bool {
    let mut seen = HashSet::new();
    let mut next = node.parent_span_id.as_deref();
    while let Some(parent) = next.and_then(|id| by_id.get(id)) {
        // Spans that call each other in a ring have no first one.
        if !seen.insert(parent.span_id.as_str()) {
            return true;
        }
        if parent.data.is_some() {
            return true;
        }
        next = parent.parent_span_id.as_deref();
    }
    false
}

/// Reads a finite number, or the text of one. Upstream: `finite_float_or_none`.
pub fn finite(value: &Tree) -> Option<f64> {
    match value {
        Tree::Number(number) => number.as_f64(),
        Tree::String(text) => loose::float(text),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// Reads a whole number, or the text of one. Upstream: `token_count_or_none`.
pub fn token_count(value: &Tree) -> Option<i64> {
    match value {
        Tree::Number(number) if number.is_i64() => number.as_i64(),
        value => finite(value).and_then(whole),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole and within range, checked before")]
pub(super) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(id: &str, parent: Option<&str>, value: Option<&Tree>) -> Node {
        Node::new(id, parent, value)
    }

    #[test]
    fn a_parent_that_counts_goes_before_its_children() {
        let usage = |input: i64| Some(json!({ "input_tokens": input, "output_tokens": 1 }));
        let nodes = [
            node("root", None, None),
            node("agent", Some("root"), usage(10).as_ref()),
            node("between", Some("agent"), None),
            node("call", Some("between"), usage(10).as_ref()),
            node("other", Some("root"), usage(5).as_ref()),
            node("lost", Some("elsewhere"), Some(&json!("{\"cache_read_input_tokens\": 2}"))),
        ];
        let nodes: Vec<&Node> = nodes.iter().collect();
        assert_eq!(tokens_of(&nodes), Some([Some(15), Some(2), Some(0), Some(2), None, None]));
        assert_eq!(cost_of(&nodes), Some([Some(0.0); 3]));
        assert_eq!(tokens_of(&[&node("a", None, None)]), None);
    }

    #[test]
    fn rings_end() {
        let nodes = [node("a", Some("b"), Some(&json!({}))), node("b", Some("a"), None)];
        assert_eq!(tokens_of(&nodes.iter().collect::<Vec<_>>()), None);
    }

    #[test]
    fn counts_are_whole() {
        for (value, want) in [
            (json!(5), Some(5)),
            (json!(5.0), Some(5)),
            (json!("7"), Some(7)),
            (json!(5.5), None),
            (json!(true), None),
            (json!(null), None),
            (json!(1e40), None),
        ] {
            assert_eq!(token_count(&value), want, "{value}");
        }
    }
}
