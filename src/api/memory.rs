//! The memory budget that request bodies and responses share, and the thread pool that parses and serializes
//! large ones. Both are bounded by settings, so that no request starves the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::rt::task::spawn_blocking;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use crate::domain::{Error, ErrorCode, Result};

/// How long a request waits for memory before it is sent away.
const PATIENCE: Duration = Duration::from_secs(2);
/// Reservations up to this size may use the whole budget: ordinary requests never wait behind large ones.
const SMALL: usize = 512 * 1024;
/// The fraction reserved for small requests: 1 / this.
const LEFT_TO_SMALL: usize = 16;

const MIB: usize = 1024 * 1024;

/// A shared memory budget.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
}

impl Budget {
    /// Makes a budget of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// Reserves `bytes`, waiting for a short time.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when it is exhausted, 413 when the budget is too small for ever.
    pub async fn take(self: &Arc<Self>, bytes: usize) -> Result<Share> {
        let mut share = Share { budget: Some(Arc::clone(self)), bytes: 0 };
        share.grow(bytes).await?;
        Ok(share)
    }

    /// Returns the limit on total use for a reservation of `bytes`.
    const fn ceiling(&self, bytes: usize) -> usize {
        if bytes <= SMALL { self.limit } else { self.limit - self.limit / LEFT_TO_SMALL }
    }

    fn try_take(&self, bytes: usize, ceiling: usize) -> bool {
        let next = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= ceiling);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.freed.notify_waiters();
        }
    }

    async fn wait_for(&self, bytes: usize, ceiling: usize) -> Result<()> {
        let _waiting = Waiting::new(&self.waiting);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let freed = self.freed.notified();
            if self.try_take(bytes, ceiling) {
                return Ok(());
            }
            timeout_at(deadline, freed).await.map_err(|_e| {
                Error::unavailable("The memory for requests is in use by other requests; try again.")
            })?;
        }
    }
}

/// Counts waiters; cancellation-safe.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A reservation, released on drop. By default it is empty and has no budget.
#[derive(Debug, Default)]
pub struct Share {
    budget: Option<Arc<Budget>>,
    bytes: usize,
}

impl Share {
    /// Returns the reserved bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it `bytes` large, if it is smaller.
    ///
    /// # Errors
    /// As [`Budget::take`].
    pub async fn grow(&mut self, bytes: usize) -> Result<()> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let Some(budget) = &self.budget else { return Ok(()) };
        let ceiling = budget.ceiling(bytes);
        if bytes > ceiling {
            return Err(Error::new(
                ErrorCode::RequestTooLarge,
                format!(
                    "The request needs about {} MiB of memory, of which there are {} MiB for large requests. \
                     --memory-limit (FERROFLOW_MEMORY_LIMIT) is the setting.",
                    bytes.div_ceil(MIB),
                    ceiling / MIB
                ),
            ));
        }
        if !budget.try_take(more, ceiling) {
            budget.wait_for(more, ceiling).await?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Makes it larger by `bytes` if that is possible at once.
    pub fn try_add(&mut self, bytes: usize) -> bool {
        let Some(budget) = &self.budget else { return true };
        let is_taken = budget.try_take(bytes, budget.ceiling(self.bytes + bytes));
        self.bytes += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Gives `bytes` of it back.
    pub fn shrink_by(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        if let Some(budget) = &self.budget {
            budget.give_back(bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_by(self.bytes);
    }
}

/// The thread pool for CPU-bound work that would block an HTTP worker. It has fewer threads than there are
/// cores, so that the workers are not starved.
#[derive(Debug)]
pub struct Heavy(Arc<Semaphore>);

impl Default for Heavy {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores.div_ceil(2))))
    }
}

impl Heavy {
    /// Runs `work` when a thread is free. Cancelling the future does not stop work that has begun.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(Error::internal)?;
        let span = Span::current();
        let work = move || {
            let _permit = permit;
            span.in_scope(work)
        };
        spawn_blocking(work).await.map_err(Error::internal)
    }

    /// Runs `work` as [`Self::run`] does if it is heavy, else at once.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it panics.
    pub async fn run_if<T: Send + 'static>(
        &self,
        is_heavy: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if is_heavy { self.run(work).await } else { Ok(work()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn what_is_taken_is_given_back() {
        let budget = Budget::new(64 * MIB);
        let mut share = budget.take(10 * MIB).await.unwrap();
        share.grow(30 * MIB).await.unwrap();
        share.grow(20 * MIB).await.unwrap();
        assert_eq!((share.bytes(), budget.used.load(Ordering::Relaxed)), (30 * MIB, 30 * MIB));
        share.shrink_by(20 * MIB);
        assert!(share.try_add(40 * MIB));
        assert!(!share.try_add(40 * MIB));
        assert_eq!(budget.used.load(Ordering::Relaxed), 50 * MIB);
        drop(share);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[actix_web::test]
    async fn what_will_never_fit_is_refused_and_what_does_not_now_waits() {
        let budget = Budget::new(16 * MIB);
        let error = budget.take(16 * MIB).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::RequestTooLarge);
        assert!(error.message.contains("--memory-limit"), "{error}");
        let share = budget.take(15 * MIB).await.unwrap();
        let error = budget.take(MIB).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::TemporarilyUnavailable);
        let small = budget.take(SMALL).await.unwrap();
        let (waited, ()) = futures_util::join!(budget.take(2 * MIB), async {
            tokio::task::yield_now().await;
            drop(share);
        });
        assert_eq!(waited.unwrap().bytes(), 2 * MIB);
        drop(small);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
