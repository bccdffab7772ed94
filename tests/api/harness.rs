//! A server in process and the requests to it.

use std::future::Future;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::web::Data;
use ferroflow::api::state::AppState;
use ferroflow::config::{Config, StoreUri};
use ferroflow::server::{build_app, open_state};
use ferroflow::store::conn::{Access, Conn, ConnSettings};
use ferroflow::store::uri::DatabaseUri;
use serde_json::Value;

/// A running application over a database of its own.
pub(crate) struct Api {
    state: Data<AppState>,
    _folder: tempfile::TempDir,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The code of the error, or an empty text.
    pub(crate) fn code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Api {
    async fn open(uri: &str, adapt: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            backend_store_uri: StoreUri::new(uri.replace("FOLDER", folder.path().to_str().unwrap())),
            artifacts_destination: folder.path().join("artifacts").to_str().unwrap().into(),
            ..Config::default()
        };
        adapt(&mut config);
        Self { state: Data::new(open_state(config).await.unwrap()), _folder: folder }
    }

    /// Sends a request through every layer of the application.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let app = Box::pin(init_service(build_app(&self.state))).await;
        let mut request = request.to_request();
        if !request.head().headers.contains_key(header::HOST) {
            request.head_mut().headers.insert(header::HOST, header::HeaderValue::from_static("localhost"));
        }
        let answer: ServiceResponse = Box::pin(app.call(request)).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = String::from_utf8(read_body(answer).await.to_vec()).unwrap();
        Answer { status, headers, text }
    }

    /// Sends JSON to a route below `/api/2.0/mlflow/`.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = TestRequest::with_uri(&format!("/api/2.0/mlflow/{path}")).method(method);
        self.send(request.insert_header(header::ContentType::json()).set_payload(body.to_string())).await
    }

    /// Posts JSON that must be accepted.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.call(Method::POST, path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    /// Gets what must be there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send(TestRequest::get().uri(&format!("/api/2.0/mlflow/{path}"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    /// Creates an experiment and returns its id.
    pub(crate) async fn experiment(&self, name: &str) -> String {
        let made = self.post("experiments/create", serde_json::json!({ "name": name })).await;
        made["experiment_id"].as_str().unwrap().to_owned()
    }

    /// Creates a run and returns its id.
    pub(crate) async fn run(&self, experiment: &str, start_time: i64) -> String {
        let body = serde_json::json!({ "experiment_id": experiment, "start_time": start_time });
        let made = self.post("runs/create", body).await;
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

/// Runs `test` on every database there is.
pub(crate) fn on_each_database<F: Future<Output = ()>>(test: impl Fn(Api) -> F) {
    on_each_database_with(|_config| {}, test);
}

/// Runs `test` on every database there is, with adapted settings.
pub(crate) fn on_each_database_with<F: Future<Output = ()>>(
    adapt: impl Fn(&mut Config),
    test: impl Fn(Api) -> F,
) {
    let system = actix_web::rt::System::new();
    system.block_on(async { test(Api::open("sqlite:///FOLDER/test.db", &adapt).await).await });
    let Ok(url) = std::env::var("TEST_DATABASE_URL") else { return };
    let schema = format!("api_{}", uuid::Uuid::new_v4().simple());
    let execute = |sql: String| {
        let uri = DatabaseUri::parse(&url).unwrap();
        Conn::open(&uri, Access::Write, &ConnSettings::default()).unwrap().batch_execute(&sql).unwrap();
    };
    execute(format!("CREATE SCHEMA {schema}"));
    let separator = if url.contains('?') { '&' } else { '?' };
    let uri = format!("{url}{separator}options=-csearch_path%3D{schema}");
    system.block_on(async { test(Api::open(&uri, &adapt).await).await });
    execute(format!("DROP SCHEMA {schema} CASCADE"));
}
