//! One span and one line of log for every request, and its place in the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::Error as ActixError;
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use tracing::{Instrument, Level, Span, debug, enabled, info, info_span};

use super::PROBES;
use crate::api::state::App;

/// The route label of a request without a match.
const NO_ROUTE: &str = "none";

/// Passes `request` on to `service` and logs the result.
pub fn call<S>(
    app: &App,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, ActixError>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = ActixError>,
{
    let start = Instant::now();
    let method = request.method().clone();
    let app = app.clone();
    let span = span(&request);
    let answer = span.in_scope(|| service.call(request)).instrument(span.clone());
    async move {
        let result = answer.await;
        let status = match &result {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let is_logged = enabled!(Level::INFO);
        if is_logged || app.metrics.is_some() {
            let duration = start.elapsed();
            let route = result.as_ref().ok().and_then(|response| response.request().match_pattern());
            let route = route.as_deref().unwrap_or(NO_ROUTE);
            let is_probe = is_probe(route, &app.config.static_prefix);
            if is_logged {
                let is_news = !(is_probe && status.is_success());
                span.in_scope(|| line(&method, route, status, duration, is_news));
            }
            // As in stock: probes would drown the rest.
            if let Some(metrics) = app.metrics.as_ref().filter(|_| !is_probe) {
                metrics.observe(method.as_str(), route, status.as_str(), duration);
            }
        }
        result
    }
}

/// The span of a request. Its id is the client's `X-Request-Id` or one of our own.
fn span(request: &ServiceRequest) -> Span {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    if !enabled!(Level::INFO) {
        return Span::none();
    }
    let given = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    if let Some(id) = given.filter(|id| id.len() <= 128) {
        return info_span!("request", request.id = id);
    }
    info_span!("request", request.id = NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Says whether a route is a probe, polled by machines.
fn is_probe(route: &str, prefix: &str) -> bool {
    // Only `/metrics` is nowhere else.
    route == "/metrics" || PROBES.contains(&route.strip_prefix(prefix).unwrap_or(route))
}

/// Writes the line of a request, which only counts at debug if it is no news.
fn line(method: &Method, route: &str, status: StatusCode, duration: Duration, is_news: bool) {
    let status = status.as_u16();
    let duration_ms = duration.as_secs_f64() * 1000.0;
    if is_news {
        info!(http.method = %method, http.route = route, http.status = status, duration_ms, "{method} {route} {status}");
    } else {
        debug!(http.method = %method, http.route = route, http.status = status, duration_ms, "{method} {route} {status}");
    }
}
