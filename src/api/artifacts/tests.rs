//! Artifacts over HTTP, on both databases. What the real client sees is tried in `compat-tests`.

use actix_web::App;
use actix_web::body::MessageBody as _;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::Data;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::routes;
use crate::api::state::AppState;
use crate::api::testing::state_with;
use crate::artifacts::{Artifacts, Settings};
use crate::store::Store;
use crate::store::testing::{message, on_each_database};

const PROXY: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// A server over a store and a folder of its own.
struct Server {
    state: Data<AppState>,
    folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    fn new(store: Store, serve: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            destination: folder.path().join("root").to_str().unwrap().into(),
            default_root: "mlflow-artifacts:/".into(),
            serve,
            allowed_schemes: Vec::new(),
            environment: crate::config::Environment::default(),
        };
        Self { state: state_with(store, Artifacts::new(&settings).unwrap()), folder }
    }

    async fn send(&self, request: TestRequest) -> Answer {
        let app = init_service(
            App::new().app_data(self.state.clone()).configure(|r| routes(&self.state.config, r)),
        )
        .await;
        let answer = call_service(&app, request.to_request()).await;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().try_into_bytes();
        let body = match body {
            Ok(bytes) => bytes,
            Err(body) => actix_web::body::to_bytes(body).await.unwrap(),
        };
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(TestRequest::get().uri(uri)).await
    }

    async fn put(&self, path: &str, body: &'static str) -> Answer {
        self.send(TestRequest::put().uri(&format!("{PROXY}/{path}")).set_payload(body)).await
    }

    /// Makes a run whose artifacts go through the proxy, and returns its id.
    async fn run(&self) -> String {
        let new = json!({ "name": "e", "artifact_location": "mlflow-artifacts:/place" });
        let experiment = self.state.store.make_experiment(new).await;
        self.state.store.make_run(json!({ "experiment_id": experiment }), json!({})).await
    }
}

#[test]
fn artifacts_of_a_run_are_listed() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        let run = server.run().await;
        let list = format!("/api/2.0/mlflow/artifacts/list?run_id={run}");
        let root = format!("mlflow-artifacts:/place/{run}/artifacts");
        assert_eq!(server.get(&list).await.json(), json!({ "root_uri": root }));

        for (name, body) in [("b.txt", "12345"), ("a/x%20y", "1"), ("empty", "")] {
            let put = server.put(&format!("place/{run}/artifacts/{name}"), body).await;
            assert_eq!((put.status, put.body.as_str()), (StatusCode::OK, ""), "{name}");
        }
        let files = json!([
            { "path": "a", "is_dir": true },
            { "path": "b.txt", "is_dir": false, "file_size": 5 },
            { "path": "empty", "is_dir": false },
        ]);
        assert_eq!(server.get(&list).await.json(), json!({ "root_uri": root, "files": files }));
        let files = json!([{ "path": "a/x y", "is_dir": false, "file_size": 1 }]);
        for list in
            [format!("{list}&path=a"), format!("/ajax-api/2.0/mlflow/artifacts/list?run_uuid={run}&path=a/")]
        {
            assert_eq!(server.get(&list).await.json(), json!({ "root_uri": root, "files": files }), "{list}");
        }
        for path in ["b.txt", "nosuch"] {
            let answer = server.get(&format!("{list}&path={path}")).await;
            assert_eq!(answer.json(), json!({ "root_uri": root }), "{path}");
        }
    });
}

#[test]
fn listing_refuses_what_stock_refuses() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        let run = server.run().await;
        for (query, status, message) in [
            (String::new(), 400, "Missing value for required parameter 'run_id'."),
            ("?run_id=nosuch".into(), 404, "Run with id=nosuch not found"),
            (format!("?run_id={run}&path=.."), 400, "Invalid path"),
            (format!("?run_id={run}&path=%252e%252e%252fx"), 400, "Invalid path"),
        ] {
            let answer = server.get(&format!("/api/2.0/mlflow/artifacts/list{query}")).await;
            assert_eq!(answer.status.as_u16(), status, "{query}");
            let json = answer.json();
            assert!(json["message"].as_str().unwrap().starts_with(message), "{query}: {json}");
        }
    });
}

