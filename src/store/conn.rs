//! One connection to either database, and how a fresh one is set up.
//!
//! Queries are diesel DSL written once: [`each!`](crate::store::each) expands the same text for both kinds
//! of connection, since a query's type depends on its backend. What the two databases say differently is
//! in `dialect.rs`.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Integer};
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};
use ferroflow_libpq::Canceller;
use tracing::debug;

use super::dialect::Dialect;
use super::error::{commit_failed, transaction_lost};
use super::functions;
use super::postgres::PgConn;
use super::sqlite_file::{self, FileId};
use super::statement::statement;
use super::uri::DatabaseUri;
use crate::domain::{Error, Result};

/// A connection to one of the two databases.
pub enum Conn {
    /// PostgreSQL.
    Pg(PgConn),
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

/// What stands between the server and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Found out for every connection: a pooler names a server process that does not exist.
    #[default]
    Auto,
    /// Nothing: a connection is a session.
    None,
    /// A pooler that may hand out another session for every transaction.
    Transaction,
}

/// How long a statement waits for a lock that another transaction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockWait {
    /// As long as two requests may meet; not as long as a person at a prompt holds a lock.
    Brief,
    /// Until the statement's time is over.
    Long,
}

/// Settings of every connection.
#[derive(Debug, Clone)]
pub struct ConnSettings {
    /// Whether a pooler is expected before PostgreSQL.
    pub pooler: Pooler,
    /// How long a statement on PostgreSQL waits for a lock before it stands aside for others, in milliseconds; 0 is no
    /// limit. Too low and writes that meet are repeated often; too high and one locked row holds up others.
    pub lock_timeout_ms: u64,
    /// How long one statement may run on PostgreSQL, in milliseconds; 0 is no limit. Too low and heavy
    /// searches fail with 503; too high and one client can hold a database thread for long.
    pub statement_timeout_ms: u64,
    /// How old a connection to PostgreSQL may become before it is replaced; `None` is no limit.
    pub recycle: Option<Duration>,
    /// How long SQLite waits for another process's lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// Whether SQLite flushes at every commit (`FULL`), so that an acknowledged write survives a power
    /// failure, or leaves that to the operating system (`NORMAL`), so that it survives only a crash.
    pub sqlite_full_sync: bool,
    /// The file that SQLite's database has to be; `None` takes what is there, or makes one.
    pub sqlite_file: Option<FileId>,
}

impl Default for ConnSettings {
    fn default() -> Self {
        Self {
            pooler: Pooler::Auto,
            lock_timeout_ms: 250,
            statement_timeout_ms: 60_000,
            recycle: None,
            busy_timeout_ms: 20_000,
            sqlite_full_sync: true,
            sqlite_file: None,
        }
    }
}

