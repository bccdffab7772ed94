//! A connection to PostgreSQL as diesel sees it, over libpq. Unlike diesel's own it ends every wait, keeps the SQLSTATE of
//! errors, can be told to end a statement from another thread, and names its prepared statements so that no two connections
//! share a name: behind a pooler that was not noticed a statement may be missing, but never be somebody else's.

mod rows;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::statement_cache::{MaybeCached, PrepareForCache, StatementCache};
use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, DefaultLoadingMode, Instrumentation,
    LoadConnection, SimpleConnection,
};
use diesel::expression::QueryMetadata;
use diesel::pg::{GetPgMetadataCache, Pg, PgMetadataCache, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::{ConnectionError, ConnectionResult, DatabaseErrorInformation, DatabaseErrorKind, Error};
use ferroflow_libpq::{Answer, Canceller, Failure, Link, Problem, Transaction};

use super::conn::{ConnSettings, LockWait};
use rows::{Rows, RowsInParts};

/// How long the first statement may take. A pooler in session mode whose sessions are all taken keeps it waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much later than the server, which ends a statement by itself, a connection is given up.
const GRACE_MS: u64 = 5000;

/// What libpq is told where the database's URI says nothing else: a connection that swallows everything (a firewall that
/// forgot it) is noticed within these times.
const DEFAULTS: &str = "connect_timeout=10 tcp_user_timeout=10000 keepalives_idle=10 keepalives_interval=3 \
                        keepalives_count=3 client_encoding=UTF8 fallback_application_name=ferroflow";

/// Loads rows as they arrive, so that no more than some hundred are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct InParts;

/// A connection.
pub struct PgConn {
    wire: Wire,
    statements: StatementCache<Pg, Prepared>,
    types: PgMetadataCache,
    transactions: AnsiTransactionManager,
    instrumentation: Option<Box<dyn Instrumentation>>,
    canceller: Option<Arc<Canceller>>,
    is_pooled: bool,
    /// What opens a transaction that waits briefly for locks, and one that waits long.
    begin: [String; 2],
    commit: String,
    /// How long one statement may take.
    patience: Duration,
}

struct Wire {
    link: Link,
    /// Part of the names of this connection's statements and of nobody else's.
    name: String,
}

enum Prepared {
    Named(CString),
    /// Sent with its values, in one message.
    Unnamed {
        sql: CString,
        types: Vec<u32>,
    },
}

impl PgConn {
    /// Connects.
    ///
    /// # Errors
    /// libpq's words. They name host and user.
    pub(super) fn open(conninfo: &str) -> Result<Self, String> {
        // libpq takes the last of what is said twice.
        let link = Link::connect(&format!("{DEFAULTS} {conninfo}"), PATIENCE).map_err(|e| e.to_string())?;
        let canceller = link.canceller().map(Arc::new);
        let mut statements = StatementCache::new();
        // Nothing is prepared before it is known where the connection leads.
        statements.set_cache_size(CacheSize::Disabled);
        Ok(Self {
            wire: Wire { link, name: format!("ferroflow_{:016x}", rand::random::<u64>()) },
            statements,
            types: PgMetadataCache::new(),
            transactions: AnsiTransactionManager::default(),
            instrumentation: None,
            canceller,
            is_pooled: false,
            begin: Default::default(),
            commit: "COMMIT".to_owned(),
            patience: PATIENCE,
        })
    }

    /// Makes a fresh connection ready: with `values` for the whole session, or, where a pooler may hand out another one
    /// for every transaction, for each transaction anew.
    pub(super) fn set_up(
        &mut self,
        is_pooled: bool,
        values: &[(&'static str, String)],
        settings: &ConnSettings,
    ) -> QueryResult<()> {
        let set = |scope: &str| {
            let each: Vec<String> =
                values.iter().map(|(name, value)| format!("SET {scope} {name} = {value}; ")).collect();
            each.concat()
        };
        let brief = settings.lock_timeout_ms;
        self.patience = match settings.statement_timeout_ms {
            0 => Duration::MAX,
            limit => Duration::from_millis(limit.saturating_add(GRACE_MS)),
        };
        self.wire.link.set_patience(self.patience);
        self.is_pooled = is_pooled;
        if !is_pooled {
            self.statements.set_cache_size(CacheSize::Unbounded);
            self.begin = ["BEGIN".to_owned(), "BEGIN; SET LOCAL lock_timeout = 0".to_owned()];
            return self.batch_execute(&format!("{}SET SESSION lock_timeout = {brief}", set("SESSION")));
        }
        let mark = &self.wire.name;
        let begin = format!("BEGIN; {}SET LOCAL ferroflow.transaction = '{mark}'", set("LOCAL"));
        self.begin = [format!("{begin}; SET LOCAL lock_timeout = {brief}"), begin];
        // One message reaches one session. Unless that is the one with our transaction, the division fails and nothing is
        // committed.
        self.commit = format!(
            "SELECT 1 / (coalesce(current_setting('ferroflow.transaction', true), '') = '{mark}')::int; COMMIT"
        );
        Ok(())
    }

    /// Waits no longer than this for the statements that follow; `None` is as long as one may take.
    pub(super) fn limit(&mut self, patience: Option<Duration>) {
        self.wire.link.set_patience(patience.map_or(self.patience, |patience| patience.min(self.patience)));
    }

    /// Says whether a pooler may hand out another session for every transaction.
    pub(super) const fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self, wait: LockWait) -> QueryResult<()> {
        let [brief, long] = &self.begin;
        let text = if wait == LockWait::Brief { brief } else { long };
        self.wire.link.batch(text).map_err(failed).map(|_tag| ())
    }

    /// Commits; `false` says that there was nothing to commit, since the transaction had failed.
    pub(super) fn commit(&mut self) -> QueryResult<bool> {
        self.wire.link.batch(&self.commit).map_err(failed).map(|tag| tag == "COMMIT")
    }

    /// Asks whether the server is still there, and waits no longer than `patience`.
    pub(super) fn answers(&mut self, patience: Duration) -> bool {
        self.wire.link.set_patience(patience);
        let answers = self.wire.link.batch("SELECT 1").is_ok();
        self.wire.link.set_patience(self.patience);
        answers
    }

    /// Returns what ends this connection's statements from another thread.
    pub(super) fn canceller(&self) -> Option<Arc<Canceller>> {
        self.canceller.clone()
    }

    /// Returns the process that the server named when it was connected to.
    pub(super) fn announced_pid(&self) -> i32 {
        self.wire.link.backend_pid()
    }

    /// Says whether the connection can be used, as far as is known without asking.
    pub(super) fn is_usable(&self) -> bool {
        self.wire.link.is_usable()
    }

    /// Says whether the open transaction goes on: it would not, had a statement failed in it.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.wire.link.transaction() == Transaction::Open
    }

    /// Says whether no transaction is open.
    pub(super) fn is_idle(&self) -> bool {
        self.wire.link.transaction() == Transaction::Idle
    }

    /// Sends a statement; what it returns is read from the link.
    fn send<T: QueryFragment<Pg> + QueryId>(&mut self, source: &T, in_parts: bool) -> QueryResult<()> {
        let mut binds = RawBytesBindCollector::<Pg>::new();
        source.collect_binds(&mut binds, self, &Pg)?;
        let RawBytesBindCollector { metadata, binds, .. } = binds;
        let Self { wire, statements, instrumentation, .. } = self;
        let statement =
            statements.cached_statement(source, &Pg, &metadata, &mut *wire, prepare, instrumentation)?;
        let statement = match &statement {
            MaybeCached::Cached(statement) => &**statement,
            MaybeCached::CannotCache(statement) => statement,
            _ => return Err(Error::QueryBuilderError("a statement of an unknown kind".into())),
        };
        match statement {
            Prepared::Named(name) => wire.link.send_prepared(name, &binds, in_parts),
            Prepared::Unnamed { sql, types } => wire.link.send(sql, types, &binds, in_parts),
        }
        .map_err(failed)
    }

    /// Reads all that the statement under way returns.
    fn finish(&mut self) -> QueryResult<Option<Answer>> {
        let mut last = None;
        while let Some(answer) = self.wire.link.next_answer().map_err(failed)? {
            last = Some(answer);
        }
        Ok(last)
    }
}

fn prepare(
    wire: &mut Wire,
    sql: &str,
    kept: PrepareForCache,
    types: &[PgTypeMetadata],
) -> QueryResult<Prepared> {
    let sql = CString::new(sql)?;
    let types = types.iter().map(PgTypeMetadata::oid).collect::<Result<Vec<_>, _>>();
    let types = types.map_err(|e| Error::SerializationError(Box::new(e)))?;
    let PrepareForCache::Yes { counter } = kept else { return Ok(Prepared::Unnamed { sql, types }) };
    let name = CString::new(format!("{}_{counter}", wire.name))?;
    wire.link.prepare(&name, &sql, &types).map_err(failed)?;
    Ok(Prepared::Named(name))
}

impl SimpleConnection for PgConn {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.wire.link.batch(query).map_err(failed).map(|_tag| ())
    }
}

