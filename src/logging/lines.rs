//! The log writer: lines go through a bounded buffer and a thread of their own, so that a slow or stuck
//! reader (a full pipe, a stopped terminal) blocks no request. Lines that overflow the buffer are dropped and
//! counted, which is logged once writing works again.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

/// The buffer size in bytes. Too low and short stalls drop lines; as many again may be in flight.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// The batching delay of writes. Waking the thread for each line costs more than the line.
const GATHERING: Duration = Duration::from_millis(2);
/// The flush timeout at the end of the process.
const FAREWELL: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread reports dropped lines, exempt from the buffer limit: a dropped report would not be
    /// repeated.
    static IS_REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Accepts lines without ever blocking.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    lost: IntCounter,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether the thread is awake: it will look for more before it sleeps.
    is_writing: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`. Dropped lines are counted in `lost`; their increase is
    /// reported to `say` after the next successful write.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        lost: IntCounter,
        say: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), lost });
        let for_thread = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || for_thread.write_all_to(out, say))?;
        Ok(Self(shared))
    }

    /// Flushes, with a timeout for a stuck reader.
    pub(super) fn settle(&self) {
        let state = self.0.lock();
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.0.changed.wait_timeout_while(state, FAREWELL, is_busy));
    }
}

impl Shared {
    /// Ignores poisoning: a panic here interrupts no more than a copy of bytes.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > MOST_WAITING && !IS_REPORTING.get() {
            self.lost.inc();
            return;
        }
        state.waiting.extend_from_slice(line);
        let is_asleep = !state.is_writing;
        drop(state);
        if is_asleep {
            self.changed.notify_all();
        }
    }

    fn write_all_to(&self, mut out: impl Write, say: impl Fn(u64)) {
        let (mut taken, mut said) = (Vec::new(), 0);
        IS_REPORTING.set(true);
        loop {
            let is_empty = |state: &mut State| state.waiting.is_empty();
            let mut state =
                self.changed.wait_while(self.lock(), is_empty).unwrap_or_else(PoisonError::into_inner);
            state.is_writing = true;
            drop(state);
            thread::sleep(GATHERING);
            std::mem::swap(&mut taken, &mut self.lock().waiting);
            // A write error cannot be reported anywhere.
            let is_read = out.write_all(&taken).and_then(|()| out.flush()).is_ok();
            taken.clear();
            let lost = self.lost.get();
            if is_read && lost > said {
                say(lost - said);
                said = lost;
            }
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }
}

impl Write for Lines {
    /// Takes one line, whole: that is how the subscriber writes.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::sync::{OnceLock, mpsc};

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lines").unwrap()
    }

    #[test]
    fn lines_arrive_in_their_order_before_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        let lines = Lines::start(writer, counter(), |_| {}).unwrap();
        for number in 0..100 {
            lines.clone().write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        lines.settle();
        let read: Vec<String> = BufReader::new(reader).lines().take(100).map(|line| line.unwrap()).collect();
        let want: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        assert_eq!(read, want);
    }

    #[test]
    fn a_reader_that_stalls_holds_nobody_up_and_learns_what_it_missed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (say, said) = mpsc::channel();
        let lost = counter();
        let lines = Lines::start(writer, lost.clone(), move |lost| say.send(lost).unwrap()).unwrap();
        // Five times the buffer and what is in flight, none of it read.
        let line = format!("{}\n", "x".repeat(64 * 1024 - 1));
        for _ in 0..10 * MOST_WAITING / line.len() {
            lines.clone().write_all(line.as_bytes()).unwrap();
        }
        assert!(lost.get() > 100, "{}", lost.get());
        assert!(said.try_recv().is_err(), "nothing was written yet");
        let reading = thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        assert_eq!(said.recv().unwrap(), lost.get());
        lines.settle();
        assert!(!reading.is_finished());
    }

    #[test]
    fn what_was_lost_is_told_although_others_leave_no_room_for_it() {
        let (reader, writer) = io::pipe().unwrap();
        let line = format!("{}\n", "x".repeat(64 * 1024 - 1));
        let fill = move |lines: &Lines| {
            for _ in 0..3 * MOST_WAITING / line.len() {
                lines.0.push(line.as_bytes());
            }
        };
        let place = Arc::new(OnceLock::<Lines>::new());
        let (of_report, others) = (Arc::clone(&place), fill.clone());
        let report = move |_| {
            let lines = of_report.wait();
            thread::scope(|scope| drop(scope.spawn(|| others(lines))));
            lines.0.push(b"lines were lost\n");
        };
        let lines = place.get_or_init(|| Lines::start(writer, counter(), report).unwrap());
        fill(lines);
        let mut read = BufReader::new(reader).lines().take(1_000);
        assert!(read.any(|line| line.unwrap() == "lines were lost"));
    }
}
