//! What the threads behind the store's doors work with. Each owns one connection, so that a request costs one hop and the
//! code inside is plain and synchronous.
//!
//! On PostgreSQL any thread takes reads and writes (see `lanes.rs`); a write is one transaction, run again after a
//! deadlock. On SQLite there are reading threads and one writing thread, which puts all the writes that wait
//! into one transaction, each behind a savepoint: a write that fails is rolled back alone, and every write is
//! answered only after the common commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use ferroflow_libpq::Canceller;
use tokio::sync::oneshot;
use tracing::{Span, error, warn};

use super::conn::{Access, Conn, ConnSettings, LockWait};
use super::dialect::Dialect;
use super::error::{Fault, fault, has_lost_connection, is_commit_unknown, is_retryable};
use super::sqlite_file::{self, Pauses};
use super::uri::DatabaseUri;
use crate::domain::{Error, Result};

/// Attempts at a transaction that meets deadlocks, and at work whose connection was lost.
const ATTEMPTS: u32 = 8;
/// The most writes that share one commit on SQLite.
const GROUP_LIMIT: usize = 256;

/// A write that can share its transaction with others.
pub(super) trait GroupedWrite: Send {
    /// Runs the write; `false` says that it failed and has to be undone.
    fn run(&mut self, conn: &mut Conn) -> bool;
    /// Answers the caller: with what `run` gave, or with `commit`'s error.
    fn finish(self: Box<Self>, commit: Result<()>);
}

/// A bounded queue with the threads that empty it. Dropping it ends the threads after the work it holds.
pub(super) struct Queue<T> {
    sender: Option<Sender<T>>,
    threads: Vec<JoinHandle<()>>,
    name: &'static str,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts `count` threads that run `body` over a queue of `capacity` items.
    pub(super) fn start(
        name: &'static str,
        count: usize,
        capacity: usize,
        body: impl Fn(&Receiver<T>) + Send + Sync + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = bounded(capacity);
        let body = Arc::new(body);
        let threads = (0..count)
            .map(|_| {
                let (receiver, body) = (receiver.clone(), Arc::clone(&body));
                std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&receiver))
            })
            .collect::<std::io::Result<_>>()
            .map_err(Error::internal)?;
        Ok(Self { sender: Some(sender), threads, name })
    }

    /// Hands over `item`.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when the queue is full.
    pub(super) fn submit(&self, item: T) -> Result<()> {
        let Some(sender) = &self.sender else { return Err(Error::unavailable("The server is stopping.")) };
        sender.try_send(item).map_err(|e| match e {
            TrySendError::Full(_) => Error::unavailable("The server is overloaded; try again."),
            TrySendError::Disconnected(_) => {
                Error::internal(format!("the threads of {} are gone", self.name))
            }
        })
    }

    /// Returns how many items wait.
    pub(super) fn len(&self) -> usize {
        self.sender.as_ref().map_or(0, Sender::len)
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        drop(self.sender.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a database thread of {} ended by a panic", self.name);
            }
        }
    }
}

/// What the connections of one store have in common.
pub(super) struct Shared {
    uri: DatabaseUri,
    settings: ConnSettings,
    /// Raised when a connection turned out to be lost or to lead to a server that only reads now: the others may be too.
    doubt: AtomicU64,
}

impl Shared {
    /// Prepares what connections are opened with.
    pub(super) const fn new(uri: DatabaseUri, settings: ConnSettings) -> Self {
        Self { uri, settings, doubt: AtomicU64::new(0) }
    }
}

/// A database thread's connection, opened when first needed and again after it broke.
pub(super) struct Session {
    shared: Arc<Shared>,
    access: Access,
    open: Option<Open>,
    wait: LockWait,
    /// How long a statement may take, where that is less than what the settings say.
    limit: Option<Duration>,
}

struct Open {
    conn: Conn,
    since: Instant,
    used: Instant,
    doubt: u64,
}

impl Session {
    /// Prepares a session; nothing is opened yet.
    pub(super) const fn new(shared: Arc<Shared>, access: Access) -> Self {
        Self { shared, access, open: None, wait: LockWait::Brief, limit: None }
    }

    /// Returns a time within which no statement runs over its own.
    pub(super) fn soon(&self) -> Duration {
        match self.shared.settings.statement_timeout_ms {
            0 => Duration::MAX,
            limit => Duration::from_millis(limit / 2),
        }
    }