impl ConnectionSealed for PgConn {}

impl Connection for PgConn {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(conninfo: &str) -> ConnectionResult<Self> {
        Self::open(conninfo).map_err(ConnectionError::BadConnection)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        self.send(source, false)?;
        Ok(self.finish()?.map_or(0, |answer| answer.affected()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = Some(Box::new(instrumentation));
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.statements.set_cache_size(size);
    }
}

impl LoadConnection<DefaultLoadingMode> for PgConn {
    type Cursor<'conn, 'query> = Rows;
    type Row<'conn, 'query> = rows::PgRow;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Rows>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        self.send(&source, false)?;
        Ok(Rows::new(self.finish()?))
    }
}

impl LoadConnection<InParts> for PgConn {
    type Cursor<'conn, 'query> = RowsInParts<'conn>;
    type Row<'conn, 'query> = rows::PgRow;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<RowsInParts<'conn>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        self.send(&source, true)?;
        Ok(RowsInParts::new(&mut self.wire.link))
    }
}

impl GetPgMetadataCache for PgConn {
    fn get_metadata_cache(&mut self) -> &mut PgMetadataCache {
        &mut self.types
    }
}

/// An error of the server, as diesel hands it on.
#[derive(Debug)]
struct Report(Problem);

impl DatabaseErrorInformation for Report {
    fn message(&self) -> &str {
        &self.0.message
    }

