//! Which work the database threads take next. Work has a lane by what it costs: look-ups and writes go before scans, of
//! which only some run at once, so that no number of searches makes a look-up wait for more than one thread to come free;
//! what met a lock that somebody holds waits in a lane of its own. One scan, and one that waits for a lock, can always run.
//! Within a lane the store's functions take turns.
//!
//! Threads with a connection are woken first. One that cannot connect while others can stands aside, so that a server that
//! is allowed three connections works with three.

use std::any::TypeId;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug, error};

use super::conn::LockWait;
use super::doors::Session;
use crate::domain::{Error, Result};

/// What work costs, as the caller knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Look-ups by key, and writes.
    Point,
    /// Searches, histories, sums: what may read much.
    Scan,
    /// What has met a lock that is held for long.
    Blocked,
}

/// What became of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is answered.
    Done,
    /// It met a lock that was not given back soon, did nothing, and has to run again.
    Blocked,
}

/// Work for a database thread.
pub(super) trait Work: Send {
    /// Runs and answers.
    fn run(&mut self, session: &mut Session) -> Progress;
    /// Answers with an error instead.
    fn refuse(self: Box<Self>, error: Error);
    /// Says whether somebody waits for the answer.
    fn is_wanted(&self) -> bool;
    /// Says whether it changes nothing.
    fn only_reads(&self) -> bool {
        false
    }
    /// Returns of what sort it is: the store's functions are sorts.
    fn sort(&self) -> TypeId;
}

type Boxed = Box<dyn Work>;

/// How many threads there are and how much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Database threads.
    pub(super) threads: usize,
    /// How many of them may scan at once.
    pub(super) scans: usize,
    /// How many may wait for locks at once.
    pub(super) blocked: usize,
    /// Work that may wait in each lane.
    pub(super) queue: usize,
}

/// The lanes, with the threads that empty them. Dropping it ends the threads after the work it holds.
pub(super) struct Lanes {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

struct Inner {
    state: Mutex<State>,
    /// Woken first: threads that have a connection.
    connected: Condvar,
    unconnected: Condvar,
    /// Threads that stand aside.
    aside: Condvar,
    sizes: Sizes,
}

/// Work that waits in a lane. Its sorts take turns, so that hundreds of one keep one of another waiting for no more than
/// their own turn.
#[derive(Default)]
struct Turns {
    sorts: VecDeque<(TypeId, VecDeque<Boxed>)>,
    count: usize,
}

impl Turns {
    const fn len(&self) -> usize {
        self.count
    }

    const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn push(&mut self, work: Boxed) {
        let sort = work.sort();
        self.count += 1;
        match self.sorts.iter_mut().find(|(known, _)| *known == sort) {
            Some((_, queue)) => queue.push_back(work),
            None => self.sorts.push_back((sort, VecDeque::from([work]))),
        }
    }

    fn pop(&mut self) -> Option<Boxed> {
        let (sort, mut queue) = self.sorts.pop_front()?;
        let work = queue.pop_front();
        if !queue.is_empty() {
            self.sorts.push_back((sort, queue));
        }
        self.count -= usize::from(work.is_some());
        work
    }
}

#[derive(Default)]
struct State {
    waiting: [Turns; 3],
    running: [usize; 3],
    /// Threads with a connection, and how many of them have nothing to do.
    connections: usize,
    idle: usize,
    is_closed: bool,
}

/// A way into the lanes that does not keep the threads alive.
#[derive(Clone)]
pub(super) struct Entrance(Arc<Inner>);

impl Lanes {
    /// Starts the threads; `session` makes what each works with.
    pub(super) fn start(sizes: Sizes, session: impl Fn() -> Session) -> Result<Self> {
        let inner = Arc::new(Inner {
            state: Mutex::default(),
            connected: Condvar::new(),
            unconnected: Condvar::new(),
            aside: Condvar::new(),
            sizes,
        });
        let threads = (0..sizes.threads.max(1))
            .map(|_| {
                let (inner, session) = (Arc::clone(&inner), session());
                std::thread::Builder::new().name("database".into()).spawn(move || inner.work_off(session))
            })
            .collect::<std::io::Result<_>>()
            .map_err(Error::internal)?;
        Ok(Self { inner, threads })
    }