#[test]
fn a_file_is_sent_whole_in_part_or_not_at_all() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        let run = server.run().await;
        server.put(&format!("place/{run}/artifacts/d/b%20c.json"), "hello world").await;
        for (uri, cache) in [
            (format!("/get-artifact?run_id={run}&path=d/b%20c.json"), "no-cache"),
            (format!("{PROXY}/place/{run}/artifacts/d/b%20c.json"), ""),
        ] {
            let whole = server.get(&uri).await;
            assert_eq!((whole.status.as_u16(), whole.body.as_str()), (200, "hello world"));
            assert_eq!(whole.header(header::CONTENT_TYPE), "text/plain");
            assert_eq!(whole.header(header::CONTENT_DISPOSITION), "attachment; filename=\"b c.json\"");
            assert_eq!(whole.header(header::CACHE_CONTROL), cache);
            assert_eq!(whole.header(header::ACCEPT_RANGES), "bytes");

            let ask =
                |name: HeaderName, value: &str| TestRequest::get().uri(&uri).insert_header((name, value));
            let part = server.send(ask(header::RANGE, "bytes=2-5")).await;
            assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "llo "));
            assert_eq!(part.header(header::CONTENT_RANGE), "bytes 2-5/11");
            let outside = server.send(ask(header::RANGE, "bytes=11-")).await;
            assert_eq!((outside.status.as_u16(), outside.header(header::CONTENT_RANGE)), (416, "bytes */11"));
            let known = server.send(ask(header::IF_NONE_MATCH, whole.header(header::ETAG))).await;
            assert_eq!((known.status.as_u16(), known.body.as_str()), (304, ""));
            let known =
                server.send(ask(header::IF_MODIFIED_SINCE, whole.header(header::LAST_MODIFIED))).await;
            assert_eq!(known.status.as_u16(), 304);
        }
        let malformed = |uri: String| TestRequest::get().uri(&uri).insert_header((header::RANGE, "junk"));
        let proxy = server.send(malformed(format!("{PROXY}/place/{run}/artifacts/d/b%20c.json"))).await;
        assert_eq!((proxy.status.as_u16(), proxy.body.as_str()), (400, "Malformed range header."));
        let page = server.send(malformed(format!("/get-artifact?run_id={run}&path=d/b%20c.json"))).await;
        assert_eq!(page.status.as_u16(), 416);
    });
}

#[test]
fn the_proxy_lists_takes_and_deletes() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        for name in ["a/b/c", "a/d"] {
            assert_eq!(server.put(name, "x").await.status.as_u16(), 200);
        }
        let files = json!([
            { "path": "b", "is_dir": true },
            { "path": "d", "is_dir": false, "file_size": 1 },
        ]);
        assert_eq!(server.get(&format!("{PROXY}?path=a")).await.json(), json!({ "files": files }));
        for name in ["a/b", "a/d", "nosuch"] {
            let answer = server.send(TestRequest::delete().uri(&format!("{PROXY}/{name}"))).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "{}"), "{name}");
        }
        assert_eq!(server.get(&format!("{PROXY}?path=a")).await.body, "{}");
        let missing = server.get(&format!("{PROXY}/a/d")).await;
        assert_eq!(
            (missing.status.as_u16(), &missing.json()["message"]),
            (404, &json!("No such artifact: 'a/d'"))
        );
    });
}

#[test]
fn no_route_leads_out_of_the_folder() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        let run = server.run().await;
        std::fs::create_dir(server.folder.path().join("root")).unwrap();
        std::fs::write(server.folder.path().join("x"), "secret").unwrap();
        for path in
            ["../x", "..%2fx", "%2e%2e/x", "%252e%252e%252fx", "a/..%5c..%5c..%5cx", "a%00/../../x", "x%23y"]
        {
            let file = format!("{PROXY}/{path}");
            let upload = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}");
            for request in [
                TestRequest::get().uri(&file),
                TestRequest::put().uri(&file).set_payload("written"),
                TestRequest::delete().uri(&file),
                TestRequest::get().uri(&format!("{PROXY}?path={path}")),
                TestRequest::get().uri(&format!("/get-artifact?run_id={run}&path={path}")),
                TestRequest::get().uri(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}&path={path}")),
                TestRequest::post().uri(&upload).set_payload("written"),
            ] {
                let answer = server.send(request).await;
                assert_eq!(answer.status.as_u16(), 400, "{path}");
                assert_eq!(answer.json()["message"], "Invalid path", "{path}");
            }
        }
        assert_eq!(std::fs::read_to_string(server.folder.path().join("x")).unwrap(), "secret");
        assert_eq!(std::fs::read_dir(server.folder.path()).unwrap().count(), 2);
        assert_eq!(std::fs::read_dir(server.folder.path().join("root")).unwrap().count(), 0);
    });
}

/// A location in the database is no more to be trusted than a path: whoever made the experiment chose it.
#[test]
fn no_stored_location_leads_out_of_the_folder() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        std::fs::write(server.folder.path().join("x"), "secret").unwrap();
        for (i, location) in
            ["mlflow-artifacts:/../", "mlflow-artifacts:/%2e%2e/", "mlflow-artifacts:/a/..%252f.."]
                .into_iter()
                .enumerate()
        {
            let new = json!({ "name": i.to_string(), "artifact_location": location });
            let experiment = server.state.store.make_experiment(new).await;
            let run = server.state.store.make_run(json!({ "experiment_id": experiment }), json!({})).await;
            for uri in [
                format!("/api/2.0/mlflow/artifacts/list?run_id={run}"),
                format!("/get-artifact?run_id={run}&path=x"),
            ] {
                let answer = server.get(&uri).await;
                assert_eq!(
                    (answer.status.as_u16(), &answer.json()["message"]),
                    (400, &json!("Invalid path")),
                    "{uri}"
                );
            }
        }
    });
}