    fn details(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The SQLSTATE: diesel has no place for it, and nobody here reads hints.
    fn hint(&self) -> Option<&str> {
        Some(&self.0.sqlstate)
    }

    fn table_name(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    fn column_name(&self) -> Option<&str> {
        self.0.column.as_deref()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    fn statement_position(&self) -> Option<i32> {
        None
    }
}

/// Returns the SQLSTATE of an error that a [`PgConn`] reported.
pub(super) fn sqlstate(report: &(dyn DatabaseErrorInformation + Send + Sync)) -> Option<&str> {
    report.hint()
}

/// The `SQLSTATE` of a connection that gave no answer in time: none of PostgreSQL's.
pub(super) const LATE: &str = "late";

fn failed(failure: Failure) -> Error {
    let problem = match failure {
        Failure::Refused(problem) => *problem,
        Failure::Lost(message) => {
            let problem = Problem { message, sqlstate: "08006".into(), ..Problem::default() };
            return Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(Report(problem)));
        }
        Failure::Late => {
            let message = failure.to_string();
            let problem = Problem { message, sqlstate: LATE.into(), ..Problem::default() };
            return Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(Report(problem)));
        }
    };
    let kind = match problem.sqlstate.as_str() {
        "23505" => DatabaseErrorKind::UniqueViolation,
        "23503" => DatabaseErrorKind::ForeignKeyViolation,
        "23502" => DatabaseErrorKind::NotNullViolation,
        "23514" => DatabaseErrorKind::CheckViolation,
        "25006" => DatabaseErrorKind::ReadOnlyTransaction,
        "40001" => DatabaseErrorKind::SerializationFailure,
        _ => DatabaseErrorKind::Unknown,
    };
    Error::DatabaseError(kind, Box::new(Report(problem)))
}