impl Conn {
    /// Opens a connection and sets it up.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when the database cannot be reached.
    pub fn open(uri: &DatabaseUri, access: Access, settings: &ConnSettings) -> Result<Self> {
        match uri {
            DatabaseUri::Postgres(_) => {
                let mut conn = PgConn::open(&uri.conninfo()).map_err(|e| unreachable_db(&e))?;
                set_up_postgres(&mut conn, access, settings)?;
                Ok(Self::Pg(conn))
            }
            DatabaseUri::Sqlite(_) => {
                let mut conn = sqlite_file::open(uri, settings)?;
                functions::register(&mut conn)?;
                conn.batch_execute(&Dialect::sqlite_setup(access, settings))?;
                Ok(Self::Sqlite(conn))
            }
        }
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

    /// Opens a transaction.
    pub(super) fn begin(&mut self, wait: LockWait) -> QueryResult<()> {
        match self {
            Self::Pg(c) => c.begin(wait),
            // Takes the write lock at once: a lock taken later may not be waited for.
            Self::Sqlite(c) => c.batch_execute("BEGIN IMMEDIATE"),
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE`; unless its cause says that nothing is stored, the database may have committed.
    pub(super) fn commit(&mut self) -> Result<()> {
        match self {
            Self::Pg(c) if !c.is_in_transaction() => Err(transaction_lost().into()),
            Self::Pg(c) => match c.commit() {
                Ok(true) => Ok(()),
                Ok(false) => Err(transaction_lost().into()),
                Err(e) => Err(commit_failed(e)),
            },
            Self::Sqlite(c) => c.batch_execute("COMMIT").map_err(commit_failed),
        }
    }

    /// Runs `f`, which only reads, and may read tables whole where PostgreSQL takes that for quicker: what looks into most
    /// of the rows would take the way through an index for each of them. Nothing in it may be kept prepared: its plan
    /// would be kept, too.
    ///
    /// # Errors
    /// Those of `f`.
    pub(super) fn with_table_scans<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.with_planner(
            "SET LOCAL enable_seqscan = on",
            ["SET enable_seqscan = on", "SET enable_seqscan = off"],
            f,
        )
    }

    /// Runs `f`, which only reads, with rows taken in the order of an index wherever PostgreSQL has one for it: of several
    /// indexes that its statistics say nothing about, it takes the one that saves a sort. Nothing in it may be kept
    /// prepared: later its plan would be made anew without that.
    ///
    /// # Errors
    /// Those of `f`.
    pub(super) fn with_ordered_scans<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.with_planner("SET LOCAL enable_sort = off", ["SET enable_sort = off", "SET enable_sort = on"], f)
    }

    /// Runs `f` with a setting of PostgreSQL's planner: `local` makes it for a transaction, the others make and undo it.
    fn with_planner<T>(
        &mut self,
        local: &str,
        [set, reset]: [&str; 2],
        f: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Self::Pg(c) = self else { return f(self) };
        if c.is_in_transaction() {
            // As long as that lasts; behind a pooler it always does.
            c.batch_execute(local)?;
            return f(self);
        }
        c.batch_execute(set)?;
        let result = f(self);
        let reset = self.batch_execute(reset);
        // A connection that cannot be reset is lost, of which the first error tells more.
        let value = result?;
        reset?;
        Ok(value)
    }

    /// Says whether a lone statement or several run without a transaction: not behind a pooler, where each could reach
    /// another session, and none would have our settings.
    pub(super) const fn needs_transaction(&self) -> bool {
        match self {
            Self::Pg(c) => c.is_pooled(),
            Self::Sqlite(_) => false,
        }
    }

    /// Says whether the connection can still be used, as far as is known without asking.
    pub(super) fn is_usable(&mut self) -> bool {
        match self {
            Self::Pg(c) => c.is_usable() && c.is_idle(),
            Self::Sqlite(c) => c.batch_execute("SELECT 1").is_ok(),
        }
    }

    /// Returns what ends this connection's statements from another thread, where there is such a thing.
    pub(super) fn canceller(&self) -> Option<Arc<Canceller>> {
        match self {
            Self::Pg(c) => c.canceller(),
            Self::Sqlite(_) => None,
        }
    }

    /// Waits no longer than this for the statements that follow; `None` is as long as one may take.
    pub(super) fn limit(&mut self, patience: Option<Duration>) {
        if let Self::Pg(c) = self {
            c.limit(patience);
        }
    }

    /// Asks whether the server is still there, and waits no longer than `patience`.
    pub(super) fn answers(&mut self, patience: Duration) -> bool {
        match self {
            Self::Pg(c) => c.answers(patience),
            Self::Sqlite(_) => true,
        }
    }
}

pub(super) fn unreachable_db(error: &impl ToString) -> Error {
    // The cause names host and user, which is for the log.
    Error::unavailable("The database cannot be reached; try again.").with_source(error.to_string())
}

/// Finds out what the connection leads to and makes it ready. Nothing is left in a session that a pooler may give to others.
fn set_up_postgres(conn: &mut PgConn, access: Access, settings: &ConnSettings) -> Result<()> {
    let probe = statement::<(Integer, BigInt)>(PROBE, &[]);
    let (pid, work_mem): (i32, i64) = probe.get_result(conn)?;
    let is_pooled = match settings.pooler {
        Pooler::Auto => pid != conn.announced_pid(),
        Pooler::None => false,
        Pooler::Transaction => true,
    };
    debug!(is_pooled, "connected to PostgreSQL{}", if is_pooled { ", behind a pooler" } else { "" });
    let values = Dialect::postgres_settings(access, settings, work_mem);
    Ok(conn.set_up(is_pooled, &values, settings)?)
}

const PROBE: &str = "SELECT pg_backend_pid(), pg_size_bytes(current_setting('work_mem'))";
