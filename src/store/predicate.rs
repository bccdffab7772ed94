//! Searches as SQL: text that is put together from fixed pieces, with every value of the client as a typed bind. A
//! query that joins as many tables as the filter has comparisons is more than a typed builder can hold. Operators come
//! from the small tables here, so nothing a client writes gets into the text.

use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Double, HasSqlType, Integer, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};
use serde_json::Value;

use super::dialect::Dialect;
use super::postgres::PgConn;
use super::statement::json_list;
use crate::proto::ViewType;
use crate::search::{Direction, KeyTest, ListTest, Membership, Number, NumberOp, TextOp, TextTest};

/// The longest list that is a bind for each value, with which a database plans best.
const BINDS_OF_A_LIST: usize = 100;

/// A part of a statement.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Sql(&'static str),
    /// The number of a joined table.
    Index(usize),
    Text(String),
    Double(f64),
    BigInt(i64),
    Integer(i32),
}

/// A statement in the making, whose rows have the SQL type `ST`.
#[derive(Debug)]
pub(super) struct Search<ST> {
    dialect: Dialect,
    pieces: Vec<Piece>,
    /// Whether the statement's text is one of few, so that keeping it prepared pays.
    is_common: bool,
    rows: PhantomData<ST>,
}

impl<ST> Search<ST> {
    /// Begins a statement.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, pieces: Vec::with_capacity(64), is_common: false, rows: PhantomData }
    }

    /// Says that the statement's text is one of a few dozen: connections keep it prepared, for ever.
    pub(super) fn keep_prepared(&mut self) {
        self.is_common = true;
    }

    /// Adds fixed text.
    pub(super) fn sql(&mut self, text: &'static str) -> &mut Self {
        self.pieces.push(Piece::Sql(text));
        self
    }

    /// Adds the name of the `index`th joined table: `name` and the number.
    pub(super) fn alias(&mut self, name: &'static str, index: usize) -> &mut Self {
        self.pieces.extend([Piece::Sql(name), Piece::Index(index)]);
        self
    }

    /// Adds a text as a bind.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.pieces.push(Piece::Text(value.to_owned()));
        self
    }

    /// Adds a number of a 32-bit column as a bind.
    pub(super) fn integer(&mut self, value: i32) -> &mut Self {
        self.pieces.push(Piece::Integer(value));
        self
    }

    /// Adds a 64-bit number as a bind.
    pub(super) fn bigint(&mut self, value: i64) -> &mut Self {
        self.pieces.push(Piece::BigInt(value));
        self
    }

    /// Adds a float as a bind.
    pub(super) fn double(&mut self, value: f64) -> &mut Self {
        self.pieces.push(Piece::Double(value));
        self
    }

    /// Adds a number as a bind.
    pub(super) fn number(&mut self, value: Number) -> &mut Self {
        match value {
            Number::Int(value) => self.bigint(value),
            Number::Float(value) => self.double(value),
        }
    }

    /// Adds `IN` or `NOT IN` with its list; an empty list holds nothing.
    pub(super) fn ids(&mut self, membership: Membership, ids: &[i32]) -> &mut Self {
        if ids.len() > BINDS_OF_A_LIST {
            let list = Value::from(ids.to_vec()).to_string();
            return self.long_list(membership, "CAST(k.id AS INTEGER)", list);
        }
        self.list(membership, ids.iter().map(|id| Piece::Integer(*id)))
    }

    /// Adds `IN` or `NOT IN` with its list of texts.
    pub(super) fn texts<S: AsRef<str>>(&mut self, membership: Membership, texts: &[S]) -> &mut Self {
        if texts.len() > BINDS_OF_A_LIST {
            // No column holds a NUL, and PostgreSQL reads none.
            let storable = texts.iter().map(AsRef::as_ref).filter(|text| !text.contains('\0'));
            return self.long_list(membership, "k.id", json_list(&storable.collect::<Vec<_>>()));
        }
        self.list(membership, texts.iter().map(|text| Piece::Text(text.as_ref().to_owned())))
    }

    /// Adds a list as one bind: both databases take only so many.
    fn long_list(&mut self, membership: Membership, id: &'static str, list: String) -> &mut Self {
        let (before, after) = self.dialect.listed();
        self.sql(match membership {
            Membership::In => " IN (SELECT ",
            Membership::NotIn => " NOT IN (SELECT ",
        });
        self.sql(id).sql(" FROM ").sql(before);
        self.pieces.push(Piece::Text(list));
        self.sql(after).sql(")")
    }

    fn list(&mut self, membership: Membership, values: impl Iterator<Item = Piece>) -> &mut Self {
        self.sql(match membership {
            Membership::In => " IN (",
            Membership::NotIn => " NOT IN (",
        });
        let mut separator = "";
        for value in values {
            self.sql(separator);
            self.pieces.push(value);
            separator = ", ";
        }
        // Nothing is in an empty list, and everything is out of it.
        self.sql(if separator.is_empty() { "SELECT 0 WHERE 1 = 0)" } else { ")" })
    }

    /// Adds a comparison of `column` with a text.
    pub(super) fn text_test(&mut self, column: Column, test: &TextTest) -> &mut Self {
        let (before, between, after) = match test.op {
            TextOp::Eq => ("", " = ", ""),
            TextOp::Ne => ("", " != ", ""),
            TextOp::Like => ("", " LIKE ", ""),
            TextOp::ILike => self.dialect.ilike(),
        };
        self.sql(before).column(column).sql(between).text(&test.value).sql(after)
    }

    /// Adds that a column with an index of ours of its beginning is `value`.
    pub(super) fn indexed_text(&mut self, column: &'static str, value: &str) -> &mut Self {
        if let Some((before, between, after)) = self.dialect.beginning() {
            self.sql(before).sql(column).sql(between).text(value).sql(after);
        }
        self.sql(column).sql(" = ").text(value)
    }

    /// Adds a comparison of a column of long texts with a text.
    pub(super) fn long_text_test(&mut self, column: &'static str, test: &TextTest) -> &mut Self {
        let faster = match (test.op, held_by(&test.value)) {
            (TextOp::Like, Some(text)) => self.dialect.holds().map(|sql| (sql, text.to_owned())),
            (TextOp::ILike, Some(text)) if text.is_ascii() => {
                self.dialect.holds_any_case().map(|sql| (sql, text.to_ascii_lowercase()))
            }
            _ => None,
        };
        let Some(((before, between, after), text)) = faster else {
            return self.text_test(Column::Of(column), test);
        };
        self.sql(before).sql(column).sql(between).text(&text).sql(after)
    }

    /// Returns how the database says what differs.
    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Adds a comparison of `column` with a text or a list.
    pub(super) fn list_test(&mut self, column: Column, test: &ListTest) -> &mut Self {
        match test {
            ListTest::Text(test) => self.text_test(column, test),
            ListTest::List(membership, values) => self.column(column).texts(*membership, values),
        }
    }

    /// Adds the condition that a regular expression is found in a column.
    pub(super) fn regex(&mut self, column: &'static str, pattern: &str) -> &mut Self {
        let operator = self.dialect.regex();
        self.sql(column).sql(operator).text(pattern)
    }

    /// Adds the percentile of a column; the percentage is from 0 to 100.
    pub(super) fn percentile(&mut self, column: &'static str, percentage: f64) {
        let (before, between, after) = self.dialect.percentile();
        self.sql(before).double(percentage).sql(between).sql(column).sql(after);
    }

    /// Adds a column.
    pub(super) fn column(&mut self, column: Column) -> &mut Self {
        match column {
            Column::Of(name) => self.sql(name),
            Column::Joined(table, index, name) => self.alias(table, index).sql(name),
        }
    }

    /// Joins the row of `table` whose key and value a filter asks for; `index` tells the joins apart. Presence alone
    /// is asked in the WHERE clause: see [`Search::presence`].
    pub(super) fn join_key(&mut self, table: &KeyTable, index: usize, key: &str, test: &KeyTest) {
        let KeyTest::Value(test) = test else { return };
        self.sql(" JOIN ").sql(table.name).sql(" ").alias("f", index).sql(" ON ");
        self.alias("f", index)
            .sql(table.on)
            .sql(" AND ")
            .alias("f", index)
            .sql(".key = ")
            .text(key)
            .sql(" AND ");
        let (before, after) = if test.op == TextOp::Eq { self.dialect.rare() } else { ("", "") };
        self.sql(before).text_test(Column::Joined("f", index, ".value"), test).sql(after);
    }

    /// Adds `AND [NOT] EXISTS` of a row of `table` with `key`, if that is what the filter asks.
    pub(super) fn presence(&mut self, table: &KeyTable, key: &str, test: &KeyTest) {
        self.sql(match test {
            KeyTest::Value(_) => return,
            KeyTest::Present => " AND EXISTS (SELECT 1 FROM ",
            KeyTest::Absent => " AND NOT EXISTS (SELECT 1 FROM ",
        });
        self.sql(table.name).sql(" k WHERE k").sql(table.on).sql(" AND k.key = ").text(key).sql(")");
    }

    /// Adds the condition that the lifecycle stage `column` is one that `view` shows.
    pub(super) fn stage(&mut self, column: &'static str, view: ViewType) -> &mut Self {
        self.sql(column);
        // Fixed texts, not binds, so that PostgreSQL plans with them.
        self.sql(match view {
            ViewType::ActiveOnly => " = 'active'",
            ViewType::DeletedOnly => " = 'deleted'",
            ViewType::All => " IN ('active', 'deleted')",
        })
    }

    /// Adds LIMIT and OFFSET.
    pub(super) fn page(&mut self, limit: i64, offset: i64) -> &mut Self {
        self.sql(" LIMIT ").bigint(limit).sql(" OFFSET ").bigint(offset)
    }

    /// Returns the statement behind `prefix`, with rows of another type.
    #[cfg(test)]
    pub(super) fn explained<T>(mut self, prefix: &'static str) -> Search<T> {
        self.pieces.insert(0, Piece::Sql(prefix));
        Search { dialect: self.dialect, pieces: self.pieces, is_common: false, rows: PhantomData }
    }

    fn walk<'b, DB>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<Text> + HasSqlType<Double> + HasSqlType<BigInt> + HasSqlType<Integer>,
        str: ToSql<Text, DB>,
        f64: ToSql<Double, DB>,
        i64: ToSql<BigInt, DB>,
        i32: ToSql<Integer, DB>,
    {
        if !self.is_common {
            out.unsafe_to_cache_prepared();
        }
        for piece in &self.pieces {
            match piece {
                Piece::Sql(text) => out.push_sql(text),
                Piece::Index(index) => out.push_sql(&index.to_string()),
                Piece::Text(value) => out.push_bind_param::<Text, str>(value)?,
                Piece::Double(value) => out.push_bind_param::<Double, f64>(value)?,
                Piece::BigInt(value) => out.push_bind_param::<BigInt, i64>(value)?,
                Piece::Integer(value) => out.push_bind_param::<Integer, i32>(value)?,
            }
        }
        Ok(())
    }
}