    /// Returns a way in for other threads.
    pub(super) fn entrance(&self) -> Entrance {
        Entrance(Arc::clone(&self.inner))
    }

    /// Hands over work.
    ///
    /// # Errors
    /// `TEMPORARILY_UNAVAILABLE` when the lane is full.
    pub(super) fn submit(&self, lane: Lane, work: Boxed) -> Result<()> {
        self.inner.submit(lane, work).map_err(|(error, _work)| error)
    }

    /// Returns how much work waits.
    pub(super) fn len(&self) -> usize {
        self.inner.lock().waiting.iter().map(Turns::len).sum()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.inner.lock().is_closed = true;
        self.inner.connected.notify_all();
        self.inner.unconnected.notify_all();
        self.inner.aside.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a database thread ended by a panic");
            }
        }
    }
}

impl Entrance {
    /// Hands over work, or answers it with an error where the lane is full.
    pub(super) fn submit(&self, lane: Lane, work: Boxed) {
        if let Err((error, work)) = self.0.submit(lane, work) {
            work.refuse(error);
        }
    }

    /// Says whether a thread behind the entrance has a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.0.lock().connections > 0
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, lane: Lane, work: Boxed) -> Result<(), (Error, Boxed)> {
        let mut state = self.lock();
        if state.is_closed {
            return Err((Error::unavailable("The server is stopping."), work));
        }
        let queue = state.lane(lane);
        if queue.len() >= self.sizes.queue {
            return Err((Error::unavailable("The server is overloaded; try again."), work));
        }
        queue.push(work);
        self.wake_one(&state);
        Ok(())
    }

    fn wake_one(&self, state: &State) {
        if state.idle > 0 { self.connected.notify_one() } else { self.unconnected.notify_one() }
    }

    /// Returns the next work. A thread without a connection takes none while others have one: it is to connect first, so
    /// that no request waits for a connection that is not to be had.
    fn take(&self, has_connection: bool) -> Next {
        let mut state = self.lock();
        loop {
            let is_waiting = state.waiting.iter().any(|queue| !queue.is_empty());
            if !has_connection && is_waiting && state.connections > 0 {
                return Next::Connect;
            }
            if let Some((lane, work)) = state.next(&self.sizes) {
                // A thread that was told twice hears it once: it tells the next.
                if state.waiting.iter().any(|queue| !queue.is_empty()) {
                    self.wake_one(&state);
                }
                return Next::Work(lane, work);
            }
            if state.is_closed && !is_waiting {
                return Next::End;
            }
            let woken = if has_connection { &self.connected } else { &self.unconnected };
            state.idle += usize::from(has_connection);
            state = woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= usize::from(has_connection);
        }
    }

    /// Notes that work has ended, or has to wait for a lock, and what became of the thread's connection.
    fn ended(&self, lane: Lane, had_connection: bool, has_connection: bool, blocked: Option<Boxed>) {
        let mut state = self.lock();
        *state.running_in(lane) -= 1;
        state.connections = state.connections + usize::from(has_connection) - usize::from(had_connection);
        if let Some(work) = blocked {
            state.lane(Lane::Blocked).push(work);
        }
        if state.is_closed {
            self.connected.notify_all();
            self.unconnected.notify_all();
        } else if state.waiting.iter().any(|queue| !queue.is_empty()) {
            self.wake_one(&state);
        }
    }

    /// The body of a thread.
    fn work_off(&self, mut session: Session) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.take(session.is_open()) {
                Next::Work(lane, work) => {
                    let had = session.is_open();
                    let blocked = run(&mut session, lane, work);
                    self.ended(lane, had, session.is_open(), blocked);
                }
                Next::Connect if session.conn().is_ok() => {
                    pause = FIRST_PAUSE;
                    self.lock().connections += 1;
                }
                Next::Connect => {
                    debug!("no connection to the database is to be had; the others do the work");
                    self.stand_aside(pause);
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                Next::End => return,
            }
        }
    }

    /// Waits, unless the lanes are closed meanwhile.
    fn stand_aside(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        while !state.is_closed && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            state = self.aside.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a thread does next.
enum Next {
    Work(Lane, Boxed),
    Connect,
    End,
}

/// How long a look-up may take before its connection counts as dead and it is done again on another.
const LOOK_UP: Duration = Duration::from_secs(15);

/// How long a thread that cannot connect stands aside, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Runs work that is still wanted, and returns it if it has to wait for a lock.
fn run(session: &mut Session, lane: Lane, mut work: Boxed) -> Option<Boxed> {
    if !work.is_wanted() {
        return None;
    }
    let wait = if lane == Lane::Blocked { LockWait::Long } else { LockWait::Brief };
    let limit = (lane == Lane::Point && work.only_reads()).then_some(LOOK_UP);
    session.set_wait(wait, limit);
    match catch_unwind(AssertUnwindSafe(|| work.run(session))) {
        Ok(Progress::Done) => None,
        Ok(Progress::Blocked) => Some(work),
        Err(_panic) => {
            error!("a database task panicked");
            // Whatever transaction it had open ends with the connection.
            session.close();
            None
        }
    }
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut Turns {
        let [point, scan, blocked] = &mut self.waiting;
        match lane {
            Lane::Point => point,
            Lane::Scan => scan,
            Lane::Blocked => blocked,
        }
    }

    fn running_in(&mut self, lane: Lane) -> &mut usize {
        let [point, scan, blocked] = &mut self.running;
        match lane {
            Lane::Point => point,
            Lane::Scan => scan,
            Lane::Blocked => blocked,
        }
    }

    /// Chooses what runs next: one of each lane that has none running, then by rank.
    fn next(&mut self, sizes: &Sizes) -> Option<(Lane, Boxed)> {
        let limits = [(Lane::Point, usize::MAX), (Lane::Scan, sizes.scans), (Lane::Blocked, sizes.blocked)];
        let may_run = |state: &mut Self, lane, limit: usize| {
            *state.running_in(lane) < limit && !state.lane(lane).is_empty()
        };
        let starving = limits.iter().find(|(lane, limit)| may_run(self, *lane, (*limit).min(1)));
        let (lane, _) =
            starving.or_else(|| limits.iter().find(|(lane, limit)| may_run(self, *lane, *limit)))?;
        let work = self.lane(*lane).pop()?;
        *self.running_in(*lane) += 1;
        Some((*lane, work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work of a sort of its own for each `S`.
    struct Named<const S: usize>;

    impl<const S: usize> Work for Named<S> {
        fn run(&mut self, _: &mut Session) -> Progress {
            Progress::Done
        }

        fn refuse(self: Box<Self>, _: Error) {}

        fn is_wanted(&self) -> bool {
            true
        }

        fn sort(&self) -> TypeId {
            TypeId::of::<Self>()
        }
    }

    #[test]
    fn sorts_take_turns() {
        let mut turns = Turns::default();
        for _ in 0..100 {
            turns.push(Box::new(Named::<0>));
        }
        turns.push(Box::new(Named::<1>));
        turns.push(Box::new(Named::<2>));
        turns.push(Box::new(Named::<1>));
        let mut sorts = Vec::new();
        while let Some(work) = turns.pop() {
            sorts.push(work.sort());
        }
        assert!(turns.is_empty());
        let [zero, one, two] = [TypeId::of::<Named<0>>(), TypeId::of::<Named<1>>(), TypeId::of::<Named<2>>()];
        assert_eq!(sorts.len(), 103);
        assert_eq!(sorts.get(..6), Some(&[zero, one, two, zero, one, zero][..]));
    }
}
