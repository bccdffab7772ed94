//! Fallback responses: unknown paths, wrong methods, OPTIONS. HTML pages as in stock, with the same statuses
//! and headers.

use actix_web::http::header::{ALLOW, ContentType, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

/// Answers an unknown path: 404, or a redirect to the normalised path if it has repeated slashes, as with a
/// base URL that ends with one.
///
/// Upstream: `werkzeug.routing.Map` with `merge_slashes`.
pub async fn no_route(request: HttpRequest) -> HttpResponse {
    let Some(path) = without_repeated_slashes(request.path()) else { return not_found() };
    if request.resource_map().match_pattern(&path).is_none() {
        return not_found();
    }
    let info = request.connection_info();
    let query = if request.query_string().is_empty() { "" } else { "?" };
    let url = format!("{}://{}{path}{query}{}", info.scheme(), info.host(), request.query_string());
    let mut response = page(StatusCode::PERMANENT_REDIRECT, "This address has too many slashes.");
    if let Ok(url) = HeaderValue::from_str(&url) {
        response.headers_mut().insert(LOCATION, url);
    }
    response
}

/// Answers 404.
pub fn not_found() -> HttpResponse {
    page(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

/// Returns `path` with repeated slashes collapsed, if any.
fn without_repeated_slashes(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    (out.len() < path.len()).then_some(out)
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

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, web};

    use super::*;

    #[actix_web::test]
    async fn slashes_that_are_too_many_lead_to_the_route_that_was_meant() {
        let inner = web::scope("/api").service(web::resource("/runs/{id}").to(no_route));
        let app = init_service(App::new().service(inner).default_service(web::to(no_route))).await;
        for (path, want) in [
            ("//api/runs/1?a=b&c=%2F", Some("http://localhost:8080/api/runs/1?a=b&c=%2F")),
            ("/api///runs//x%20y", Some("http://localhost:8080/api/runs/x%20y")),
            ("//nowhere/at/all", None),
            ("//evil.example", None),
            ("/api//runs", None),
        ] {
            let answer = call_service(&app, TestRequest::get().uri(path).to_request()).await;
            assert_eq!(answer.status().as_u16(), if want.is_some() { 308 } else { 404 }, "{path}");
            assert_eq!(answer.headers().get(LOCATION).map(|url| url.to_str().unwrap()), want, "{path}");
        }
    }
}
