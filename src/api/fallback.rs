//! Answers where no handler is asked: unknown paths, wrong methods, OPTIONS. Pages for people, since stock
//! answers HTML here, with the same statuses and headers.

use actix_web::http::header::{ALLOW, ContentType, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

/// Answers a path that does not exist.
pub async fn not_found() -> HttpResponse {
    page(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

/// Answers a path that exists, but not for this method: OPTIONS gets the methods, others 405.
/// Under `/api` the middleware makes 204 of the answer to OPTIONS.
pub(super) fn other_method(request: &HttpRequest, allow: Option<HeaderValue>) -> HttpResponse {
    let mut response = if request.method() == Method::OPTIONS {
        HttpResponse::Ok().content_type(ContentType::html()).finish()
    } else {
        page(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that method.")
    };
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Returns a small HTML page that names `status` and says `text`.
pub(super) fn page(status: StatusCode, text: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or_default();
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n",
        code = status.as_u16()
    );
    HttpResponse::build(status).content_type(ContentType::html()).body(body)
}
