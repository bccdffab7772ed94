//! A connection to PostgreSQL over libpq. The only place of the program with `unsafe` code.
//!
//! Other than libpq's own calls, every wait for the server ends: a [`Link`] has a deadline, after which what it waits for is
//! an error and the link is unusable. Errors keep their SQLSTATE, which does not depend on the server's language; the tag
//! of a finished command can be read, so that a COMMIT that did not commit is seen.

mod answer;

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

pub use answer::{Answer, Problem};
use pq_sys as pq;

/// Why a link could not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The server refused a statement. The connection goes on.
    Refused(Box<Problem>),
    /// The connection is lost, or never was. What the server did of the last statement is not known.
    Lost(String),
    /// The server gave no answer before the deadline. The link is unusable: its answer may still come.
    Late,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => problem.fmt(f),
            Self::Lost(why) => f.write_str(why),
            Self::Late => f.write_str("the database gave no answer in time"),
        }
    }
}

impl std::error::Error for Failure {}

/// What came of a statement.
pub type Outcome<T> = Result<T, Failure>;

/// Whether a transaction is open, as the server last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// None.
    Idle,
    /// One that goes on.
    Open,
    /// One that failed: everything but its end will be refused.
    Failed,
    /// A statement is under way, or the connection is lost.
    Unknown,
}

/// One value of a statement: bytes in the binary format of its type, or NULL.
pub type Value = Option<Vec<u8>>;

/// A connection.
#[derive(Debug)]
pub struct Link {
    raw: NonNull<pq::PGconn>,
    /// How long one statement may take, from being sent to its last row.
    patience: Duration,
    /// Set when an answer was not waited for to its end.
    abandoned: bool,
}

// SAFETY: libpq allows a connection to be used from any thread, by one at a time, which `&mut self` ensures.
unsafe impl Send for Link {}

/// Asks the server to end what a link is doing; usable from any thread, whatever the link does meanwhile.
#[derive(Debug)]
pub struct Canceller(NonNull<pq::PGcancel>);

// SAFETY: PQcancel only reads the structure, and is documented as safe to call from any thread.
unsafe impl Send for Canceller {}
// SAFETY: as above.
unsafe impl Sync for Canceller {}

impl Canceller {
    /// Sends the request, which may come too late to have an effect. Blocks while the server is connected to.
    pub fn cancel(&self) -> bool {
        let mut message = [0 as c_char; 256];
        // SAFETY: the pointer is valid until drop; the buffer is as long as is said.
        unsafe { pq::PQcancel(self.0.as_ptr(), message.as_mut_ptr(), 256) == 1 }
    }
}

impl Drop for Canceller {
    fn drop(&mut self) {
        // SAFETY: made by PQgetCancel, freed once.
        unsafe { pq::PQfreeCancel(self.0.as_ptr()) }
    }
}

extern "C" fn ignore_notice(_: *mut std::ffi::c_void, _: *const pq::PGresult) {}

impl Link {
    /// Connects. `conninfo` is libpq's connection string; its `connect_timeout` bounds each host it names.
    pub fn connect(conninfo: &str, patience: Duration) -> Outcome<Self> {
        let text = c_string(conninfo)?;
        // SAFETY: the text lives through the call.
        let raw = unsafe { pq::PQconnectdb(text.as_ptr()) };
        let raw = NonNull::new(raw).ok_or_else(|| Failure::Lost("out of memory".into()))?;
        let link = Self { raw, patience, abandoned: false };
        // SAFETY: the connection is valid until drop.
        let is_ok = unsafe { pq::PQstatus(raw.as_ptr()) } == pq::ConnStatusType::CONNECTION_OK;
        if !is_ok {
            return Err(Failure::Lost(link.message()));
        }
        // SAFETY: as above. Notices would go to stderr.
        let blocks = unsafe {
            pq::PQsetNoticeReceiver(raw.as_ptr(), Some(ignore_notice), ptr::null_mut());
            pq::PQsetnonblocking(raw.as_ptr(), 1)
        };
        if blocks == 0 { Ok(link) } else { Err(Failure::Lost(link.message())) }
    }

    /// Changes how long one statement may take.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Returns the process that the server named when it was connected to. A pooler names one that does not exist.
    pub fn backend_pid(&self) -> i32 {
        // SAFETY: the connection is valid until drop.
        unsafe { pq::PQbackendPID(self.raw.as_ptr()) }
    }

    /// Says whether the connection can be used, as far as is known without asking the server.
    pub fn is_usable(&self) -> bool {
        // SAFETY: the connection is valid until drop.
        !self.abandoned && unsafe { pq::PQstatus(self.raw.as_ptr()) } == pq::ConnStatusType::CONNECTION_OK
    }

