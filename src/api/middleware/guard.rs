//! The innermost layer: a handler that panics answers 500 and takes nothing else down, HEAD is served as GET,
//! and a server that only hands artifacts through refuses everything else.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::ContentType;
use actix_web::http::{Method, StatusCode};
use actix_web::{Error as ActixError, HttpResponse};
use futures_util::FutureExt;

use crate::config::Config;
use crate::domain::Error;

/// Passes `request` on to `service`.
pub fn call<S>(
    config: &Config,
    mut request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, ActixError>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = ActixError>,
{
    // The connection knows that the request was a HEAD and sends no body.
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let step = if config.artifacts_only && is_disabled(config, request.match_info().as_str()) {
        let response = disabled(request.path());
        Err(request.into_response(response))
    } else {
        Ok(service.call(request))
    };
    async move {
        match step {
            Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
                Err(Error::internal(format!("a handler panicked: {}", panic_text(&*panic))).into())
            }),
            Err(refusal) => Ok(refusal),
        }
    }
}

/// Says whether a server that only hands artifacts through refuses `path`.
///
/// Upstream: `_disable_if_artifacts_only`.
fn is_disabled(config: &Config, path: &str) -> bool {
    let path = path.strip_prefix(&config.static_prefix).unwrap_or(path);
    match path.strip_prefix("/api/").or_else(|| path.strip_prefix("/ajax-api/")) {
        Some(rest) => !rest.starts_with("2.0/mlflow-artifacts/") && !rest.ends_with("/mlflow/server-info"),
        None => path == "/graphql" || path.ends_with("get-artifact"),
    }
}

fn disabled(path: &str) -> HttpResponse {
    let text = format!(
        "Endpoint: {path} disabled due to the mlflow server running in `--artifacts-only` mode. To enable \
         tracking server functionality, run `mlflow server` without `--artifacts-only`"
    );
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).content_type(ContentType::html()).body(text)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_artifacts_refuses_everything_else() {
        let config = Config { static_prefix: "/p".into(), ..Config::default() };
        for (path, want) in [
            ("/p/health", false),
            ("/p/", false),
            ("/p/static-files/x.js", false),
            ("/p/api/2.0/mlflow-artifacts/artifacts/x", false),
            ("/api/2.0/mlflow-artifacts/artifacts/x", false),
            ("/p/ajax-api/3.0/mlflow/server-info", false),
            ("/p/api/2.0/mlflow/runs/create", true),
            ("/p/ajax-api/2.0/mlflow/runs/create", true),
            ("/p/graphql", true),
            ("/p/get-artifact", true),
            ("/p/model-versions/get-artifact", true),
        ] {
            assert_eq!(is_disabled(&config, path), want, "{path}");
        }
    }
}
