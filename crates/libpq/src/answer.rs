//! What the server returned for a statement: rows, a command's tag, or an error with its SQLSTATE.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::ptr::NonNull;

use pq_sys as pq;

/// An error of the server.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    /// Five characters that do not depend on the server's language; empty when libpq itself reports the error.
    pub sqlstate: String,
    /// The server's words, in its language.
    pub message: String,
    /// More of them.
    pub detail: Option<String>,
    /// The table that is meant.
    pub table: Option<String>,
    /// The column that is meant.
    pub column: Option<String>,
    /// The constraint that is violated.
    pub constraint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.sqlstate)
    }
}

/// Rows in the binary format, or what became of a command.
#[derive(Debug)]
pub struct Answer {
    raw: NonNull<pq::PGresult>,
    /// Kept here since they are asked for with every value.
    rows: c_int,
    columns: c_int,
}

// SAFETY: a result is not changed after it was made; libpq allows it to be read from any thread.
unsafe impl Send for Answer {}
// SAFETY: as above.
unsafe impl Sync for Answer {}

impl Answer {
    pub(crate) fn new(raw: NonNull<pq::PGresult>) -> Self {
        // SAFETY: the result is valid until drop.
        let (rows, columns) = unsafe { (pq::PQntuples(raw.as_ptr()), pq::PQnfields(raw.as_ptr())) };
        Self { raw, rows, columns }
    }

    /// Returns the error, if it is one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        use pq::ExecStatusType as Status;
        // SAFETY: the result is valid until drop.
        match unsafe { pq::PQresultStatus(self.raw.as_ptr()) } {
            Status::PGRES_COMMAND_OK | Status::PGRES_TUPLES_OK | Status::PGRES_TUPLES_CHUNK => None,
            Status::PGRES_EMPTY_QUERY => {
                Some(Problem { message: "an empty statement".into(), ..Problem::default() })
            }
            _ => Some(Problem {
                sqlstate: self.field(pq::PG_DIAG_SQLSTATE).unwrap_or_default(),
                message: self.field(pq::PG_DIAG_MESSAGE_PRIMARY).unwrap_or_else(|| self.words()),
                detail: self.field(pq::PG_DIAG_MESSAGE_DETAIL),
                table: self.field(pq::PG_DIAG_TABLE_NAME),
                column: self.field(pq::PG_DIAG_COLUMN_NAME),
                constraint: self.field(pq::PG_DIAG_CONSTRAINT_NAME),
            }),
        }
    }

    fn field(&self, field: u8) -> Option<String> {
        // SAFETY: the result is valid until drop.
        text(unsafe { pq::PQresultErrorField(self.raw.as_ptr(), c_int::from(field)) })
    }

    fn words(&self) -> String {
        // SAFETY: the result is valid until drop.
        text(unsafe { pq::PQresultErrorMessage(self.raw.as_ptr()) }).unwrap_or_default()
    }

    /// Returns the tag of the command, such as `COMMIT` or `INSERT 0 3`.
    pub fn tag(&self) -> &str {
        // SAFETY: the result is valid until drop, and so is the text in it.
        let tag = unsafe { CStr::from_ptr(pq::PQcmdStatus(self.raw.as_ptr())) };
        tag.to_str().unwrap_or_default()
    }

    /// Returns how many rows the command changed, or returned.
    pub fn affected(&self) -> usize {
        // SAFETY: the result is valid until drop, and so is the text in it.
        let count = unsafe { CStr::from_ptr(pq::PQcmdTuples(self.raw.as_ptr())) };
        count.to_str().ok().and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Returns how many rows there are.
    pub fn rows(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(0)
    }

    /// Returns how many columns there are.
    pub fn columns(&self) -> usize {
        usize::try_from(self.columns).unwrap_or(0)
    }

    /// Returns the name of a column.
    pub fn column_name(&self, column: usize) -> Option<&str> {
        let column = self.column(column)?;
        // SAFETY: the result is valid until drop, and so is the text in it; the column exists.
        let name = unsafe { pq::PQfname(self.raw.as_ptr(), column) };
        // SAFETY: as above.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })?.to_str().ok()
    }

    /// Returns the type of a column, as its number in the server's catalogue.
    pub fn column_type(&self, column: usize) -> u32 {
        // SAFETY: the result is valid until drop; the column exists.
        self.column(column).map_or(0, |column| unsafe { pq::PQftype(self.raw.as_ptr(), column) })
    }

    /// Returns the bytes of a value; `None` for NULL, and where there is none.
    pub fn value(&self, row: usize, column: usize) -> Option<&[u8]> {
        let column = self.column(column)?;
        let row = c_int::try_from(row).ok().filter(|row| *row < self.rows)?;
        // SAFETY: the result is valid until drop, and so are the bytes in it; row and column exist.
        unsafe {
            if pq::PQgetisnull(self.raw.as_ptr(), row, column) != 0 {
                return None;
            }
            let start: *const u8 = pq::PQgetvalue(self.raw.as_ptr(), row, column).cast();
            let length = pq::PQgetlength(self.raw.as_ptr(), row, column);
            Some(std::slice::from_raw_parts(start, usize::try_from(length).ok()?))
        }
    }

    fn column(&self, column: usize) -> Option<c_int> {
        c_int::try_from(column).ok().filter(|column| *column < self.columns)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: made by libpq, freed once.
        unsafe { pq::PQclear(self.raw.as_ptr()) }
    }
}

/// Copies a text of libpq; in a LATIN1 or a broken connection it may not be UTF-8.
fn text(raw: *const c_char) -> Option<String> {
    // SAFETY: not NULL, and libpq's texts end in NUL.
    (!raw.is_null()).then(|| unsafe { CStr::from_ptr(raw) }.to_string_lossy().trim().to_owned())
}