    /// Returns what ends this link's statements from another thread.
    pub fn canceller(&self) -> Option<Canceller> {
        // SAFETY: the connection is valid until drop.
        NonNull::new(unsafe { pq::PQgetCancel(self.raw.as_ptr()) }).map(Canceller)
    }

    /// Says whether a transaction is open.
    pub fn transaction(&self) -> Transaction {
        // SAFETY: the connection is valid until drop.
        match unsafe { pq::PQtransactionStatus(self.raw.as_ptr()) } {
            pq::PGTransactionStatusType::PQTRANS_IDLE => Transaction::Idle,
            pq::PGTransactionStatusType::PQTRANS_INTRANS => Transaction::Open,
            pq::PGTransactionStatusType::PQTRANS_INERROR => Transaction::Failed,
            _ => Transaction::Unknown,
        }
    }

    /// Runs statements without values, all in one message, and returns the tag of the last (`COMMIT`, `ROLLBACK`, …). The
    /// first that fails ends it.
    pub fn batch(&mut self, sql: &str) -> Outcome<String> {
        let sql = c_string(sql)?;
        // SAFETY: both pointers are valid through the call.
        let sent = unsafe { pq::PQsendQuery(self.raw.as_ptr(), sql.as_ptr()) };
        self.sent(sent)?;
        Ok(self.last()?.map_or_else(String::new, |answer| answer.tag().to_owned()))
    }

    /// Prepares a statement under a name.
    pub fn prepare(&mut self, name: &CStr, sql: &CStr, types: &[u32]) -> Outcome<()> {
        let count = count(types.len())?;
        // SAFETY: all pointers are valid through the call; `types` has `count` elements.
        let sent = unsafe {
            pq::PQsendPrepare(self.raw.as_ptr(), name.as_ptr(), sql.as_ptr(), count, types.as_ptr())
        };
        self.sent(sent)?;
        self.last().map(|_answer| ())
    }

    /// Runs a prepared statement. [`Link::next_answer`] gives what it returns; some rows at a time with `in_parts`.
    pub fn send_prepared(&mut self, name: &CStr, values: &[Value], in_parts: bool) -> Outcome<()> {
        let (pointers, lengths, formats) = flatten(values)?;
        // SAFETY: all pointers are valid through the call; the three lists have one element for each value.
        let sent = unsafe {
            pq::PQsendQueryPrepared(
                self.raw.as_ptr(),
                name.as_ptr(),
                count_values(values)?,
                pointers.as_ptr(),
                lengths.as_ptr(),
                formats.as_ptr(),
                BINARY,
            )
        };
        self.sent(sent)?;
        self.read_in_parts(in_parts)
    }

    /// Runs a statement that is not prepared, in one message, so that a pooler cannot come between its parts.
    pub fn send(&mut self, sql: &CStr, types: &[u32], values: &[Value], in_parts: bool) -> Outcome<()> {
        let (pointers, lengths, formats) = flatten(values)?;
        // SAFETY: all pointers are valid through the call; the four lists have one element for each value.
        let sent = unsafe {
            pq::PQsendQueryParams(
                self.raw.as_ptr(),
                sql.as_ptr(),
                count_values(values)?,
                types.as_ptr(),
                pointers.as_ptr(),
                lengths.as_ptr(),
                formats.as_ptr(),
                BINARY,
            )
        };
        self.sent(sent)?;
        self.read_in_parts(in_parts)
    }

    /// Returns the next part of what the statement under way returns; `None` when it has ended.
    pub fn next_answer(&mut self) -> Outcome<Option<Answer>> {
        let until = Instant::now().checked_add(self.patience);
        self.wait(until)?;
        // SAFETY: the connection is valid until drop; nothing has to be waited for any more.
        let Some(raw) = NonNull::new(unsafe { pq::PQgetResult(self.raw.as_ptr()) }) else { return Ok(None) };
        let answer = Answer::new(raw);
        match answer.problem() {
            None => Ok(Some(answer)),
            Some(problem) => {
                // Until the end is read, nothing else can be sent.
                while self.next_ignored(until)? {}
                if self.is_usable() {
                    Err(Failure::Refused(Box::new(problem)))
                } else {
                    Err(Failure::Lost(problem.message))
                }
            }
        }
    }

    /// Reads one more answer that nobody wants; `false` at the end.
    fn next_ignored(&mut self, until: Option<Instant>) -> Outcome<bool> {
        self.wait(until)?;
        // SAFETY: the connection is valid until drop.
        let raw = NonNull::new(unsafe { pq::PQgetResult(self.raw.as_ptr()) });
        Ok(raw.map(Answer::new).is_some())
    }