/// A column that a condition is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Of the searched table, with its alias.
    Of(&'static str),
    /// Of a joined table: its alias, its number and the column with a dot before it.
    Joined(&'static str, usize, &'static str),
}

/// A table of keys and values.
pub(super) struct KeyTable {
    /// Its name.
    pub(super) name: &'static str,
    /// How its rows belong to the searched table, behind its alias.
    pub(super) on: &'static str,
}

/// Returns the text that a pattern of LIKE asks for, if it asks for one text in any place.
fn held_by(pattern: &str) -> Option<&str> {
    let text = pattern.strip_prefix('%')?.strip_suffix('%')?;
    (!text.is_empty() && !text.contains(['%', '_', '\\', '\0'])).then_some(text)
}

/// Returns the operator's text.
pub(super) const fn number_op(op: NumberOp) -> &'static str {
    match op {
        NumberOp::Eq => " = ",
        NumberOp::Ne => " != ",
        NumberOp::Lt => " < ",
        NumberOp::Le => " <= ",
        NumberOp::Gt => " > ",
        NumberOp::Ge => " >= ",
    }
}

/// Returns the direction's text.
pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => " ASC",
        Direction::Descending => " DESC",
    }
}

impl<ST> QueryFragment<Pg> for Search<ST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(out)
    }
}

impl<ST> QueryFragment<Sqlite> for Search<ST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(out)
    }
}

impl<ST> QueryId for Search<ST> {
    // The text is the key of the cache.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Search<ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<PgConn> for Search<ST> {}
impl<ST> RunQueryDsl<SqliteConnection> for Search<ST> {}
