//! Answers: messages as JSON, errors in MLflow's JSON shape.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use serde::Serialize;
use tracing::{error, warn};

use super::answer::{Beginning, Unwritten};
use crate::domain::{Error, ErrorCode};

/// What a handler returns: a message, sent as JSON, or an error.
pub type Reply<T> = Result<Json<T>, Error>;

/// A message that is sent as JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// Replies with `message`.
pub fn json<T>(message: T) -> Reply<T> {
    Ok(Json(message))
}

/// Replies `{}`.
pub fn empty<T: Default>() -> Reply<T> {
    json(T::default())
}

impl<T: Serialize + Send + 'static> Responder for Json<T> {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        answer(self.0, b"")
    }
}

/// Answers with `message` as JSON and `end` after it. What is large is left to [`super::answer::call`].
pub fn answer(message: impl Serialize + Send + 'static, end: &'static [u8]) -> HttpResponse {
    let mut beginning = Beginning::default();
    let written = serde_json::to_writer(&mut beginning, &message);
    let mut response = HttpResponse::Ok();
    response.content_type(ContentType::json());
    match written {
        Ok(()) => {
            beginning.bytes.extend_from_slice(end);
            response.body(beginning.bytes)
        }
        Err(_) if beginning.is_full => {
            let mut response = response.finish();
            response.extensions_mut().insert(Unwritten::new(message, end));
            response
        }
        Err(e) => Error::internal(e).error_response(),
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error_code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<&'static str>,
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        log(self);
        let classification = self.code.classification();
        let body = ErrorBody {
            error_code: self.code.name(),
            message: &self.message,
            sqlstate: classification.map(|c| c.0),
            error_class: classification.map(|c| c.1),
        };
        let mut response = HttpResponse::build(self.status_code());
        if self.code == ErrorCode::TemporarilyUnavailable {
            response.insert_header((RETRY_AFTER, "1"));
        }
        response.json(body)
    }
}

/// Logs a server-side error, once, with its cause.
pub(super) fn log(error: &Error) {
    let cause = error.source.as_ref().map(tracing::field::display);
    match error.code {
        ErrorCode::InternalError | ErrorCode::StorageFull => error!(cause, "{error}"),
        ErrorCode::TemporarilyUnavailable => warn!(cause, "{error}"),
        _ => tracing::debug!(cause, "{error}"),
    }
}
