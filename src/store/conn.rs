//! One connection to either database, and how a fresh one is set up.
//!
//! Queries are diesel DSL written once: [`each!`](crate::store::each) expands the same text for both kinds
//! of connection, since a query's type depends on its backend. What the two databases say differently is
//! in `dialect.rs`.

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};

use super::dialect::Dialect;
use super::functions;
use super::uri::DatabaseUri;
use crate::domain::{Error, Result};

/// A connection to one of the two databases.
pub enum Conn {
    /// PostgreSQL.
    Pg(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}

/// Expands `$body` once for each kind of connection, with `$c` bound to the diesel connection.
#[macro_export]
macro_rules! each {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::store::conn::Conn::Pg($c) => $body,
            $crate::store::conn::Conn::Sqlite($c) => $body,
        }
    };
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only read; SQLite refuses writes on such a connection.
    Read,
    /// Read and write.
    Write,
    /// The same, by few statements that bring lists of rows.
    Log,
}

/// Settings of every connection.
#[derive(Debug, Clone)]
pub struct ConnSettings {
    /// How long one statement may run on PostgreSQL, in milliseconds; 0 is no limit. Too low and heavy
    /// searches fail with 503; too high and one client can hold a database thread for long.
    pub statement_timeout_ms: u64,
    /// How long SQLite waits for another process's lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// Whether SQLite flushes at every commit (`FULL`), so that an acknowledged write survives a power
    /// failure, or leaves that to the operating system (`NORMAL`), so that it survives only a crash.
    pub sqlite_full_sync: bool,
}

impl Default for ConnSettings {
    fn default() -> Self {
        Self { statement_timeout_ms: 60_000, busy_timeout_ms: 20_000, sqlite_full_sync: true }
    }
}

impl Conn {
    /// Opens a connection and sets it up.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when the database cannot be reached.
    pub fn open(uri: &DatabaseUri, access: Access, settings: &ConnSettings) -> Result<Self> {
        let mut conn = match uri {
            DatabaseUri::Postgres(_) => {
                Self::Pg(PgConnection::establish(&uri.conninfo()).map_err(|e| unreachable_db(&e))?)
            }
            DatabaseUri::Sqlite(_) => {
                let mut conn =
                    SqliteConnection::establish(&uri.conninfo()).map_err(|e| unreachable_db(&e))?;
                functions::register(&mut conn)?;
                Self::Sqlite(conn)
            }
        };
        let sql = conn.dialect().setup(access, settings);
        conn.batch_execute(&sql)?;
        Ok(conn)
    }

    /// Returns which database this is.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Pg(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs statements without binds or results.
    pub fn batch_execute(&mut self, sql: &str) -> diesel::QueryResult<()> {
        each!(self, c => c.batch_execute(sql))
    }

    /// Says whether the connection still answers.
    pub fn is_alive(&mut self) -> bool {
        self.batch_execute("SELECT 1").is_ok()
    }
}

fn unreachable_db(error: &diesel::ConnectionError) -> Error {
    // The cause names host and user, which is for the log.
    Error::unavailable("The database cannot be reached; try again.").with_source(error.to_string())
}
