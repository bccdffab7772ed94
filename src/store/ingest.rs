//! The write path of new runs, of what training loops log, and of spans. On PostgreSQL one thread of each takes what has queued up
//! while the last commit ran and writes it as one statement or one transaction; a request is answered only after that is
//! committed. A lone request goes at once: nothing waits for a timer. A request that is refused fails alone.
//!
//! On SQLite the writing thread does this for every kind of write (see `doors.rs`).

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tokio::sync::oneshot;
use tracing::{Span, warn};

use super::conn::{Access, Conn, LockWait};
use super::doors::{Queue, Session, Shared};
use super::error::{Fault, fault};
use super::lanes::{Entrance, Lane, Lanes, Progress, Work};
use super::runs::create::{NewRun, create_runs};
use super::runs::log::{Verdict, has_only_metrics, log_batches, log_metrics_only};
use super::traces::spans::log_spans_of_each;
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
    /// Returns the ids of the runs, traces or experiments whose rows it locks.
    fn subjects(&self) -> Vec<&str>;
    /// Writes what several requests bring and returns what became of each.
    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Result<Self::Answer>>>;
}

/// A request that waits to be written.
pub(super) struct Waiting<W: Logged> {
    work: W,
    reply: oneshot::Sender<Result<W::Answer>>,
    span: Span,
}

impl<W: Logged> Waiting<W> {
    fn answer(self, verdict: Result<W::Answer>) {
        let _entered = self.span.enter();
        // The caller may have hung up.
        drop(self.reply.send(verdict));
    }
}

