//! What stock does and this server does not: it asks no language models, runs no Python and starts no programs. One
//! table of the routes, answered in stock's shape with an error that says so, so that the interface shows it where
//! somebody asked for it and stays usable. `docs/differences.md` lists the same.

use actix_web::http::StatusCode;
use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use serde::Serialize;

use super::route::{At, at};
use crate::domain::{Error, ErrorCode};

/// Why something is not done.
#[derive(Debug, Clone, Copy)]
enum Lack {
    /// Models would have to be asked.
    Models,
    /// Python would have to run.
    Python,
    /// A program of the assistant would have to run.
    Assistant,
}

/// In which shape stock answers errors there.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// As everywhere in the tracking API.
    Mlflow,
    /// As FastAPI does: below `detail`.
    Detail,
}

use Lack::{Assistant, Models, Python};
use Shape::{Detail, Mlflow};

/// Routes with their methods.
type Table = &'static [(&'static str, &'static [&'static str], Lack, Shape)];

/// Below `/ajax-api` only.
const AJAX: Table = &[
    ("/2.0/mlflow/runs/create-promptlab-run", &["POST"], Python, Mlflow),
    ("/3.0/mlflow/genai/evaluate/invoke", &["POST"], Models, Mlflow),
    ("/3.0/mlflow/assistant/message", &["POST"], Assistant, Detail),
    ("/3.0/mlflow/assistant/providers/{provider}/health", &["GET"], Assistant, Detail),
    ("/3.0/mlflow/assistant/providers/{provider}/models", &["GET"], Assistant, Detail),
    ("/3.0/mlflow/assistant/sessions/{session_id}", &["PATCH"], Assistant, Detail),
    ("/3.0/mlflow/assistant/sessions/{session_id}/permission", &["POST"], Assistant, Detail),
    ("/3.0/mlflow/assistant/sessions/{session_id}/stream", &["GET"], Assistant, Detail),
    ("/3.0/mlflow/assistant/sessions/{session_id}/tool-result", &["POST"], Assistant, Detail),
    ("/3.0/mlflow/assistant/skills/install", &["POST"], Assistant, Detail),
];

/// Below `/api` and `/ajax-api`.
const API: Table = &[
    ("/3.0/mlflow/prompt-optimization/jobs", &["POST"], Python, Mlflow),
    ("/3.0/mlflow/prompt-optimization/jobs/search", &["GET", "POST"], Python, Mlflow),
    ("/3.0/mlflow/prompt-optimization/jobs/{job_id}", &["GET", "DELETE"], Python, Mlflow),
    ("/3.0/mlflow/prompt-optimization/jobs/{job_id}/cancel", &["POST"], Python, Mlflow),
];

/// Below `/gateway`.
const GATEWAY: Table = &[
    ("/mlflow/v1/chat/completions", &["POST"], Models, Detail),
    ("/openai/v1/chat/completions", &["POST"], Models, Detail),
    ("/openai/v1/embeddings", &["POST"], Models, Detail),
    ("/openai/v1/responses", &["POST"], Models, Detail),
    ("/openai/v1/responses/compact", &["POST"], Models, Detail),
    ("/anthropic/v1/messages", &["POST"], Models, Detail),
    ("/typesafe/v1/systemone", &["POST"], Models, Detail),
    ("/gemini/v1beta/models/{name}:generateContent", &["POST"], Models, Detail),
    ("/gemini/v1beta/models/{name}:streamGenerateContent", &["POST"], Models, Detail),
    ("/proxy/{name}/{path:.*}", &["POST"], Models, Detail),
    ("/{name}/mlflow/invocations", &["POST"], Models, Detail),
];

impl Lack {
    const fn message(self) -> &'static str {
        match self {
            Self::Models => {
                "This server does not ask language models: it keeps the configuration of the AI gateway, traces and \
                 evaluations, but invokes no endpoint, judge or scorer. Run that with the MLflow client."
            }
            Self::Python => {
                "This server runs no Python, which this needs. Run it with the MLflow client, which logs the results \
                 here."
            }
            Self::Assistant => "This server has no assistant: it starts no programs of agents.",
        }
    }

    fn error(self) -> Error {
        Error::new(ErrorCode::NotImplemented, self.message())
    }
}

