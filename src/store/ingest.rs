//! The write path of new runs, of what training loops log, and of spans. On PostgreSQL one thread of each takes what has queued up
//! while the last commit ran and writes it as one statement or one transaction; a request is answered only after that is
//! committed. A lone request goes at once: nothing waits for a timer. A request that is refused fails alone.
//!
//! On SQLite the writing thread does this for every kind of write (see `doors.rs`).

use std::sync::Arc;

use crossbeam_channel::Receiver;
use tokio::sync::oneshot;
use tracing::{Span, warn};

use super::conn::{Access, Conn, ConnSettings};
use super::doors::{Queue, Session};
use super::runs::create::{NewRun, create_runs};
use super::runs::log::{Verdict, has_only_metrics, log_batches, log_metrics_only};
use super::traces::spans::log_spans_of_each;
use super::uri::DatabaseUri;
use super::{Store, gone};
use crate::domain::run::NewBatch;
use crate::domain::trace::span::NewSpans;
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::Run;

/// The most requests in one group.
const GROUP_REQUESTS: usize = 512;
/// A group that has this many metrics or spans takes no more, so that the first of its requests need not wait long.
const GROUP_ROWS: usize = 10_000;

/// What one request brings, of which many are written at once.
pub(super) trait Logged: Send + Sized + 'static {
    /// What the request is answered with.
    type Answer: Send + 'static;

    /// Returns how many rows it brings.
    fn rows(&self) -> usize;
    /// Writes what several requests bring and returns what became of each.
    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Result<Self::Answer>>>;
}

/// A request that waits to be written.
pub(super) struct Waiting<W: Logged> {
    work: W,
    reply: oneshot::Sender<Result<W::Answer>>,
    span: Span,
}

/// Starts the thread that writes one kind of what is logged.
pub(super) fn start<W: Logged>(
    uri: &Arc<DatabaseUri>,
    settings: &Arc<ConnSettings>,
    capacity: usize,
) -> Result<Queue<Waiting<W>>> {
    let (uri, settings) = (Arc::clone(uri), Arc::clone(settings));
    Queue::start("ingest", 1, capacity, move |queue| {
        let mut session = Session::new(&uri, Access::Log, &settings);
        while let Some(group) = next_group(queue) {
            write_group(&mut session, group);
        }
    })
}

impl Store {
    /// Stores a run. Returns it after the commit.
    pub(super) async fn store_run(&self, run: NewRun) -> Result<Run> {
        let Some(ingest) = &self.run_ingest else {
            return self.write(move |conn| alone(create_runs(conn, &[&run])?)).await;
        };
        submit(ingest, run).await
    }

    /// Stores what one request logs to one run: all of it or nothing. Returns after the commit. Logging the
    /// same once more changes nothing.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown run, `INVALID_PARAMETER_VALUE` for a deleted one or a param
    /// that changes, `BAD_REQUEST` for an unknown logged model, `TEMPORARILY_UNAVAILABLE` when the queue is
    /// full.
    pub async fn log(&self, batch: NewBatch) -> Result<()> {
        let Some(ingest) = &self.ingest else {
            return self.write(move |conn| log_one(conn, &batch)).await;
        };
        refuse_nul(&batch)?;
        submit(ingest, batch).await
    }

    /// Stores the spans of one request: all of them or none. Returns after the commit. Sending the same once more
    /// changes nothing.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown experiment, `INVALID_STATE` for traces whose spans are not kept in the
    /// database, `TEMPORARILY_UNAVAILABLE` when the queue is full.
    pub async fn log_spans(&self, spans: NewSpans) -> Result<()> {
        let Some(ingest) = &self.span_ingest else {
            return self.write(move |conn| alone(log_spans_of_each(conn, &[&spans])?)).await;
        };
        submit(ingest, spans).await
    }
}

async fn submit<W: Logged>(ingest: &Queue<Waiting<W>>, work: W) -> Result<W::Answer> {
    let (reply, answer) = oneshot::channel();
    ingest.submit(Waiting { work, reply, span: Span::current() })?;
    answer.await.map_err(gone)?
}

