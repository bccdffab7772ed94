//! The one error type that crosses rooms, and the one table of error codes with their HTTP status.
//! Turning an error into a response is `api/reply.rs`.

use std::error::Error as StdError;
use std::fmt;

/// The error codes of the MLflow protocol that this server sends.
///
/// Upstream: `mlflow.exceptions.ERROR_CODE_TO_HTTP_STATUS` and `mlflow.error_classification`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Something failed on the server's side.
    InternalError,
    /// The request was understood but the resource's state forbids it. Answered with 500, as stock does.
    InvalidState,
    /// The server or its database cannot answer now; trying again may help.
    TemporarilyUnavailable,
    /// The request itself is malformed.
    BadRequest,
    /// A parameter's value is refused.
    InvalidParameterValue,
    /// The same for a parameter that names a field which does not exist.
    AttributeNotFound,
    /// The caller may not do this.
    PermissionDenied,
    /// The named resource does not exist.
    ResourceDoesNotExist,
    /// Something that is no resource of its own is not there.
    NotFound,
    /// A resource of that name exists already. Answered with 400, as stock does.
    ResourceAlreadyExists,
    /// No such endpoint.
    EndpointNotFound,
    /// The endpoint exists but does nothing here.
    NotImplemented,
    /// The resource was changed by somebody else meanwhile.
    ResourceConflict,
    /// A limit on the number of requests was reached.
    RequestLimitExceeded,
    /// The request is larger than this server takes. The name is that of a wrong parameter: stock has none for this.
    RequestTooLarge,
    /// The request came too slowly.
    RequestTimeout,
    /// The server runs without this part of MLflow. Answered with 500, as stock does.
    FeatureDisabled,
    /// The disk of the database or of the artifacts is full.
    ///
    /// Differs: stock answers 503, which the client library tries again for four minutes and then reports as "too many
    /// 503 error responses". 507 it reports at once, with the message: no disk empties itself while a client waits.
    StorageFull,
}

impl ErrorCode {
    /// Returns the HTTP status of the code.
    pub const fn http_status(self) -> u16 {
        self.row().0
    }

    /// Returns the name that goes into `error_code`.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns `sqlstate` and `error_class` of the answer; `None` where stock leaves both out.
    pub const fn classification(self) -> Option<(&'static str, &'static str)> {
        self.row().2
    }

    const fn row(self) -> (u16, &'static str, Option<(&'static str, &'static str)>) {
        const USER: &str = "KAM00";
        const SYSTEM: &str = "XXM00";
        match self {
            Self::InternalError => (500, "INTERNAL_ERROR", Some((SYSTEM, "CLIENT_INTERNAL_ERROR"))),
            Self::InvalidState => (500, "INVALID_STATE", Some((SYSTEM, "CLIENT_INTERNAL_ERROR"))),
            Self::TemporarilyUnavailable => {
                (503, "TEMPORARILY_UNAVAILABLE", Some((SYSTEM, "CLIENT_INTERNAL_ERROR")))
            }
            Self::BadRequest => (400, "BAD_REQUEST", Some((USER, "INVALID_PARAMETER_VALUE"))),
            Self::InvalidParameterValue => {
                (400, "INVALID_PARAMETER_VALUE", Some((USER, "INVALID_PARAMETER_VALUE")))
            }
            Self::AttributeNotFound => {
                (400, "INVALID_PARAMETER_VALUE", Some(("KAM04", "ATTRIBUTE_NOT_FOUND")))
            }
            Self::PermissionDenied => (403, "PERMISSION_DENIED", Some((USER, "PERMISSION_DENIED"))),
            Self::ResourceDoesNotExist => {
                (404, "RESOURCE_DOES_NOT_EXIST", Some((USER, "RESOURCE_NOT_FOUND")))
            }
            Self::ResourceAlreadyExists => {
                (400, "RESOURCE_ALREADY_EXISTS", Some((USER, "RESOURCE_ALREADY_EXISTS")))
            }
            Self::NotFound => (404, "NOT_FOUND", Some((USER, "RESOURCE_NOT_FOUND"))),
            Self::EndpointNotFound => (404, "ENDPOINT_NOT_FOUND", Some((USER, "RESOURCE_NOT_FOUND"))),
            Self::NotImplemented => (501, "NOT_IMPLEMENTED", None),
            Self::ResourceConflict => (409, "RESOURCE_CONFLICT", None),
            Self::RequestLimitExceeded => (429, "REQUEST_LIMIT_EXCEEDED", None),
            Self::RequestTooLarge => {
                (413, "INVALID_PARAMETER_VALUE", Some((USER, "INVALID_PARAMETER_VALUE")))
            }
            Self::RequestTimeout => (408, "DEADLINE_EXCEEDED", None),
            Self::FeatureDisabled => (500, "FEATURE_DISABLED", Some((USER, "FEATURE_DISABLED"))),
            Self::StorageFull => (507, "RESOURCE_EXHAUSTED", None),
        }
    }
}

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// An error with a protocol code, a message for the client and, if there is one, the cause for the log.
#[derive(Debug)]
pub struct Error {
    /// Decides the HTTP status and `error_code`.
    pub code: ErrorCode,
    /// What the client reads.
    pub message: String,
    /// What only the log reads.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Builds an error without a cause. A message that repeats a long value is cut. Differs: stock repeats all of it.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            message.shrink_to_fit();
        }
        Self { code, message, source: None }
    }

    /// `INVALID_PARAMETER_VALUE` with `message`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    /// `RESOURCE_DOES_NOT_EXIST` with `message`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceDoesNotExist, message)
    }

    /// `RESOURCE_ALREADY_EXISTS` with `message`.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceAlreadyExists, message)
    }

    /// `INVALID_STATE` with `message`.
    pub fn invalid_state(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidState, message)
    }

    /// `TEMPORARILY_UNAVAILABLE` with `message`: the client library tries again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TemporarilyUnavailable, message)
    }

    /// `INTERNAL_ERROR`: the client reads a neutral sentence, the log reads `source`.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            code: ErrorCode::InternalError,
            message: "The server failed to handle the request; its log has the cause.".into(),
            source: Some(source.into()),
        }
    }

    /// Adds the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let message = Error::invalid("é".repeat(MAX_MESSAGE)).message;
        assert_eq!(message, "é".repeat(MAX_MESSAGE / 2));
        assert_eq!(Error::invalid("x".repeat(MAX_MESSAGE)).message.len(), MAX_MESSAGE);
    }
}
