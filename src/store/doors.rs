//! The threads behind the store's two doors. Each owns one connection and takes work from a bounded queue,
//! so that a request costs one hop and the code inside is plain and synchronous.
//!
//! On PostgreSQL any thread of the pool takes reads and writes; a write is one transaction, run again after a
//! deadlock. On SQLite there are reading threads and one writing thread, which puts all the writes that wait
//! into one transaction, each behind a savepoint: a write that fails is rolled back alone, and every write is
//! answered only after the common commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;
use tracing::{Span, error, warn};

use super::conn::{Access, Conn, ConnSettings};
use super::error::{is_retryable, may_be_broken};
use super::uri::DatabaseUri;
use crate::domain::{Error, Result};

/// Attempts at a transaction that meets deadlocks, and at work whose connection was lost.
const ATTEMPTS: u32 = 8;
/// The most writes that share one commit on SQLite.
const GROUP_LIMIT: usize = 256;

/// Work for a database thread that reads, or that runs whole transactions.
pub(super) type Task = Box<dyn FnOnce(&mut Session) + Send>;

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

/// A database thread's connection, opened when first needed and again after it broke.
pub(super) struct Session {
    uri: Arc<DatabaseUri>,
    settings: Arc<ConnSettings>,
    access: Access,
    conn: Option<Conn>,
}

impl Session {
    /// Prepares a session; nothing is opened yet.
    pub(super) fn new(uri: &Arc<DatabaseUri>, access: Access, settings: &Arc<ConnSettings>) -> Self {
        Self { uri: Arc::clone(uri), settings: Arc::clone(settings), access, conn: None }
    }

    /// Returns the connection, opening one where there is none.
    pub(super) fn conn(&mut self) -> Result<&mut Conn> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => Conn::open(&self.uri, self.access, &self.settings)?,
        };
        Ok(self.conn.insert(conn))
    }

    /// Runs `f` outside a transaction, once more on a fresh connection when the old one turns out broken.
    pub(super) fn read<T>(&mut self, f: &impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        self.attempt(|conn| f(conn))
    }

    /// Runs `f` in one transaction, again after deadlocks and on a fresh connection when the old one broke
    /// before the commit.
    pub(super) fn write<T>(&mut self, f: &impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        self.attempt(|conn| {
            conn.batch_execute(conn.dialect().begin())?;
            match f(conn) {
                Ok(value) => commit(conn).map(|()| value),
                Err(e) => {
                    rollback(conn);
                    Err(e)
                }
            }
        })
    }

    fn attempt<T>(&mut self, f: impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            let result = self.conn().and_then(&f);
            let Err(e) = result else { return result };
            let was_broken = may_be_broken(&e) && self.drop_if_broken();
            if attempt == ATTEMPTS || e.message == COMMIT_UNKNOWN || !(was_broken || is_retryable(&e)) {
                return Err(e);
            }
            warn!(attempt, error = %e, "running a transaction again");
            std::thread::sleep(backoff(attempt));
            attempt += 1;
        }
    }

    /// Drops the connection if it does not answer, and says whether it did so.
    fn drop_if_broken(&mut self) -> bool {
        if self.conn.as_mut().is_some_and(Conn::is_alive) {
            return false;
        }
        self.conn = None;
        true
    }
}

const COMMIT_UNKNOWN: &str = "The database did not confirm the commit; try again.";

/// Commits. An error here leaves open whether the database has committed, so nothing may be repeated
/// without the client's knowledge.
fn commit(conn: &mut Conn) -> Result<()> {
    conn.batch_execute("COMMIT").map_err(|e| {
        let mapped = Error::from(e);
        if is_retryable(&mapped) { mapped } else { Error { message: COMMIT_UNKNOWN.into(), ..mapped } }
    })
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

/// The body of a thread that runs tasks.
pub(super) fn run_tasks(mut session: Session, tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        if catch_unwind(AssertUnwindSafe(|| task(&mut session))).is_err() {
            error!("a database task panicked");
            // Whatever transaction it had open ends with the connection.
            session.conn = None;
        }
    }
}

/// The body of SQLite's writing thread.
pub(super) fn run_groups(mut session: Session, writes: &Receiver<Box<dyn GroupedWrite>>) {
    let mut group = Vec::new();
    while let Ok(first) = writes.recv() {
        group.push(first);
        group.extend(writes.try_iter().take(GROUP_LIMIT - 1));
        let outcome = catch_unwind(AssertUnwindSafe(|| run_group(&mut session, &mut group)));
        let commit = outcome.unwrap_or_else(|_panic| {
            session.conn = None;
            Err(Error::internal("a write panicked"))
        });
        if commit.is_err() {
            session.drop_if_broken();
        }
        for write in group.drain(..) {
            write.finish(commit.as_ref().map(|_ok| ()).map_err(copy_of));
        }
    }
}

fn run_group(session: &mut Session, group: &mut [Box<dyn GroupedWrite>]) -> Result<()> {
    let conn = session.conn()?;
    conn.batch_execute(conn.dialect().begin())?;
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
            (false, false) => conn.batch_execute("ROLLBACK TO one; RELEASE one")?,
        }
    }
    let result = commit(conn);
    if result.is_err() {
        rollback(conn);
    }
    result
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