    /// Reads to the end and returns the last answer.
    fn last(&mut self) -> Outcome<Option<Answer>> {
        let mut last = None;
        while let Some(answer) = self.next_answer()? {
            last = Some(answer);
        }
        Ok(last)
    }

    fn read_in_parts(&mut self, wanted: bool) -> Outcome<()> {
        // SAFETY: the connection is valid until drop.
        if wanted && unsafe { pq::PQsetChunkedRowsMode(self.raw.as_ptr(), PART) } != 1 {
            return Err(Failure::Lost(self.message()));
        }
        Ok(())
    }

    /// Pushes out what a call of libpq has put into its buffer.
    fn sent(&mut self, sent: c_int) -> Outcome<()> {
        if sent != 1 {
            self.abandoned = true;
            return Err(Failure::Lost(self.message()));
        }
        let until = Instant::now().checked_add(self.patience);
        loop {
            // SAFETY: the connection is valid until drop.
            if unsafe { pq::PQflush(self.raw.as_ptr()) } != 1 {
                // Also after a failure: what the server said before it closed the connection is read as an answer.
                return Ok(());
            }
            self.poll(libc::POLLIN | libc::POLLOUT, until)?;
            // The server may have to send before it reads on.
            // SAFETY: the connection is valid until drop.
            unsafe { pq::PQconsumeInput(self.raw.as_ptr()) };
        }
    }

    /// Waits until an answer can be read without waiting.
    fn wait(&mut self, until: Option<Instant>) -> Outcome<()> {
        // SAFETY: the connection is valid until drop.
        while unsafe { pq::PQisBusy(self.raw.as_ptr()) } == 1 {
            self.poll(libc::POLLIN, until)?;
            // SAFETY: as above.
            if unsafe { pq::PQconsumeInput(self.raw.as_ptr()) } != 1 {
                self.abandoned = true;
                return Err(Failure::Lost(self.message()));
            }
        }
        Ok(())
    }

    /// Waits until the socket is ready for one of `events`.
    fn poll(&mut self, events: i16, until: Option<Instant>) -> Outcome<()> {
        // SAFETY: the connection is valid until drop.
        let fd = unsafe { pq::PQsocket(self.raw.as_ptr()) };
        let mut entry = libc::pollfd { fd, events, revents: 0 };
        loop {
            let left = until.map_or(c_int::MAX, |until| {
                let left = until.saturating_duration_since(Instant::now()).as_millis();
                c_int::try_from(left).unwrap_or(c_int::MAX)
            });
            // SAFETY: one entry, valid through the call.
            match unsafe { libc::poll(&raw mut entry, 1, left) } {
                0 => {
                    self.abandoned = true;
                    return Err(Failure::Late);
                }
                -1 if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
                -1 => {
                    self.abandoned = true;
                    return Err(Failure::Lost(std::io::Error::last_os_error().to_string()));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Returns libpq's own words for what failed last.
    fn message(&self) -> String {
        // SAFETY: the connection is valid until drop; the text is copied before anything else is called.
        let text = unsafe { CStr::from_ptr(pq::PQerrorMessage(self.raw.as_ptr())) };
        text.to_string_lossy().trim().to_owned()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // SAFETY: made by PQconnectdb, freed once.
        unsafe { pq::PQfinish(self.raw.as_ptr()) }
    }
}

const BINARY: c_int = 1;

/// How many rows a part of an answer has.
const PART: c_int = 256;

fn c_string(text: &str) -> Outcome<CString> {
    CString::new(text).map_err(|_nul| refused("22021", "a statement holds a NUL character"))
}

/// An error that is found before anything is sent.
fn refused(sqlstate: &str, message: &str) -> Failure {
    Failure::Refused(Box::new(Problem {
        sqlstate: sqlstate.into(),
        message: message.into(),
        ..Problem::default()
    }))
}

fn count(length: usize) -> Outcome<c_int> {
    c_int::try_from(length).map_err(|_large| refused("54000", "a value of a statement is too long"))
}

/// The protocol counts values in two bytes.
fn count_values(values: &[Value]) -> Outcome<c_int> {
    u16::try_from(values.len())
        .map(c_int::from)
        .map_err(|_large| refused("54023", "a statement has too many values"))
}

type Flat = (Vec<*const c_char>, Vec<c_int>, Vec<c_int>);

/// Returns pointers to the values, their lengths and their formats.
fn flatten(values: &[Value]) -> Outcome<Flat> {
    let pointer = |value: &Value| value.as_ref().map_or(ptr::null(), |bytes| bytes.as_ptr().cast());
    let lengths = values.iter().map(|value| count(value.as_ref().map_or(0, Vec::len)));
    Ok((values.iter().map(pointer).collect(), lengths.collect::<Outcome<_>>()?, vec![BINARY; values.len()]))
}