    /// Prepares one more session of the same kind.
    pub(super) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.shared), self.access)
    }

    /// Changes how long statements wait for locks, and for their end.
    pub(super) const fn set_wait(&mut self, wait: LockWait, limit: Option<Duration>) {
        self.wait = wait;
        self.limit = limit;
    }

    /// Returns how long statements wait for locks.
    pub(super) const fn wait(&self) -> LockWait {
        self.wait
    }

    /// Says whether there is a connection.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Gives the connection up.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Returns the connection, opening one where there is none or where the old one is in doubt.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when the database cannot be reached.
    pub(super) fn conn(&mut self) -> Result<&mut Conn> {
        let doubt = self.shared.doubt.load(Ordering::Relaxed);
        let open = self.open.take().and_then(|mut open| {
            let is_usable = open.is_usable(doubt, &self.shared.settings);
            if !is_usable && !open.is_too_old(&self.shared.settings) {
                // What has forgotten this connection may have forgotten the others.
                self.shared.doubt.fetch_add(1, Ordering::Relaxed);
            }
            is_usable.then_some(open)
        });
        let now = Instant::now();
        let mut open = if let Some(open) = open {
            open
        } else {
            let conn = Conn::open(&self.shared.uri, self.access, &self.shared.settings)?;
            Open { conn, since: now, used: now, doubt }
        };
        open.used = now;
        open.conn.limit(self.limit);
        Ok(&mut self.open.insert(open).conn)
    }

    /// Runs `f` without writing, once more on a fresh connection when the old one turns out broken.
    pub(super) fn read<T>(&mut self, f: &impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        let wait = self.wait;
        self.attempt(|conn| {
            if conn.needs_transaction() || (wait == LockWait::Long && conn.dialect() == Dialect::Postgres) {
                // Nothing was written, so that it does not matter how the transaction ends.
                return in_transaction(conn, wait, f).or_else(Ended::without_commit);
            }
            f(conn)
        })
    }

    /// Runs `f`, which writes by one statement that may be repeated.
    pub(super) fn statement<T>(&mut self, f: &impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        let wait = self.wait;
        self.attempt(|conn| {
            if conn.needs_transaction() || wait == LockWait::Long {
                return in_transaction(conn, wait, f).map_err(Ended::into_error);
            }
            f(conn)
        })
    }

    /// Runs `f` in one transaction, again after deadlocks and on a fresh connection when the old one broke
    /// before the commit.
    pub(super) fn write<T>(&mut self, f: &impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        let wait = self.wait;
        self.attempt(|conn| in_transaction(conn, wait, f).map_err(Ended::into_error))
    }

    fn attempt<T>(&mut self, f: impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        self.require_file()?;
        let mut attempt = 1;
        loop {
            let result = self.conn().and_then(&f);
            let Err(e) = result else { return result };
            let was_lost = self.drop_if_lost(&e);
            let most = if fault(&e) == Some(Fault::Late) { 2 } else { ATTEMPTS };
            if attempt >= most || !(was_lost || is_retryable(&e)) || is_commit_unknown(&e) {
                return Err(e);
            }
            warn!(attempt, error = %e, cause = ?e.source, "running a transaction again");
            std::thread::sleep(backoff(attempt));
            attempt += 1;
        }
    }

    /// Checks that SQLite's file is still the one that is open.
    fn require_file(&self) -> Result<()> {
        sqlite_file::require_same(&self.shared.uri, &self.shared.settings)
    }

    /// Brings what SQLite keeps beside its file into it; `true` if nothing is left there.
    fn settle(&mut self) -> bool {
        self.open.as_mut().is_none_or(|open| sqlite_file::checkpoint(&mut open.conn))
    }

    /// Drops the connection if it cannot be used any more, and says whether it did so.
    fn drop_if_lost(&mut self, error: &Error) -> bool {
        let Some(open) = &mut self.open else { return false };
        let is_lost = has_lost_connection(error);
        if !is_lost && open.conn.is_usable() {
            return false;
        }
        if fault(error) == Some(Fault::Late) {
            // The server may still be at it, and hold locks.
            end(open.conn.canceller());
        }
        if is_lost {
            self.shared.doubt.fetch_add(1, Ordering::Relaxed);
        }
        self.open = None;
        true
    }
}

/// Asks the server, from a thread of its own since that takes a connection, to end a statement.
fn end(canceller: Option<Arc<Canceller>>) {
    let Some(canceller) = canceller else { return };
    let cancel = move || canceller.cancel();
    if let Err(e) = std::thread::Builder::new().name("cancel".into()).spawn(cancel) {
        warn!(error = %e, "a statement that is given up goes on");
    }
}

/// A connection that was not used for so long is asked whether it is still there: firewalls forget connections silently.
const IDLE: Duration = Duration::from_secs(5);
/// How long the answer to that may take.
const PROBE_PATIENCE: Duration = Duration::from_millis(1500);

impl Open {
    /// Says whether the connection is to be replaced for its age.
    fn is_too_old(&self, settings: &ConnSettings) -> bool {
        settings.recycle.is_some_and(|age| self.since.elapsed() > age)
    }

    /// Says whether the connection can be worked with.
    fn is_usable(&mut self, doubt: u64, settings: &ConnSettings) -> bool {
        if self.is_too_old(settings) {
            return false;
        }
        if self.doubt == doubt && self.used.elapsed() < IDLE {
            return true;
        }
        self.doubt = doubt;
        self.conn.answers(PROBE_PATIENCE)
    }
}

