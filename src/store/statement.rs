//! Hot statements as plain text with typed binds. Unlike diesel's `sql_query`, and unlike its updates and
//! upserts, such a statement is prepared once per connection and then reused.
//!
//! The text is `&'static str` so that a connection's cache of prepared statements stays bounded.
//!
//! # Look-ups
//!
//! What belongs to the things of a list PostgreSQL is to look up by the index of their ids, one after the other. Left to
//! choose, it reads the whole table, or the rows of another index and throws most away, whenever its statistics say so:
//! those of a table that was empty or small when the statement was planned, or that holds other rows by now. So the texts
//! leave no choice:
//!
//! - `unnest((SELECT ?)) p(id) CROSS JOIN LATERAL (… OFFSET 0)` goes through the list, and can be no other kind of join.
//!   How long the list is PostgreSQL does not see: it would plan short ones, which are cheaper than what it takes a list
//!   for, anew each time;
//! - `id BETWEEN p.id AND p.id` is the equality, but is always taken for one row in two hundred, while `=` is taken for
//!   all rows where one owner had them all when the table was analysed, and then any index is as good as another;
//! - `same_pair!` is taken for fewer rows still where an index begins with both columns, and so not found by the one of
//!   `id`, in which a single id may have a million rows. Only where the first column is an equality does the scan of an
//!   index end behind the second; and it does not end where a comparison of rows, its upper bound, fails before that;
//! - a single id comes from a sub-select with `OFFSET 0`, too: for a value that it sees, and that is not among its
//!   statistics, it takes one row, and then any index is as good as another;
//! - `ORDER BY` the columns of the index decides between two that seem equally good.

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, BigInt, Bool, Double, HasSqlType, Integer, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};
use serde_json::Value;

use super::postgres::PgConn;

/// The condition that two columns have two values, for the index that begins with these columns: see "Look-ups".
#[rustfmt::skip]
macro_rules! same_pair {
    ($one:literal, $two:literal, $is_one:literal, $is_two:literal) => {
        concat!(
            $one, " = ", $is_one, " AND ", $two, " BETWEEN ", $is_two, " AND ", $is_two,
            " AND (", $one, ", ", $two, ") >= (", $is_one, ", ", $is_two, ")"
        )
    };
}

/// A value for a `?` in a statement's text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bind<'a> {
    Text(&'a str),
    Double(f64),
    BigInt(i64),
    Int(i32),
    Bool(bool),
    OptText(Option<&'a str>),
    OptDouble(Option<f64>),
    OptBigInt(Option<i64>),
    /// PostgreSQL only, like the other lists.
    Texts(&'a [&'a str]),
    Doubles(&'a [f64]),
    BigInts(&'a [i64]),
    Bools(&'a [bool]),
    OptTexts(&'a [Option<&'a str>]),
    OptDoubles(&'a [Option<f64>]),
    OptBigInts(&'a [Option<i64>]),
}

/// A statement whose `?` take `binds` in their order, and whose rows have the SQL type `ST`.
pub(super) struct Statement<'a, ST = ()> {
    text: &'static str,
    binds: &'a [Bind<'a>],
    is_kept: bool,
    rows: std::marker::PhantomData<ST>,
}

/// Returns a statement. The text must hold as many `?` as there are binds, and no other `?`.
pub(super) const fn statement<'a, ST>(text: &'static str, binds: &'a [Bind<'a>]) -> Statement<'a, ST> {
    Statement { text, binds, is_kept: true, rows: std::marker::PhantomData }
}

impl<ST> Statement<'_, ST> {
    /// Has the statement planned each time, for what its tables are then: where that takes little of what it takes to
    /// execute it, and where no text keeps a table that was small from being gone through by the wrong index later.
    pub(super) const fn planned_anew(mut self) -> Self {
        self.is_kept = false;
        self
    }

    fn walk<'b, DB: Backend>(
        &'b self,
        mut out: AstPass<'_, 'b, DB>,
        mut push: impl FnMut(&'b Bind<'b>, AstPass<'_, 'b, DB>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        let mut binds = self.binds.iter();
        let mut parts = self.text.split('?');
        out.push_sql(parts.next().unwrap_or_default());
        for part in parts {
            let bind = binds.next().ok_or_else(|| wrong("fewer binds than marks"))?;
            push(bind, out.reborrow())?;
            out.push_sql(part);
        }
        Ok(())
    }
}

/// A list of texts as SQLite takes one: a bind for `json_each`.
pub(super) fn json_list(texts: &[&str]) -> String {
    Value::from(texts.to_vec()).to_string()
}

fn wrong(what: &'static str) -> diesel::result::Error {
    diesel::result::Error::QueryBuilderError(what.into())
}

/// Pushes a bind that both databases know; `false` is returned for the others.
fn push_common<'b, DB>(bind: &'b Bind<'b>, mut out: AstPass<'_, 'b, DB>) -> QueryResult<bool>
where
    DB: Backend
        + HasSqlType<Text>
        + HasSqlType<Double>
        + HasSqlType<BigInt>
        + HasSqlType<Integer>
        + HasSqlType<Bool>,
    str: ToSql<Text, DB>,
    f64: ToSql<Double, DB>,
    i64: ToSql<BigInt, DB>,
    i32: ToSql<Integer, DB>,
    bool: ToSql<Bool, DB>,
{
    match bind {
        Bind::Text(v) => out.push_bind_param::<Text, str>(v)?,
        Bind::Double(v) => out.push_bind_param::<Double, f64>(v)?,
        Bind::BigInt(v) => out.push_bind_param::<BigInt, i64>(v)?,
        Bind::Int(v) => out.push_bind_param::<Integer, i32>(v)?,
        Bind::Bool(v) => out.push_bind_param::<Bool, bool>(v)?,
        Bind::OptText(v) => out.push_bind_param::<Nullable<Text>, Option<&'b str>>(v)?,
        Bind::OptDouble(v) => out.push_bind_param::<Nullable<Double>, Option<f64>>(v)?,
        Bind::OptBigInt(v) => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(v)?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl<ST> QueryFragment<Pg> for Statement<'_, ST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(out, |bind, mut out| match bind {
            Bind::Texts(v) => out.push_bind_param::<Array<Text>, [&'b str]>(v),
            Bind::Doubles(v) => out.push_bind_param::<Array<Double>, [f64]>(v),
            Bind::BigInts(v) => out.push_bind_param::<Array<BigInt>, [i64]>(v),
            Bind::Bools(v) => out.push_bind_param::<Array<Bool>, [bool]>(v),
            Bind::OptTexts(v) => out.push_bind_param::<Array<Nullable<Text>>, [Option<&'b str>]>(v),
            Bind::OptDoubles(v) => out.push_bind_param::<Array<Nullable<Double>>, [Option<f64>]>(v),
            Bind::OptBigInts(v) => out.push_bind_param::<Array<Nullable<BigInt>>, [Option<i64>]>(v),
            one => push_common(one, out).map(|_known| ()),
        })
    }
}

impl<ST> QueryFragment<Sqlite> for Statement<'_, ST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(
            out,
            |bind, out| {
                if push_common(bind, out)? { Ok(()) } else { Err(wrong("SQLite takes no lists")) }
            },
        )
    }
}

impl<ST> QueryId for Statement<'_, ST> {
    // The text is the key of the cache.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Statement<'_, ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<PgConn> for Statement<'_, ST> {}
impl<ST> RunQueryDsl<SqliteConnection> for Statement<'_, ST> {}