/// Starts the thread that writes one kind of what is logged.
pub(super) fn start<W: Logged>(
    shared: &Arc<Shared>,
    lanes: &Lanes,
    capacity: usize,
) -> Result<Queue<Waiting<W>>> {
    let (shared, lanes) = (Arc::clone(shared), lanes.entrance());
    Queue::start("ingest", 1, capacity, move |queue| {
        let session = Session::new(Arc::clone(&shared), Access::Log);
        let mut writer =
            Writer { session, lanes: lanes.clone(), blocked: Arc::default(), connecting: None, tried: None };
        while let Some(group) = next_group(queue) {
            writer.write(group);
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

    fn subjects(&self) -> Vec<&str> {
        vec![self.experiment()]
    }

    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Result<Run>>> {
        session.statement(&|conn: &mut Conn| create_runs(conn, all))
    }
}

impl Logged for NewBatch {
    type Answer = ();

    fn rows(&self) -> usize {
        self.metrics.len()
    }

    fn subjects(&self) -> Vec<&str> {
        vec![self.run_id.as_str()]
    }

    fn write(session: &mut Session, all: &[&Self]) -> Result<Vec<Verdict>> {
        if all.iter().all(|b| has_only_metrics(b)) {
            return session.statement(&|conn: &mut Conn| log_metrics_only(conn, all));
        }
        session.write(&|conn: &mut Conn| log_batches(conn, all))
    }
}

impl Logged for NewSpans {
    type Answer = ();

    fn rows(&self) -> usize {
        self.len()
    }

    fn subjects(&self) -> Vec<&str> {
        self.trace_ids()
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

/// The subjects of requests that wait alone for a lock, and how many requests of each do.
type Blocked = Arc<Mutex<HashMap<String, usize>>>;

fn lock(blocked: &Blocked) -> MutexGuard<'_, HashMap<String, usize>> {
    blocked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes groups. Requests whose rows somebody else has locked leave their group: they wait on the connections of the other
/// database threads, and so does whatever else concerns the same runs, until they are through.
struct Writer {
    session: Session,
    lanes: Entrance,
    blocked: Blocked,
    /// A connection that is being opened.
    connecting: Option<JoinHandle<Session>>,
    /// When that was last in vain.
    tried: Option<Instant>,
}

/// How long nothing is tried after that.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a statement of a group may take before its connection counts as dead: everything that is logged waits behind
/// it. One large request has as long as any other.
const TIME: Duration = Duration::from_secs(15);

impl Writer {
    fn write<W: Logged>(&mut self, group: Vec<Waiting<W>>) {
        if self.lanes.is_connected() && !self.connects() {
            // The database takes no more connections.
            return group.into_iter().for_each(|one| self.hand_on(Lane::Point, one));
        }
        let (blocked, group): (Vec<_>, Vec<_>) = {
            let blocked = lock(&self.blocked);
            let is_blocked = |one: &Waiting<W>| one.work.subjects().iter().any(|s| blocked.contains_key(*s));
            if blocked.is_empty() { (vec![], group) } else { group.into_iter().partition(is_blocked) }
        };
        for one in blocked {
            self.hand_on(Lane::Blocked, one);
        }
        if !group.is_empty() {
            self.write_together(group);
        }
    }

    /// Says whether there is a connection. While others have one, this thread opens its own beside the work: a database
    /// that takes no more connections may take seconds to say so.
    fn connects(&mut self) -> bool {
        if self.session.is_open() {
            return true;
        }
        match self.connecting.take() {
            Some(connecting) if !connecting.is_finished() => self.connecting = Some(connecting),
            Some(connecting) => match connecting.join() {
                Ok(session) if session.is_open() => self.session = session,
                _ => self.tried = Some(Instant::now()),
            },
            None if self.tried.is_none_or(|tried| tried.elapsed() > PAUSE) => {
                let mut session = self.session.another();
                let connect = move || {
                    drop(session.conn().map(|_conn| ()));
                    session
                };
                self.connecting = std::thread::Builder::new().name("connect".into()).spawn(connect).ok();
            }
            None => {}
        }
        self.session.is_open()
    }

    fn write_together<W: Logged>(&mut self, mut group: Vec<Waiting<W>>) {
        let all: Vec<&W> = group.iter().map(|w| &w.work).collect();
        let is_small = all.iter().map(|work| work.rows()).sum::<usize>() <= GROUP_ROWS / 10;
        self.session.set_wait(LockWait::Brief, (is_small || all.len() > 1).then_some(TIME));
        let verdicts = match W::write(&mut self.session, &all) {
            Ok(verdicts) => verdicts,
            Err(e) if fault(&e) == Some(Fault::Locked) => {
                // Whose rows are locked is found by halves.
                if group.len() == 1 {
                    return group.into_iter().for_each(|one| self.hand_on(Lane::Blocked, one));
                }
                let rest = group.split_off(group.len() / 2);
                self.write_together(group);
                return self.write(rest);
            }
            // The database is away: that is true of every request.
            Err(e) if e.code == ErrorCode::TemporarilyUnavailable || group.len() == 1 => {
                same_for_all(e, group.len())
            }
            // One request poisons the group in a way that was not foreseen: each for itself.
            Err(e) => {
                warn!(error = %e, cause = ?e.source, requests = group.len(), "writing a group's requests one by one");
                all.iter().map(|work| write_alone(&mut self.session, *work)).collect()
            }
        };
        for (waiting, verdict) in group.into_iter().zip(verdicts) {
            waiting.answer(verdict);
        }
    }

    /// Has a request written by another database thread.
    fn hand_on<W: Logged>(&self, lane: Lane, waiting: Waiting<W>) {
        let mut subjects: Vec<String> = Vec::new();
        if lane == Lane::Blocked {
            subjects.extend(waiting.work.subjects().into_iter().map(str::to_owned));
            let mut blocked = lock(&self.blocked);
            for subject in &subjects {
                *blocked.entry(subject.clone()).or_default() += 1;
            }
        }
        let alone = Alone { waiting: Some(waiting), subjects, blocked: Arc::clone(&self.blocked) };
        self.lanes.submit(lane, Box::new(alone));
    }
}

/// A request that is written without its neighbours.
struct Alone<W: Logged> {
    waiting: Option<Waiting<W>>,
    subjects: Vec<String>,
    blocked: Blocked,
}

impl<W: Logged + 'static> Work for Alone<W> {
    fn run(&mut self, session: &mut Session) -> Progress {
        let Some(waiting) = &self.waiting else { return Progress::Done };
        let verdict = write_alone(session, &waiting.work);
        if session.wait() == LockWait::Brief && verdict.as_ref().err().and_then(fault) == Some(Fault::Locked)
        {
            return Progress::Blocked;
        }
        if let Some(waiting) = self.waiting.take() {
            waiting.answer(verdict);
        }
        Progress::Done
    }

    fn refuse(mut self: Box<Self>, error: Error) {
        if let Some(waiting) = self.waiting.take() {
            waiting.answer(Err(error));
        }
    }

    fn is_wanted(&self) -> bool {
        // What is logged is written whether or not its client still waits.
        self.waiting.is_some()
    }

    fn sort(&self) -> TypeId {
        TypeId::of::<W>()
    }
}

impl<W: Logged> Drop for Alone<W> {
    fn drop(&mut self) {
        let mut blocked = lock(&self.blocked);
        for subject in &self.subjects {
            if let Some(count) = blocked.get_mut(subject) {
                *count -= 1;
            }
        }
        blocked.retain(|_subject, count| *count > 0);
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
