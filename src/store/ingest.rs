//! The write path of what training loops log. On PostgreSQL one thread takes what has queued up while the
//! last commit ran and writes it as one statement or one transaction; a request is answered only after that is
//! committed. A lone request goes at once: nothing waits for a timer. A request that is refused fails alone.
//!
//! On SQLite the writing thread does this for every kind of write (see `doors.rs`).

use std::sync::Arc;

use crossbeam_channel::Receiver;
use tokio::sync::oneshot;
use tracing::{Span, warn};

use super::conn::{Access, Conn, ConnSettings};
use super::doors::{Queue, Session};
use super::runs::log::{Verdict, has_only_metrics, log_batches, log_metrics_only};
use super::uri::DatabaseUri;
use super::{Store, gone};
use crate::domain::run::NewBatch;
use crate::domain::{Error, ErrorCode, Result};

/// The most requests in one group.
const GROUP_REQUESTS: usize = 512;
/// A group that has this many metrics takes no more, so that the first of its requests need not wait long.
const GROUP_METRICS: usize = 10_000;

/// A request that waits to be written.
pub(super) struct Waiting {
    batch: NewBatch,
    reply: oneshot::Sender<Verdict>,
    span: Span,
}

/// Starts the thread that writes what is logged.
pub(super) fn start(
    uri: &Arc<DatabaseUri>,
    settings: &Arc<ConnSettings>,
    capacity: usize,
) -> Result<Queue<Waiting>> {
    let (uri, settings) = (Arc::clone(uri), Arc::clone(settings));
    Queue::start("ingest", 1, capacity, move |queue| {
        let mut session = Session::new(&uri, Access::Write, &settings);
        while let Some(group) = next_group(queue) {
            write_group(&mut session, group);
        }
    })
}

impl Store {
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
        let (reply, answer) = oneshot::channel();
        ingest.submit(Waiting { batch, reply, span: Span::current() })?;
        answer.await.map_err(gone)?
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
fn next_group(queue: &Receiver<Waiting>) -> Option<Vec<Waiting>> {
    let first = queue.recv().ok()?;
    let mut metrics = first.batch.metrics.len();
    let mut group = vec![first];
    while group.len() < GROUP_REQUESTS && metrics < GROUP_METRICS {
        let Ok(next) = queue.try_recv() else { break };
        metrics += next.batch.metrics.len();
        group.push(next);
    }
    Some(group)
}

fn write_group(session: &mut Session, group: Vec<Waiting>) {
    let batches: Vec<&NewBatch> = group.iter().map(|w| &w.batch).collect();
    let verdicts = match write_batches(session, &batches) {
        Ok(verdicts) => verdicts,
        // The database is away: that is true of every request.
        Err(e) if e.code == ErrorCode::TemporarilyUnavailable || group.len() == 1 => {
            same_for_all(e, group.len())
        }
        // One request poisons the group in a way that was not foreseen: each for itself.
        Err(e) => {
            warn!(error = %e, cause = ?e.source, requests = group.len(), "writing a group's requests one by one");
            batches.iter().map(|batch| write_alone(session, batch)).collect()
        }
    };
    for (waiting, verdict) in group.into_iter().zip(verdicts) {
        let _entered = waiting.span.enter();
        // The caller may have hung up.
        drop(waiting.reply.send(verdict));
    }
}

fn write_batches(session: &mut Session, batches: &[&NewBatch]) -> Result<Vec<Verdict>> {
    if batches.iter().all(|b| has_only_metrics(b)) {
        return session.read(&|conn: &mut Conn| log_metrics_only(conn, batches));
    }
    session.write(&|conn: &mut Conn| log_batches(conn, batches))
}

fn write_alone(session: &mut Session, batch: &NewBatch) -> Verdict {
    write_batches(session, &[batch])?
        .pop()
        .unwrap_or_else(|| Err(Error::internal("a batch without a verdict")))
}

/// The error goes to the first with its cause, to the others without.
fn same_for_all(error: Error, count: usize) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> =
        (1..count).map(|_| Err(Error::new(error.code, error.message.clone()))).collect();
    verdicts.insert(0, Err(error));
    verdicts
}

/// Logs one batch in the open transaction; an error undoes it.
fn log_one(conn: &mut Conn, batch: &NewBatch) -> Result<()> {
    let verdicts =
        if has_only_metrics(batch) { log_metrics_only(conn, &[batch]) } else { log_batches(conn, &[batch]) };
    verdicts?.into_iter().collect()
}
