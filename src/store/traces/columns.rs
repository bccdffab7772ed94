//! Writes of many rows with many columns. On PostgreSQL one statement takes the columns as lists (`unnest`); on SQLite
//! a prepared statement runs once per row.

use diesel::{QueryResult, RunQueryDsl as _};

use crate::store::conn::Conn;
use crate::store::statement::{Bind, statement};

/// The values of one column, one for each row.
#[derive(Debug)]
pub(super) enum Column<'a> {
    Texts(Vec<&'a str>),
    OptTexts(Vec<Option<&'a str>>),
    BigInts(Vec<i64>),
    OptBigInts(Vec<Option<i64>>),
    OptDoubles(Vec<Option<f64>>),
}

impl<'a> Column<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::OptTexts(values) => values.len(),
            Self::BigInts(values) => values.len(),
            Self::OptBigInts(values) => values.len(),
            Self::OptDoubles(values) => values.len(),
        }
    }

    /// All values as one bind.
    pub(super) fn list(&'a self) -> Bind<'a> {
        match self {
            Self::Texts(values) => Bind::Texts(values),
            Self::OptTexts(values) => Bind::OptTexts(values),
            Self::BigInts(values) => Bind::BigInts(values),
            Self::OptBigInts(values) => Bind::OptBigInts(values),
            Self::OptDoubles(values) => Bind::OptDoubles(values),
        }
    }

    /// The value of a row.
    pub(super) fn value(&self, row: usize) -> Bind<'a> {
        match self {
            Self::Texts(values) => Bind::OptText(values.get(row).copied()),
            Self::OptTexts(values) => Bind::OptText(values.get(row).copied().flatten()),
            Self::BigInts(values) => Bind::OptBigInt(values.get(row).copied()),
            Self::OptBigInts(values) => Bind::OptBigInt(values.get(row).copied().flatten()),
            Self::OptDoubles(values) => Bind::OptDouble(values.get(row).copied().flatten()),
        }
    }
}

/// Runs the statement of the database for all rows; the binds stand in the order of `columns`. Returns how many rows
/// were written.
pub(super) fn write_rows(
    conn: &mut Conn,
    columns: &[Column<'_>],
    pg: &'static str,
    sqlite: &'static str,
) -> QueryResult<usize> {
    let rows = columns.first().map_or(0, Column::len);
    match conn {
        _ if rows == 0 => Ok(0),
        Conn::Pg(c) => {
            let binds: Vec<Bind<'_>> = columns.iter().map(Column::list).collect();
            statement::<()>(pg, &binds).execute(c)
        }
        Conn::Sqlite(c) => (0..rows).try_fold(0, |written, row| {
            let binds: Vec<Bind<'_>> = columns.iter().map(|column| column.value(row)).collect();
            Ok(written + statement::<()>(sqlite, &binds).execute(c)?)
        }),
    }
}
