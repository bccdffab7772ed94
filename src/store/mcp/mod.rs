//! The registry of MCP servers: `servers.rs`, `versions.rs` and `endpoints.rs` by what they are about, `rows.rs` for
//! how their rows become what is shown. Columns of JSON are written and read as their text by statements that say so.

mod endpoints;
mod rows;
mod servers;
#[cfg(test)]
mod tests;
mod versions;

use serde_json::Value;

pub use endpoints::{EndpointTarget, EndpointUpdate, EndpointsOf, NewEndpoint};
pub use servers::ServerUpdate;
pub use versions::{NewVersion, VersionUpdate};

use super::predicate::{Column, Search, direction, number_op};
use crate::domain::ids::{McpServerName, McpVersion};
use crate::domain::page::offset_token;
use crate::domain::time::now_ms;
use crate::domain::{Error, validate};
use crate::search::NumberOp;
use crate::search::mcp::{McpQuery, Test};

/// A page of a search.
#[derive(Debug)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next_page_token: Option<String>,
}

/// Upstream: `SqlAlchemyStore._get_entity_or_raise`.
fn server_missing(name: &McpServerName) -> Error {
    Error::not_found(format!("MCPServer not found (name='{name}')"))
}

fn version_missing(name: &McpServerName, version: &McpVersion) -> Error {
    Error::not_found(format!("MCP server version '{name}' version '{version}' not found"))
}

/// Adds a text of JSON, or NULL.
fn add_json<ST>(statement: &mut Search<ST>, value: Option<&Value>, cast: &'static str) {
    match value.filter(|value| !value.is_null()) {
        Some(value) => statement.text(&value.to_string()).sql(cast),
        None => statement.sql("NULL"),
    };
}

/// Adds a text, or NULL.
fn add_text<ST>(statement: &mut Search<ST>, value: Option<&str>) {
    match value {
        Some(value) => statement.text(value),
        None => statement.sql("NULL"),
    };
}

/// Adds a condition on `column`.
fn add_test<ST>(statement: &mut Search<ST>, column: &'static str, test: &Test) {
    match test {
        Test::Text(test) => statement.text_test(Column::Of(column), test),
        Test::Ordered(op, text) => statement.sql(column).sql(number_op(*op)).text(text),
        Test::List(membership, texts) => statement.sql(column).texts(*membership, texts),
        Test::Number(op, number) => statement.sql(column).sql(number_op(*op)).number(*number),
    };
}

/// Adds the order of a query; `column` names the columns of each of its keys.
fn add_order<ST>(
    statement: &mut Search<ST>,
    query: &McpQuery,
    columns: impl Fn(&str) -> &'static [&'static str],
) {
    let mut separator = " ORDER BY ";
    for (key, towards) in &query.order {
        for column in columns(key) {
            statement.sql(separator).sql(column).sql(direction(*towards));
            separator = ", ";
        }
    }
}

/// Takes off what is beyond the page: one row more than it tells whether there is a next one.
fn cut_page<T>(rows: &mut Vec<T>, limit: i64, offset: i64) -> Option<String> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let token = (rows.len() > size).then(|| offset_token(offset.saturating_add(limit)));
    rows.truncate(size);
    token
}
