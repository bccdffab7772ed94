//! Maps a store's errors for the client: not found, permission denied, unavailable, or another failure. The
//! client reads a sentence; the log has the store's error code. Neither has the store's response body, which
//! repeats parts of the signed request.

use std::error::Error as StdError;
use std::io;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

use super::{Objects, no_such};
use crate::artifacts::ArtifactPath;
use crate::domain::{Error, ErrorCode};

impl Objects {
    /// Maps a store's error about `path`.
    pub(super) fn failure(&self, error: &StoreError, path: &ArtifactPath) -> Error {
        let said = Said::of(error);
        let name = &self.name;
        let known = match said.meaning {
            Meaning::NoBucket => {
                tracing::warn!("{name} does not exist: {}", said.text);
                Error::not_found(format!("The artifact store {name} does not exist."))
            }
            Meaning::Nothing => no_such(path),
            Meaning::NoAccess => {
                tracing::warn!("{name} refuses access to '{path}': {}", said.text);
                let message = format!("The server has no access to artifact '{path}' in {name}.");
                Error::new(ErrorCode::PermissionDenied, message)
            }
            Meaning::Away => self.away(),
            Meaning::Full => {
                Error::new(ErrorCode::StorageFull, format!("The artifact store {name} has no room left."))
            }
            Meaning::Other => Error::internal(""),
        };
        known.with_source(format!("{name}: {}", said.text))
    }

    /// The error where somebody else answers, or nobody.
    pub(super) fn away(&self) -> Error {
        Error::unavailable(format!("The artifact store {} cannot be reached; try again later.", self.name))
    }
}

impl Objects {
    /// The same about an upload of ours. Garage forgets one that has begun when another of the same file is completed.
    pub(super) fn upload_failure(&self, error: &StoreError, path: &ArtifactPath) -> Error {
        let said = Said::of(error);
        if said.meaning != Meaning::Nothing {
            return self.failure(error, path);
        }
        let message =
            format!("The artifact store {} has given up the upload of '{path}'; try again.", self.name);
        Error::unavailable(message).with_source(format!("{}: {}", self.name, said.text))
    }

    /// The same for a client's multipart upload.
    pub(super) fn multipart_failure(&self, error: &StoreError, path: &ArtifactPath) -> Error {
        let said = Said::of(error);
        let says = |codes: &[&str]| said.code.as_ref().is_some_and(|code| codes.contains(&code.as_str()));
        let message = if says(&["NoSuchUpload"]) || matches!(error, StoreError::NotFound { .. }) {
            Error::not_found(format!("There is no such multipart upload of '{path}'."))
        } else if says(&[
            "InvalidPart",
            "InvalidPartOrder",
            "EntityTooSmall",
            "InvalidArgument",
            "InvalidRequest",
        ]) {
            Error::invalid(format!("The parts of the upload of '{path}' do not make a file."))
        } else {
            return self.failure(error, path);
        };
        message.with_source(format!("{}: {}", self.name, said.text))
    }
}

/// Settings of the operator that cannot be used.
pub(super) fn misconfigured(message: String) -> Error {
    Error::new(ErrorCode::InternalError, message)
}

/// An error in the middle of a file, where only the connection can be cut.
pub(super) fn while_reading(error: &StoreError) -> io::Error {
    let said = Said::of(error);
    tracing::warn!("an artifact could not be read to its end: {}", said.text);
    io::Error::other(said.text)
}

/// The kind of a store's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Nothing,
    NoBucket,
    NoAccess,
    /// No response, or one that asks for a retry.
    Away,
    /// Storage is full.
    Full,
    Other,
}

/// The loggable parts of an error.
#[derive(Debug)]
pub(super) struct Said {
    /// For the log.
    pub(super) text: String,
    /// The store's error code.
    code: Option<String>,
    meaning: Meaning,
}

