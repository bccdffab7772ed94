//! The innermost middleware: catches panics of handlers (500), serves HEAD as GET, and refuses everything but
//! artifacts with `artifacts_only`.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::ContentType;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{Error as ActixError, HttpMessage, HttpRequest, HttpResponse};
use futures_util::{FutureExt, stream};

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
    let is_head = request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
        request.extensions_mut().insert(WasHead);
    }
    let step = if config.artifacts_only && is_disabled(config, request.match_info().as_str()) {
        let response = disabled(request.path());
        Err(request.into_response(response))
    } else {
        // Boxed: every outer middleware would about double the size of the future, which is moved through all
        // of them.
        Ok(Box::pin(service.call(request)))
    };
    async move {
        let answer = match step {
            Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
                Err(Error::internal(format!("a handler panicked: {}", panic_text(&*panic))).into())
            })?,
            Err(refusal) => refusal,
        };
        Ok(if is_head { answer.map_body(|_head, body| without_content(&body)) } else { answer })
    }
}

/// Marks a GET that came as a HEAD.
struct WasHead;

/// Says whether a request came as a HEAD.
pub fn was_head(request: &HttpRequest) -> bool {
    request.extensions().contains::<WasHead>()
}

/// Keeps only the length of a body. The connection would send nothing of it, but read it all: a whole file.
fn without_content(body: &BoxBody) -> BoxBody {
    match body.size() {
        BodySize::Sized(length) => {
            SizedStream::new(length, stream::empty::<Result<Bytes, ActixError>>()).boxed()
        }
        BodySize::None | BodySize::Stream => BoxBody::new(()),
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
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::web;

    use super::*;

    /// Answers with a file that must not be read, and says in a header how it was asked.
    async fn unread(request: HttpRequest) -> HttpResponse {
        let content =
            stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, ActixError>>> { panic!("read") });
        let asked = format!("{} {}", request.method(), was_head(&request));
        HttpResponse::Ok().insert_header(("x-asked", asked)).body(SizedStream::new(1 << 40, content))
    }

    #[actix_web::test]
    async fn head_is_served_as_get_without_reading_the_content() {
        let config = Config::default();
        let app = App::new()
            .route("/file", web::get().to(unread))
            .wrap_fn(move |request, service| call(&config, request, service));
        let app = init_service(app).await;
        let request = TestRequest::default().method(Method::HEAD).uri("/file").to_request();
        let answer = call_service(&app, request).await;
        assert_eq!(answer.headers().get("x-asked").unwrap(), "GET true");
        assert_eq!(answer.response().body().size(), BodySize::Sized(1 << 40));
        assert!(actix_web::body::to_bytes(answer.into_body()).await.unwrap().is_empty());

        let answer = call_service(&app, TestRequest::get().uri("/file").to_request()).await;
        assert_eq!(answer.headers().get("x-asked").unwrap(), "GET false");
    }

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
