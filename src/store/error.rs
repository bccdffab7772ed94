//! What a database error means: for the caller, where the resource is not known better, and for the transaction that met
//! it. PostgreSQL's errors are told apart by SQLSTATE, which no language of the server changes; SQLite has only its texts,
//! which are always English.

use std::fmt;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as Diesel};

use super::postgres::{LATE, sqlstate};
use crate::domain::{Error, ErrorCode};

const TOO_LONG: &str = "A value of the request is too long to be stored.";
const UNAVAILABLE: &str = "The database cannot answer now; try again.";
const DISK_FULL: &str =
    "The disk of the database is full: nothing was written. Free some space and try again.";
const COMMIT_UNKNOWN: &str = "The database did not confirm the commit; try again.";

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A deadlock or a serialization failure: the same transaction may succeed when it runs again.
    Contention,
    /// Somebody else holds a lock for longer than is waited for.
    Locked,
    /// The statement was ended: it ran over its time, or its client is gone.
    Ended,
    /// The connection is lost.
    Lost,
    /// The connection gave no answer in time, and is given up.
    Late,
    /// The session does not suit any more: prepared statements are gone or outdated, or the server only reads now.
    Outdated,
    /// The server takes no more connections or has no memory or workers for the statement.
    Busy,
    /// There is no room to write.
    Full,
    /// The request holds what no column can hold; the sentence is for the client.
    Value(&'static str),
    /// Anything else.
    Other,
}

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        match fault_of(&error) {
            Fault::Value(message) => Self::new(ErrorCode::BadRequest, message).with_source(error),
            Fault::Full => Self::new(ErrorCode::StorageFull, DISK_FULL).with_source(error),
            Fault::Other => Self::internal(error),
            _ => Self::unavailable(UNAVAILABLE).with_source(error),
        }
    }
}

/// Returns what kind of database error is behind `error`; `None` if none is.
pub(super) fn fault(error: &Error) -> Option<Fault> {
    let source = error.source.as_deref()?;
    if source.is::<RaceLost>() {
        return Some(Fault::Contention);
    }
    source.downcast_ref::<Diesel>().map(fault_of)
}

/// Says whether running the same transaction again may succeed: a deadlock, a serialization failure, a lock
/// not granted in time.
pub(super) fn is_retryable(error: &Error) -> bool {
    fault(error) == Some(Fault::Contention)
}

/// Says whether the connection is of no use any more, so that the work has to run on another.
pub(super) fn has_lost_connection(error: &Error) -> bool {
    matches!(fault(error), Some(Fault::Lost | Fault::Late | Fault::Outdated))
}

/// Says whether `error` leaves open whether the database has committed.
pub(super) fn is_commit_unknown(error: &Error) -> bool {
    error.source.as_deref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<CommitUnknown>)
}

/// Says whether the database's user may not do what was tried.
pub(super) fn is_forbidden(error: &Diesel) -> bool {
    matches!(error, Diesel::DatabaseError(_, report) if state_of(report.as_ref()) == Some("42501"))
}

/// The cause of an error whose transaction met another one without a conflict of locks, and is to run again.
#[derive(Debug)]
pub(super) struct RaceLost;

impl fmt::Display for RaceLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another transaction came first")
    }
}

impl std::error::Error for RaceLost {}

/// The cause of an error that leaves open whether the database has committed.
#[derive(Debug)]
struct CommitUnknown(Diesel);

impl fmt::Display for CommitUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CommitUnknown {}

/// Returns what a COMMIT that failed means. Unless the database says that it did not commit, nothing may be repeated
/// without the client's knowledge.
pub(super) fn commit_failed(error: Diesel) -> Error {
    match fault_of(&error) {
        Fault::Contention | Fault::Full => error.into(),
        _ => Error::unavailable(COMMIT_UNKNOWN).with_source(CommitUnknown(error)),
    }
}