/// How a transaction failed.
enum Ended<T> {
    /// By an error of what ran in it.
    ByError(Error),
    /// By its commit; what ran in it gave this.
    AtCommit(Error, T),
}

impl<T> Ended<T> {
    fn into_error(self) -> Error {
        match self {
            Self::ByError(e) | Self::AtCommit(e, _) => e,
        }
    }

    fn without_commit(self) -> Result<T> {
        match self {
            Self::ByError(e) => Err(e),
            Self::AtCommit(_, value) => Ok(value),
        }
    }
}

fn in_transaction<T>(
    conn: &mut Conn,
    wait: LockWait,
    f: &impl Fn(&mut Conn) -> Result<T>,
) -> Result<T, Ended<T>> {
    conn.begin(wait).map_err(|e| Ended::ByError(e.into()))?;
    match f(conn) {
        Ok(value) => match conn.commit() {
            Ok(()) => Ok(value),
            Err(e) => Err(Ended::AtCommit(e, value)),
        },
        Err(e) => {
            rollback(conn);
            Err(Ended::ByError(e))
        }
    }
}

/// Undoes the open transaction. A failure here is a broken connection, which the next use finds out.
fn rollback(conn: &mut Conn) {
    if let Err(e) = conn.batch_execute("ROLLBACK") {
        warn!(error = %e, "could not roll back");
    }
}

/// Waits 5, 10, 20, … ms with jitter, so that two transactions that met do not meet again.
fn backoff(attempt: u32) -> Duration {
    let ceiling = 5 << attempt.min(7);
    Duration::from_millis(rand::random_range(ceiling / 2..=ceiling))
}

/// The body of SQLite's writing thread.
pub(super) fn run_groups(mut session: Session, writes: &Receiver<Box<dyn GroupedWrite>>) {
    let mut group = Vec::new();
    let mut pauses = Pauses::default();
    while let Some(first) = pauses.next(writes, || session.settle()) {
        group.push(first);
        group.extend(writes.try_iter().take(GROUP_LIMIT - 1));
        let outcome = catch_unwind(AssertUnwindSafe(|| run_group(&mut session, &mut group)));
        let commit = outcome.unwrap_or_else(|_panic| {
            session.close();
            Err(Error::internal("a write panicked"))
        });
        if let Err(e) = &commit {
            session.drop_if_lost(e);
        }
        for write in group.drain(..) {
            write.finish(commit.as_ref().map(|_ok| ()).map_err(copy_of));
        }
    }
}

fn run_group(session: &mut Session, group: &mut [Box<dyn GroupedWrite>]) -> Result<()> {
    session.require_file()?;
    let conn = session.conn()?;
    conn.begin(LockWait::Brief)?;
    let result = write_group(conn, group);
    if result.is_err() {
        rollback(conn);
    }
    // What was committed to a file that is gone is not acknowledged.
    result.and_then(|()| session.require_file())
}

fn write_group(conn: &mut Conn, group: &mut [Box<dyn GroupedWrite>]) -> Result<()> {
    let alone = group.len() == 1;
    for write in group {
        if !alone {
            conn.batch_execute("SAVEPOINT one")?;
        }
        let kept = write.run(conn);
        match (kept, alone) {
            (true, true) => {}
            (false, true) => {
                rollback(conn);
                return Ok(());
            }
            (true, false) => conn.batch_execute("RELEASE one")?,
            // Some errors, such as a full disk, undo the whole transaction.
            (false, false) => conn.batch_execute("ROLLBACK TO one; RELEASE one").map_err(|e| {
                Error::unavailable("A write beside this one failed and undid both; try again.").with_source(e)
            })?,
        }
    }
    conn.commit()
}

/// Copies what a client may read of an error; the cause stays with the original, which is logged.
fn copy_of(error: &Error) -> Error {
    Error::new(error.code, error.message.clone())
}

/// A write together with the way back to its caller.
pub(super) struct Pending<T, F> {
    work: F,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    span: Span,
}

impl<T, F> Pending<T, F> {
    /// Prepares `work` and the channel on which its caller waits.
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T>>) {
        let (reply, receiver) = oneshot::channel();
        (Self { work, result: None, reply, span: Span::current() }, receiver)
    }
}

impl<T: Send, F: Fn(&mut Conn) -> Result<T> + Send> GroupedWrite for Pending<T, F> {
    fn run(&mut self, conn: &mut Conn) -> bool {
        let _entered = self.span.enter();
        let result = (self.work)(conn);
        let kept = result.is_ok();
        self.result = Some(result);
        kept
    }

    fn finish(self: Box<Self>, commit: Result<()>) {
        let result = match (self.result, commit) {
            (Some(Err(e)), _) | (_, Err(e)) => Err(e),
            (Some(ok), Ok(())) => ok,
            (None, Ok(())) => Err(Error::internal("a write was committed without being run")),
        };
        // The caller may have hung up; then nobody waits for the answer.
        drop(self.reply.send(result));
    }
}
