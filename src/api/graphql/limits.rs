//! Query complexity limits. Fragments count where they are used.
//!
//! Upstream: `mlflow.server.graphql.graphql_no_batching`.

use std::collections::{HashMap, HashSet};

use apollo_compiler::Name;
use apollo_compiler::ast::{Definition, Document, Field, Selection};

use crate::domain::validate::Limits;

const MAX_DEPTH: usize = 10;
const MAX_SELECTIONS: usize = 1000;

type Fragments<'a> = HashMap<&'a Name, &'a [Selection]>;

/// Says what is too much about a query.
pub(super) fn check(document: &Document, limits: &Limits) -> Result<(), String> {
    let fragments: Fragments<'_> = document
        .definitions
        .iter()
        .filter_map(Definition::as_fragment_definition)
        .map(|fragment| (&fragment.name, fragment.selection_set.as_slice()))
        .collect();
    let mut size = Size::default();
    for operation in document.definitions.iter().filter_map(Definition::as_operation_definition) {
        size.add(&operation.selection_set, &fragments)?;
    }
    for (count, limit, what, variable) in [
        (
            size.root_fields,
            limits.graphql_root_fields,
            "root fields",
            "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS",
        ),
        (size.aliases, limits.graphql_aliases, "aliases", "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES"),
    ] {
        if count > limit {
            return Err(format!(
                "GraphQL queries should have at most {limit} {what}, got {count} {what}. To increase the limit, \
                 set the {variable} environment variable."
            ));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Size {
    root_fields: usize,
    /// The most at one level.
    aliases: usize,
    selections: usize,
}

impl Size {
    fn add(&mut self, root: &[Selection], fragments: &Fragments<'_>) -> Result<(), String> {
        let mut levels = vec![(root, 1)];
        while let Some((selections, depth)) = levels.pop() {
            if depth > MAX_DEPTH {
                return Err(format!("Query exceeds maximum depth of {MAX_DEPTH}"));
            }
            let fields = fields_of(selections, fragments);
            self.aliases = self.aliases.max(fields.iter().filter(|field| field.alias.is_some()).count());
            for field in fields {
                self.root_fields += usize::from(depth == 1);
                self.selections += 1;
                if self.selections > MAX_SELECTIONS {
                    return Err(format!("Query exceeds maximum total selections of {MAX_SELECTIONS}"));
                }
                if !field.selection_set.is_empty() {
                    levels.push((&field.selection_set, depth + 1));
                }
            }
        }
        Ok(())
    }
}

/// Returns the fields of one level, also those in fragments.
fn fields_of<'a>(selections: &'a [Selection], fragments: &Fragments<'a>) -> Vec<&'a Field> {
    let (mut fields, mut seen, mut waiting) = (Vec::new(), HashSet::new(), vec![selections]);
    while let Some(selections) = waiting.pop() {
        for selection in selections {
            match selection {
                Selection::Field(field) => fields.push(&**field),
                Selection::InlineFragment(fragment) => waiting.push(&fragment.selection_set),
                Selection::FragmentSpread(spread) => {
                    if seen.insert(&spread.fragment_name) {
                        waiting.extend(fragments.get(&spread.fragment_name));
                    }
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(query: &str) -> Option<String> {
        let document = Document::parse(query, "query").unwrap();
        check(&document, &Limits::default()).err()
    }

    fn repeat(text: &str, times: usize) -> String {
        (0..times).map(|i| text.replace('#', &i.to_string())).collect()
    }

    #[test]
    fn depth_counts_through_fragments() {
        assert_eq!(error(&format!("{}b{}", repeat("{a", 9), "}".repeat(9)).replacen('b', "{b}", 1)), None);
        let deep = format!("{}{{b}}{}", repeat("{a", 10), "}".repeat(10));
        assert_eq!(error(&deep).unwrap(), "Query exceeds maximum depth of 10");
        assert_eq!(
            error("{a{...f}} fragment f on A {a{...f}}").unwrap(),
            "Query exceeds maximum depth of 10"
        );
    }

    #[test]
    fn selections_root_fields_and_aliases_are_limited() {
        assert_eq!(error(&format!("{{a{{{}}}}}", repeat("b ", 999))), None);
        assert_eq!(
            error(&format!("{{a{{{}}}}}", repeat("b ", 1000))).unwrap(),
            "Query exceeds maximum total selections of 1000"
        );
        assert_eq!(error(&format!("{{{}}}", repeat("a ", 10))), None);
        let many = error(&format!("{{{}}}", repeat("a ", 11))).unwrap();
        assert!(many.starts_with("GraphQL queries should have at most 10 root fields, got 11 root fields."));
        let aliases =
            error(&format!("{{a{{...f {}}}}} fragment f on A {{x: y}}", repeat("b#: c ", 10))).unwrap();
        assert!(aliases.starts_with("GraphQL queries should have at most 10 aliases, got 11 aliases."));
    }
}