/// Returns the error of a transaction that was not there any more when it was to be committed: nothing of it is stored.
pub(super) fn transaction_lost() -> Diesel {
    Diesel::DatabaseError(
        DatabaseErrorKind::ClosedConnection,
        Box::new("the transaction ended before its commit".to_owned()),
    )
}

/// Returns the error of a value that is longer than its column, as the database would report it.
pub(super) fn too_long() -> Error {
    Error::new(ErrorCode::BadRequest, TOO_LONG)
}

/// Says whether `error` is the violation of a unique or primary key.
pub fn is_unique_violation(error: &Diesel) -> bool {
    matches!(error, Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

/// Says whether `error` is the violation of a foreign key.
pub fn is_foreign_key_violation(error: &Diesel) -> bool {
    matches!(error, Diesel::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _))
}

fn fault_of(error: &Diesel) -> Fault {
    match error {
        Diesel::DatabaseError(kind, report) => match (kind, state_of(report.as_ref())) {
            (_, Some(state)) => of_state(state),
            (DatabaseErrorKind::SerializationFailure, None) => Fault::Contention,
            (DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, None) => {
                Fault::Lost
            }
            (_, None) => of_sqlite(report.message()),
        },
        Diesel::BrokenTransactionManager => Fault::Lost,
        _ => Fault::Other,
    }
}

fn state_of(report: &(dyn DatabaseErrorInformation + Send + Sync)) -> Option<&str> {
    sqlstate(report).filter(|state| !state.is_empty())
}

/// Upstream: PostgreSQL's manual, appendix "PostgreSQL Error Codes".
fn of_state(state: &str) -> Fault {
    match state {
        "40001" | "40P01" => Fault::Contention,
        "55P03" => Fault::Locked,
        "57014" => Fault::Ended,
        // A column's type has changed under a prepared statement; a statement that is not there, or there already, since a
        // pooler handed out another session; a server that was made a standby.
        "0A000" | "26000" | "42P05" | "25006" => Fault::Outdated,
        "53100" => Fault::Full,
        LATE => Fault::Late,
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" => Fault::Lost,
        "22001" => Fault::Value(TOO_LONG),
        "2201B" => Fault::Value("A regular expression of the request cannot be read."),
        "22003" => Fault::Value("A number of the request is too large to be stored."),
        // A NUL; a character that the database's encoding does not have.
        "22021" | "22P05" => {
            Fault::Value("A value of the request contains a character that cannot be stored.")
        }
        "54023" => Fault::Value("The request has more values than the database takes at once."),
        "54001" | "54011" => Fault::Value("The request has more conditions than the database takes at once."),
        "54000" => Fault::Value("A value of the request is too long to be indexed."),
        _ if state.starts_with("08") => Fault::Lost,
        _ if state.starts_with("53") => Fault::Busy,
        _ => Fault::Other,
    }
}

fn of_sqlite(message: &str) -> Fault {
    if let Some(message) = super::limits::exceeded(message) {
        Fault::Value(message)
    } else if message.contains("database is locked") {
        Fault::Contention
    } else if message.contains("database or disk is full") {
        Fault::Full
    } else if message == "interrupted" {
        Fault::Ended
    } else {
        Fault::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_tell_faults_apart() {
        for (state, want) in [
            ("40P01", Fault::Contention),
            ("55P03", Fault::Locked),
            ("57014", Fault::Ended),
            ("57P01", Fault::Lost),
            ("08P01", Fault::Lost),
            ("53300", Fault::Busy),
            ("53100", Fault::Full),
            ("25006", Fault::Outdated),
            ("42601", Fault::Other),
        ] {
            assert_eq!(of_state(state), want, "{state}");
        }
    }

    #[test]
    fn a_commit_that_is_unknown_is_never_repeated() {
        let error = commit_failed(transaction_lost());
        assert_eq!((error.code, fault(&error)), (ErrorCode::TemporarilyUnavailable, None));
    }
}
