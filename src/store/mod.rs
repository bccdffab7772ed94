//! The database. Everything goes through two doors, [`Store::read`] and [`Store::write`]: a closure with a
//! connection, run on a database thread. Each file beside this one has the queries of one resource; `schema.rs`
//! the tables; `dialect.rs` what the two databases say differently; `doors.rs` the threads.

// First, for its macro.
#[macro_use]
mod statement;

mod bulk;
mod calls;
pub mod conn;
mod datasets;
pub mod dialect;
mod doors;
pub mod error;
mod evaluation_datasets;
mod experiments;
mod functions;
pub mod gateway;
mod ingest;
mod issues;
mod jobs;
mod label_schemas;
mod lanes;
mod limits;
pub mod logged_models;
pub mod mcp;
pub mod migrate;
mod postgres;
mod predicate;
mod registry;
mod review_queues;
pub mod runs;
#[expect(missing_docs, reason = "generated: the columns have the names of the protocol")]
pub mod schema;
pub mod scorers;
mod sqlite_file;
pub mod start;
mod stored_json;
#[cfg(test)]
pub(crate) mod testing;
pub mod traces;
pub mod uri;
pub mod webhooks;

use std::sync::Arc;

use crossbeam_channel::Receiver;
use tokio::sync::{Notify, oneshot};

use crate::domain::run::NewBatch;
use crate::domain::trace::span::NewSpans;
use crate::domain::webhook::fernet::FernetKey;
use crate::domain::{Error, Result};
pub use crate::each;
use calls::{Call, Kind};
use conn::{Access, Conn, ConnSettings};
use dialect::Dialect;
use doors::{GroupedWrite, Pending, Queue, Session, Shared, run_groups};
use lanes::{Lane, Lanes, Sizes};
pub use registry::VersionFolder;
use runs::create::NewRun;
use sqlite_file::FileId;
use uri::DatabaseUri;

/// How many threads and how long the queues.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Database threads, each with one connection. On SQLite these read; one more writes. More than the
    /// database has cores for only adds waiting; too few let slow searches hold up quick reads.
    pub threads: usize,
    /// Work that may wait for a thread before requests are refused with 503. Too high and an overload shows
    /// as timeouts; too low and bursts are refused.
    pub queue: usize,
    /// Settings of every connection.
    pub conn: ConnSettings,
    /// What secrets of webhooks are encrypted with; without one a key is made that nobody else has, so that such
    /// secrets can be read by this server only and until it ends.
    pub webhook_key: Option<FernetKey>,
    /// Whether the database has the table of what webhooks are to be told.
    pub keeps_deliveries: bool,
}

impl Default for StoreSettings {
    fn default() -> Self {
        let conn = ConnSettings::default();
        Self { threads: 8, queue: 4096, conn, webhook_key: None, keeps_deliveries: true }
    }
}

/// The door to the database. Dropping it ends its threads after the work that was accepted.
pub struct Store {
    dialect: Dialect,
    /// Below which experiments keep their artifacts: a URI.
    artifact_root: String,
    /// Only on SQLite, which has one writer.
    writes: Option<Queue<Box<dyn GroupedWrite>>>,
    /// Only on PostgreSQL: new runs.
    run_ingest: Option<Queue<ingest::Waiting<NewRun>>>,
    /// Only on PostgreSQL: what is logged to runs.
    ingest: Option<Queue<ingest::Waiting<NewBatch>>>,
    /// Only on PostgreSQL: spans.
    span_ingest: Option<Queue<ingest::Waiting<NewSpans>>>,
    /// After the queues above, whose threads hand work on to these.
    lanes: Lanes,
    /// Histories that clients read page by page.
    ahead: runs::metrics::ahead::Ahead,
    webhook_key: FernetKey,
    keeps_deliveries: bool,
    /// Told whenever a delivery to a webhook was queued.
    announced: Notify,
}