impl Logged for NewRun {
    type Answer = Run;

    fn rows(&self) -> usize {
        1
    }

    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Result<Run>>> {
        session.read(&|conn: &mut Conn| create_runs(conn, all))
    }
}

impl Logged for NewBatch {
    type Answer = ();

    fn rows(&self) -> usize {
        self.metrics.len()
    }

    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Verdict>> {
        if all.iter().all(|b| has_only_metrics(b)) {
            return session.read(&|conn: &mut Conn| log_metrics_only(conn, all));
        }
        session.write(&|conn: &mut Conn| log_batches(conn, all))
    }
}

impl Logged for NewSpans {
    type Answer = ();

    fn rows(&self) -> usize {
        self.len()
    }

    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Verdict>> {
        session.write(&|conn: &mut Conn| log_spans_of_each(conn, all))
    }
}

/// PostgreSQL stores no NUL characters. Stock's answer names the same cause with the same code.
fn refuse_nul(batch: &NewBatch) -> Result<()> {
    let has_nul = |text: &Option<String>| text.as_deref().is_some_and(|t| t.contains('\0'));
    let of_params = batch.params.iter().find(|p| has_nul(&p.value)).map(|p| ("param", p.key()));
    let of_tags = batch.tags.iter().find(|t| has_nul(&t.value)).map(|t| ("tag", t.key()));
    match of_params.or(of_tags) {
        None => Ok(()),
        Some((kind, key)) => Err(Error::invalid(format!(
            "The value of {kind} '{key}' contains a NUL (0x00) character, which the database cannot store."
        ))),
    }
}

/// Takes the next request and all that wait behind it, within bounds; `None` when the store is closed.
fn next_group<W: Logged>(queue: &Receiver<Waiting<W>>) -> Option<Vec<Waiting<W>>> {
    let first = queue.recv().ok()?;
    let mut rows = first.work.rows();
    let mut group = vec![first];
    while group.len() < GROUP_REQUESTS && rows < GROUP_ROWS {
        let Ok(next) = queue.try_recv() else { break };
        rows += next.work.rows();
        group.push(next);
    }
    Some(group)
}

fn write_group<W: Logged>(session: &mut Session, group: Vec<Waiting<W>>) {
    let all: Vec<&W> = group.iter().map(|w| &w.work).collect();
    let verdicts = match W::write(session, &all) {
        Ok(verdicts) => verdicts,
        // The database is away: that is true of every request.
        Err(e) if e.code == ErrorCode::TemporarilyUnavailable || group.len() == 1 => {
            same_for_all(e, group.len())
        }
        // One request poisons the group in a way that was not foreseen: each for itself.
        Err(e) => {
            warn!(error = %e, cause = ?e.source, requests = group.len(), "writing a group's requests one by one");
            all.iter().map(|work| write_alone(session, *work)).collect()
        }
    };
    for (waiting, verdict) in group.into_iter().zip(verdicts) {
        let _entered = waiting.span.enter();
        // The caller may have hung up.
        drop(waiting.reply.send(verdict));
    }
}

fn write_alone<W: Logged>(session: &mut Session, work: &W) -> Result<W::Answer> {
    alone(W::write(session, &[work])?)
}

/// Returns what became of a request that was written alone.
fn alone<T>(mut verdicts: Vec<Result<T>>) -> Result<T> {
    verdicts.pop().unwrap_or_else(|| Err(Error::internal("a request without a verdict")))
}

/// The error goes to the first with its cause, to the others without.
fn same_for_all<T>(error: Error, count: usize) -> Vec<Result<T>> {
    let mut verdicts: Vec<Result<T>> =
        (1..count).map(|_| Err(Error::new(error.code, error.message.clone()))).collect();
    verdicts.insert(0, Err(error));
    verdicts
}

/// Logs one batch in the open transaction; an error undoes it.
fn log_one(conn: &mut Conn, batch: &NewBatch) -> Result<()> {
    let verdicts =
        if has_only_metrics(batch) { log_metrics_only(conn, &[batch]) } else { log_batches(conn, &[batch]) };
    alone(verdicts?)
}