#[test]
fn pages_upload_small_files() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        let run = server.run().await;
        let post = |query: String, body: Vec<u8>| {
            let uri = format!("/ajax-api/2.0/mlflow/upload-artifact?{query}");
            TestRequest::post().uri(&uri).set_payload(body)
        };
        let done = server.send(post(format!("run_uuid={run}&path=up/x.txt"), b"hi".to_vec())).await;
        assert_eq!((done.status.as_u16(), done.body.as_str()), (200, ""));
        assert_eq!(done.header(header::CONTENT_TYPE), "application/json");
        assert_eq!(server.get(&format!("/get-artifact?run_uuid={run}&path=up/x.txt")).await.body, "hi");

        let (full, over) = (vec![b'x'; 10 * 1024 * 1024], vec![b'x'; 10 * 1024 * 1024 + 1]);
        assert_eq!(server.send(post(format!("run_uuid={run}&path=full"), full)).await.status.as_u16(), 200);
        for (query, body, message) in [
            (format!("run_uuid={run}"), b"x".to_vec(), "Request must specify path."),
            ("path=x".into(), b"x".to_vec(), "Request must specify run_uuid."),
            (format!("run_uuid={run}&path=x"), Vec::new(), "Request must specify data."),
            (format!("run_uuid={run}&path=x"), over, "Artifact size is too large. Max size is 10MB."),
            ("run_uuid=nosuch&path=x".into(), b"x".to_vec(), "Run with id=nosuch not found"),
        ] {
            assert_eq!(server.send(post(query, body)).await.json()["message"], message);
        }
        let list = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}")).await;
        assert_eq!(list.json()["files"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn artifacts_of_a_logged_model_are_listed_and_sent() {
    on_each_database(|store| async move {
        let server = Server::new(store, true);
        let new = json!({ "name": "e", "artifact_location": "mlflow-artifacts:/place" });
        let experiment = server.state.store.make_experiment(new).await;
        let model = server.state.store.create_logged_model(message_of_model(&experiment)).await.unwrap();
        let model = model.info.unwrap();
        let (id, root) = (model.model_id.unwrap(), model.artifact_uri.unwrap());
        assert_eq!(root, format!("mlflow-artifacts:/place/models/{id}/artifacts"));
        server.put(&format!("place/models/{id}/artifacts/code/MLmodel"), "flavors").await;

        let base = format!("/ajax-api/2.0/mlflow/logged-models/{id}/artifacts");
        let answer = server.get(&format!("{base}/directories?artifact_directory_path=code")).await;
        let files = json!([{ "path": "code/MLmodel", "is_dir": false, "file_size": 7 }]);
        assert_eq!(answer.json(), json!({ "root_uri": root, "files": files }));
        let file = server.get(&format!("{base}/files?artifact_file_path=code/MLmodel")).await;
        assert_eq!((file.body.as_str(), file.header(header::CONTENT_TYPE)), ("flavors", "text/plain"));
        for (uri, status, message) in [
            (
                format!("{base}/files"),
                400,
                "Request must include the \"artifact_file_path\" query parameter.",
            ),
            (format!("{base}/files?artifact_file_path=../x"), 400, "Invalid path"),
            (format!("{base}/directories?artifact_directory_path=.."), 400, "Invalid path"),
        ] {
            let answer = server.get(&uri).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["message"]), (status, &json!(message)));
        }
        let unknown = server.get("/ajax-api/2.0/mlflow/logged-models/m-no/artifacts/directories").await;
        assert_eq!(unknown.status.as_u16(), 404);
    });
}

fn message_of_model(experiment: &str) -> crate::domain::logged_model::NewLoggedModel {
    let request: crate::proto::CreateLoggedModel =
        message(json!({ "experiment_id": experiment, "name": "m" }));
    request.try_into().unwrap()
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    on_each_database(|store| async move {
        let server = Server::new(store, false);
        let run = server.run().await;
        let endpoint = |route: &str| {
            format!(
                "Endpoint: {route} disabled due to the mlflow server running with `--no-serve-artifacts`. To enable \
                 artifacts server functionality, run `mlflow server` with `--serve-artifacts`"
            )
        };
        let detail = r#"{"detail":"Artifact serving is disabled. Run `mlflow server` with `--serve-artifacts` to enable."}"#;
        for (request, want) in [
            (TestRequest::get().uri(PROXY), endpoint(PROXY)),
            (
                TestRequest::delete().uri(&format!("{PROXY}/x")),
                endpoint(&format!("{PROXY}/<path:artifact_path>")),
            ),
            (TestRequest::get().uri(&format!("{PROXY}/x")), detail.to_owned()),
            (TestRequest::put().uri(&format!("{PROXY}/x")).set_payload("x"), detail.to_owned()),
        ] {
            let answer = server.send(request).await;
            assert_eq!((answer.status.as_u16(), answer.body), (503, want));
        }
        // the run's own artifacts lie behind a proxy that is elsewhere
        let list = server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}")).await;
        assert_eq!(list.status.as_u16(), 500);
        assert!(!server.folder.path().join("root").exists());
    });
}
