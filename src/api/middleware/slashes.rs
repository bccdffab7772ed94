//! Collapses leading slashes of a path: a reverse proxy that strips its own prefix (in nginx
//! `location /mlflow { proxy_pass http://server/; }`) sends `//api/…`.
//!
//! Upstream: `werkzeug.routing.Map` with `merge_slashes`, which redirects for slashes further in, as `fallback` does. Differs: also
//! for `/v1/traces`, which stock serves with another framework.

use actix_web::dev::{Service, ServiceRequest};
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;

/// Passes `request` on to `service` with one slash at the start of its path.
pub fn call<S: Service<ServiceRequest>>(mut request: ServiceRequest, service: &S) -> S::Future {
    if request.path().starts_with("//")
        && let Some(uri) = with_one_slash(request.uri())
    {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
    service.call(request)
}

fn with_one_slash(uri: &Uri) -> Option<Uri> {
    let given = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("/{}", given.trim_start_matches('/')).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_and_read_body, init_service};
    use actix_web::{App, HttpRequest, web};

    use super::*;

    #[actix_web::test]
    async fn slashes_at_the_start_are_one() {
        let echo = async |request: HttpRequest| {
            format!("{} {} {}", request.uri(), request.path(), request.match_info().query("id"))
        };
        let app = App::new()
            .route("/", web::get().to(echo))
            .route("/api/{id:.*}", web::get().to(echo))
            .wrap_fn(call);
        let app = init_service(app).await;
        for (path, want) in [
            ("/api/1?a=//b", "/api/1?a=//b /api/1 1"),
            ("//api/1?a=//b", "/api/1?a=//b /api/1 1"),
            ("////api/a//b", "/api/a//b /api/a//b a//b"),
            ("//api/a%2Fb%20c", "/api/a%2Fb%20c /api/a%2Fb%20c a%2Fb c"),
            ("//", "/ / "),
            ("//?a=1", "/?a=1 / "),
        ] {
            let request = TestRequest::get().uri(path).to_request();
            assert_eq!(call_and_read_body(&app, request).await, want, "{path}");
        }
    }
}
