//! What a database error means for the caller, where the resource is not known better.

use diesel::result::{DatabaseErrorKind, Error as Diesel};

use crate::domain::{Error, ErrorCode};

const UNAVAILABLE: &str = "The database cannot answer now; try again.";

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        if is_unavailable(&error) {
            Self::unavailable(UNAVAILABLE).with_source(error)
        } else if let Some(message) = refused_value(&error) {
            Self::new(ErrorCode::BadRequest, message).with_source(error)
        } else {
            Self::internal(error)
        }
    }
}

/// Says whether running the same transaction again may succeed: a deadlock, a serialization failure, a lock
/// not granted in time.
pub(super) fn is_retryable(error: &Error) -> bool {
    let lost_race =
        error.source.as_deref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<RaceLost>);
    lost_race || cause(error).is_some_and(is_contention)
}

/// Says whether the connection itself may be at fault, so that it has to be checked.
pub(super) fn may_be_broken(error: &Error) -> bool {
    matches!(error.code, ErrorCode::InternalError | ErrorCode::TemporarilyUnavailable)
}

/// The cause of an error whose transaction met another one without a conflict of locks, and is to run again.
#[derive(Debug)]
pub(super) struct RaceLost;

impl std::fmt::Display for RaceLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another transaction came first")
    }
}

impl std::error::Error for RaceLost {}

/// Says whether `error` is the violation of a unique or primary key.
pub fn is_unique_violation(error: &Diesel) -> bool {
    matches!(error, Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

/// Says whether `error` is the violation of a foreign key.
pub fn is_foreign_key_violation(error: &Diesel) -> bool {
    matches!(error, Diesel::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _))
}

fn cause(error: &Error) -> Option<&Diesel> {
    error.source.as_deref().and_then(|s| s.downcast_ref::<Diesel>())
}

fn is_contention(error: &Diesel) -> bool {
    match error {
        Diesel::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        // diesel hands over no SQLSTATE for a deadlock (40P01); SQLite has only the text.
        Diesel::DatabaseError(_, info) => {
            info.message().contains("deadlock detected") || info.message().contains("database is locked")
        }
        _ => false,
    }
}

/// Says what the client sent that no column can hold. Where nothing checks the length of a text before, only
/// PostgreSQL refuses it, as under stock.
fn refused_value(error: &Diesel) -> Option<&'static str> {
    let Diesel::DatabaseError(_, info) = error else { return None };
    // diesel hands over no SQLSTATE for these (22001, 2201B, 22021).
    if info.message().contains("value too long for type") {
        return Some("A value of the request is too long to be stored.");
    }
    if info.message().contains("invalid regular expression") {
        return Some("A regular expression of the request cannot be read.");
    }
    let has_nul = info.message().contains("invalid byte sequence for encoding");
    has_nul.then_some("A value of the request contains a character that cannot be stored.")
}

fn is_unavailable(error: &Diesel) -> bool {
    if is_contention(error) {
        return true;
    }
    match error {
        Diesel::DatabaseError(
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
            _,
        )
        | Diesel::BrokenTransactionManager => true,
        // A statement over its time, a server that starts or stops: known by their texts only.
        Diesel::DatabaseError(_, info) => [
            "canceling statement due to",
            "terminating connection",
            "the database system is",
            "server closed the connection",
            "connection to server",
            "no connection to the server",
            "could not receive data",
        ]
        .iter()
        .any(|text| info.message().contains(text)),
        _ => false,
    }
}