/// FastAPI's shape of an error.
#[derive(Serialize)]
struct InDetail {
    detail: Inner,
}

#[derive(Serialize)]
struct Inner {
    error_code: &'static str,
    message: String,
}

/// An answer that says what is lacking.
#[derive(Debug, Clone, Copy)]
struct Refusal(Lack, Shape);

impl Responder for Refusal {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        let error = self.0.error();
        match self.1 {
            Shape::Mlflow => error.error_response(),
            Shape::Detail => {
                let status = error.status_code();
                let detail = Inner { error_code: error.code.name(), message: error.message };
                HttpResponse::build(status).json(InDetail { detail })
            }
        }
    }
}

/// The routes below `/ajax-api` only.
pub(super) fn ajax_routes(routes: &mut ServiceConfig) {
    add(AJAX, routes);
}

/// The routes below `/api` and `/ajax-api`.
pub(super) fn api_routes(routes: &mut ServiceConfig) {
    add(API, routes);
    routes.service(at("/3.0/mlflow/workspaces").get(no_workspaces).post(no_workspaces)).service(
        at("/3.0/mlflow/workspaces/{workspace_name}")
            .get(no_workspaces)
            .patch(no_workspaces)
            .delete(no_workspaces),
    );
}

/// The routes below `/gateway`.
pub(super) fn gateway_routes(routes: &mut ServiceConfig) {
    add(GATEWAY, routes);
}

fn add(table: Table, routes: &mut ServiceConfig) {
    for (path, methods, lack, shape) in table {
        let refusal = Refusal(*lack, *shape);
        let line = methods.iter().fold(at(path), |line, method| with_method(line, method, refusal));
        routes.service(line);
    }
}

fn with_method(line: At, method: &str, refusal: Refusal) -> At {
    let handler = move || async move { refusal };
    match method {
        "GET" => line.get(handler),
        "PATCH" => line.patch(handler),
        "DELETE" => line.delete(handler),
        _ => line.post(handler),
    }
}

/// What stock answers without workspaces: a page of text.
///
/// Upstream: `_disable_if_workspaces_disabled`.
async fn no_workspaces(request: HttpRequest) -> HttpResponse {
    let path = request.match_pattern().unwrap_or_default().replace('{', "<").replace('}', ">");
    let text = format!(
        "Endpoint: {path} disabled because the server is running without workspaces support. To enable workspace, run \
         `mlflow server` with `--enable-workspaces`"
    );
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
        .content_type(actix_web::http::header::ContentType::html())
        .body(text)
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::http::Method;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::web::scope;
    use serde_json::Value;

    use super::*;

    #[actix_web::test]
    async fn every_route_says_what_is_lacking_in_its_shape() {
        let app = App::new()
            .configure(ajax_routes)
            .configure(api_routes)
            .service(scope("/gateway").configure(gateway_routes));
        let app = init_service(app).await;
        let tables = [("", AJAX), ("", API), ("/gateway", GATEWAY)];
        for (prefix, table) in tables {
            for (path, methods, lack, shape) in table {
                for method in *methods {
                    let uri = format!("{prefix}{path}").replace("{path:.*}", "a/b").replace(['{', '}'], "");
                    let method = Method::from_bytes(method.as_bytes()).unwrap();
                    let answer =
                        call_service(&app, TestRequest::default().method(method).uri(&uri).to_request())
                            .await;
                    assert_eq!(answer.status(), 501, "{uri}");
                    let body: Value = read_body_json(answer).await;
                    let error = if matches!(shape, Detail) { &body["detail"] } else { &body };
                    assert_eq!(error["message"], lack.message(), "{uri}");
                    assert_eq!(error["error_code"], "NOT_IMPLEMENTED");
                }
            }
        }
    }
}