impl Said {
    pub(super) fn of(error: &StoreError) -> Self {
        let whole = error.to_string();
        let code = between(&whole, "<Code>", "</Code>");
        let status = between(&whole, "status code: ", ":");
        let text = match (status, code) {
            (Some(status), Some(code)) => {
                let message = between(&whole, "<Message>", "</Message>").unwrap_or_default();
                format!("{status}, {code}: {message}")
            }
            (Some(status), None) => status.to_owned(),
            (None, Some(code)) => code.to_owned(),
            (None, None) => without_queries(&causes(error)),
        };
        Self { text, code: code.map(str::to_owned), meaning: meaning(error, status, code, &whole) }
    }
}

/// Error codes for invalid credentials with a status of 400.
const REFUSED_CREDENTIALS: [&str; 5] = [
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
    "InvalidAuthenticationInfo",
];

/// Listings fail without a kind, so the status counts as well.
fn meaning(error: &StoreError, status: Option<&str>, code: Option<&str>, whole: &str) -> Meaning {
    let status = status.and_then(|status| status.get(..3)?.parse::<u16>().ok());
    match (error, status, code) {
        (_, _, Some(code)) if REFUSED_CREDENTIALS.contains(&code) => Meaning::NoAccess,
        // a HEAD response has no body; the request is well-formed
        (_, Some(400), None) if whole.contains("HEAD ") => Meaning::NoAccess,
        (_, Some(507), _) | (_, _, Some("XMinioStorageFull")) => Meaning::Full,
        (_, _, Some("NoSuchBucket" | "ContainerNotFound")) => Meaning::NoBucket,
        (StoreError::NotFound { .. }, ..) | (_, Some(404), _) => Meaning::Nothing,
        (StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }, ..)
        | (_, Some(401 | 403), _) => Meaning::NoAccess,
        (_, Some(429 | 500..), _) | (_, _, Some("SlowDown" | "InternalError")) => Meaning::Away,
        _ if whole.contains("Header missing from response") => Meaning::Away,
        _ => match http_error(error).map(HttpError::kind) {
            Some(HttpErrorKind::Decode) | None => Meaning::Other,
            Some(_) => Meaning::Away,
        },
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inside, _)| inside)
}

fn http_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a HttpError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error and its sources, each once.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = error.source();
    }
    text
}

/// Takes the queries off URLs: they may hold signatures.
fn without_queries(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('?') {
        Some((url, _)) if word.contains("://") => format!("{url}?…"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn the_log_gets_the_code_and_no_signature() {
        for (error, text, meaning) in [
            (
                "Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: 403 Forbidden: \
                 <?xml?><Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message><AWSAccessKeyId>AKIA\
                 </AWSAccessKeyId><StringToSign>x-amz-security-token:SECRET</StringToSign></Error>",
                "403 Forbidden, SignatureDoesNotMatch: no match",
                Meaning::NoAccess,
            ),
            ("x status code: 503 Service Unavailable: busy", "503 Service Unavailable", Meaning::Away),
            ("error response: <Code>SlowDown</Code>", "SlowDown", Meaning::Away),
            (
                "sending (https://a/b?sv=1&sig=SECRET) failed",
                "Generic S3 error: sending (https://a/b?… failed",
                Meaning::Other,
            ),
            (
                "Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: 400 Bad Request: \
                 <Error><Code>ExpiredToken</Code><Message>too old</Message></Error>",
                "400 Bad Request, ExpiredToken: too old",
                Meaning::NoAccess,
            ),
            (
                "Error performing HEAD http://h/b/k in 1ms - Server returned non-2xx status code: 400 Bad Request: ",
                "400 Bad Request",
                Meaning::NoAccess,
            ),
            (
                "Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: 400 Bad Request: \
                 <Error><Code>InvalidArgument</Code></Error>",
                "400 Bad Request, InvalidArgument: ",
                Meaning::Other,
            ),
            (
                "x status code: 507 Insufficient Storage: <Code>XMinioStorageFull</Code>",
                "507 Insufficient Storage, XMinioStorageFull: ",
                Meaning::Full,
            ),
            (
                "x status code: 404 Not Found: <Code>NoSuchBucket</Code>",
                "404 Not Found, NoSuchBucket: ",
                Meaning::NoBucket,
            ),
        ] {
            let said = Said::of(&generic(error));
            assert_eq!((said.text.as_str(), said.meaning), (text, meaning), "{error}");
            assert!(!said.text.contains("SECRET"));
        }
    }
}