impl Store {
    /// Starts the database threads; connections are opened when first needed. The schema must be there:
    /// see `migrate.rs`.
    pub fn open(uri: DatabaseUri, artifact_root: String, settings: &StoreSettings) -> Result<Self> {
        let dialect = uri.dialect();
        let conn = ConnSettings { sqlite_file: FileId::of(&uri), ..settings.conn.clone() };
        let shared = Arc::new(Shared::new(uri, conn));
        let access = if dialect == Dialect::Sqlite { Access::Read } else { Access::Write };
        let lanes = Lanes::start(sizes(dialect, settings), || Session::new(Arc::clone(&shared), access))?;
        let (run_ingest, ingest, span_ingest) = match dialect {
            Dialect::Postgres => (
                Some(ingest::start(&shared, &lanes, settings.queue)?),
                Some(ingest::start(&shared, &lanes, settings.queue)?),
                Some(ingest::start(&shared, &lanes, settings.queue)?),
            ),
            Dialect::Sqlite => (None, None, None),
        };
        let writes = match dialect {
            Dialect::Postgres => None,
            Dialect::Sqlite => {
                let body = move |queue: &Receiver<_>| {
                    run_groups(Session::new(Arc::clone(&shared), Access::Write), queue);
                };
                Some(Queue::start("sqlite-writer", 1, settings.queue, body)?)
            }
        };
        Ok(Self {
            dialect,
            artifact_root,
            writes,
            run_ingest,
            ingest,
            span_ingest,
            lanes,
            ahead: runs::metrics::ahead::Ahead::default(),
            webhook_key: settings.webhook_key.clone().unwrap_or_else(FernetKey::random),
            keeps_deliveries: settings.keeps_deliveries,
            announced: Notify::new(),
        })
    }

    /// Returns which database this is.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns how many pieces of work wait for a database thread.
    pub fn queue_length(&self) -> usize {
        self.lanes.len()
            + self.writes.as_ref().map_or(0, Queue::len)
            + self.run_ingest.as_ref().map_or(0, Queue::len)
            + self.ingest.as_ref().map_or(0, Queue::len)
            + self.span_ingest.as_ref().map_or(0, Queue::len)
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when it gives none.
    pub async fn ping(&self) -> Result<()> {
        self.read(|conn| Ok(conn.batch_execute("SELECT 1")?)).await
    }

    /// Runs `f`, which looks up by key, on a reading connection, outside a transaction. `f` may run more than once:
    /// after the connection was lost it runs again on a fresh one. What a client that hung up asked for is ended.
    ///
    /// # Errors
    /// Those of `f`; `TEMPORARILY_UNAVAILABLE` when the queue is full or the database away.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.run(Lane::Point, Kind::Read, f).await
    }

    /// Runs `f`, which may read much, as [`Store::read`] does, but never so many at once that look-ups wait for them.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn scan<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.run(Lane::Scan, Kind::Read, f).await
    }

    /// Runs `f` in one transaction and returns after its commit: all of it happened, or nothing. `f` may run
    /// more than once (after a deadlock, after a lost connection), always against the state of its own
    /// transaction.
    ///
    /// # Errors
    /// Those of `f`, which undo the transaction; `TEMPORARILY_UNAVAILABLE` as for [`Store::read`].
    pub async fn write<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        let Some(writes) = &self.writes else { return self.run(Lane::Point, Kind::Write, f).await };
        let (pending, answer) = Pending::new(f);
        writes.submit(Box::new(pending))?;
        answer.await.map_err(gone)?
    }

    async fn run<T, F>(&self, lane: Lane, kind: Kind, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        let (call, answer, hold) = Call::new(kind, f);
        self.lanes.submit(lane, Box::new(call))?;
        let result = answer.await.map_err(gone)?;
        hold.release();
        result
    }
}

/// Scans of SQLite run on this machine's processors, those of PostgreSQL elsewhere.
fn sizes(dialect: Dialect, settings: &StoreSettings) -> Sizes {
    let threads = settings.threads.max(1);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let scans = match dialect {
        Dialect::Postgres => threads / 2,
        Dialect::Sqlite => processors.max(2).min(threads / 2),
    };
    Sizes { threads, scans: scans.max(1), blocked: (threads / 4).max(1), queue: settings.queue }
}

/// The error of a caller whose database thread ended without an answer: it panicked.
fn gone(_: oneshot::error::RecvError) -> Error {
    Error::internal("a database thread gave no answer")
}
