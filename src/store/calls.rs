//! A request's work on the database while it waits and runs: answered when it is done, ended when its client hangs up,
//! put off when it meets a lock.

use std::any::TypeId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ferroflow_libpq::Canceller;
use ferroflow_sqlite::Ends;
use tokio::sync::oneshot;
use tracing::{Span, warn};

use super::conn::{Conn, LockWait};
use super::doors::Session;
use super::error::{Fault, fault};
use super::lanes::{Progress, Work};
use crate::domain::{Error, Result};

/// Whether a call only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may be ended when nobody waits for it, and needs no transaction of its own.
    Read,
    /// It is one transaction.
    Write,
}

/// A request's work on the database, together with the way back to it.
pub(super) struct Call<T, F> {
    kind: Kind,
    f: F,
    reply: Option<oneshot::Sender<Result<T>>>,
    span: Span,
    running: Arc<Running>,
}

/// What ends the statement that a call has under way.
#[derive(Default)]
struct Running {
    /// On PostgreSQL.
    canceller: Mutex<Option<Arc<Canceller>>>,
    /// On SQLite: that its client is gone.
    is_gone: Arc<AtomicBool>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Canceller>>> {
        self.canceller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kept by a request while it waits. Dropped before its release, because the client hung up, it ends what runs.
pub(super) struct Hold(Option<Arc<Running>>);

impl Hold {
    /// Says that the answer is there.
    pub(super) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(running) = self.0.take() else { return };
        running.is_gone.store(true, Ordering::Relaxed);
        if running.lock().is_none() {
            return;
        }
        // Asking the server takes a connection of its own. The lock keeps the thread from going on to other work, which
        // the question would then end instead.
        let end = move || {
            if let Some(canceller) = running.lock().as_ref() {
                canceller.cancel();
            }
        };
        if let Err(e) = std::thread::Builder::new().name("cancel".into()).spawn(end) {
            warn!(error = %e, "a statement that nobody waits for goes on");
        }
    }
}

impl<T, F> Call<T, F> {
    /// Prepares `f`, the channel on which its caller waits, and what tells that the caller is gone.
    pub(super) fn new(kind: Kind, f: F) -> (Self, oneshot::Receiver<Result<T>>, Hold) {
        let (reply, receiver) = oneshot::channel();
        let running = Arc::<Running>::default();
        let hold = Hold((kind == Kind::Read).then(|| Arc::clone(&running)));
        (Self { kind, f, reply: Some(reply), span: Span::current(), running }, receiver, hold)
    }
}

impl<T: Send, F: Fn(&mut Conn) -> Result<T> + Send + 'static> Work for Call<T, F> {
    fn run(&mut self, session: &mut Session) -> Progress {
        let _entered = self.span.enter();
        let begun = Instant::now();
        let result = loop {
            let result = match self.kind {
                Kind::Write => session.write(&self.f),
                Kind::Read => {
                    let _ends = Ends::when(&self.running.is_gone);
                    *self.running.lock() = session.conn().ok().and_then(|conn| conn.canceller());
                    let result = session.read(&self.f);
                    *self.running.lock() = None;
                    result
                }
            };
            match result.as_ref().err().and_then(fault) {
                Some(Fault::Locked) if session.wait() == LockWait::Brief => return Progress::Blocked,
                // Ended in place of the call before, whose client hung up.
                Some(Fault::Ended) if self.is_wanted() && begun.elapsed() < session.soon() => {}
                _ => break result,
            }
        };
        if let Some(reply) = self.reply.take() {
            drop(reply.send(result));
        }
        Progress::Done
    }

    fn refuse(mut self: Box<Self>, error: Error) {
        if let Some(reply) = self.reply.take() {
            drop(reply.send(Err(error)));
        }
    }

    fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    fn only_reads(&self) -> bool {
        self.kind == Kind::Read
    }

    fn sort(&self) -> TypeId {
        TypeId::of::<F>()
    }
}
