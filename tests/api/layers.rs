//! What lies around every route: prefixes, security, health.

use actix_web::http::header::{HOST, ORIGIN};
use actix_web::test::TestRequest;

use crate::harness::{on_each_database, on_each_database_with};

#[test]
fn every_prefix_and_the_system_routes_answer() {
    on_each_database_with(
        |config| config.expose_prometheus = true,
        |api| async move {
            for (path, part) in [
                ("/health", "OK"),
                ("/version", "3.17.2"),
                ("/api/2.0/mlflow/experiments/get?experiment_id=0", "Default"),
                ("/ajax-api/2.0/mlflow/experiments/get?experiment_id=0", "Default"),
                ("/ajax-api/3.0/mlflow/server-info", "SqlStore"),
                ("/", "make ui"),
                ("/metrics", "experiments/get"),
            ] {
                let answer = api.send(TestRequest::get().uri(path)).await;
                assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
                assert!(answer.text.contains(part), "{path}: {}", answer.text);
            }
            let unknown = api.send(TestRequest::get().uri("/api/2.0/mlflow/no-such-route")).await;
            assert_eq!(unknown.status.as_u16(), 404);
        },
    );
}

#[test]
fn a_static_prefix_is_before_everything() {
    on_each_database_with(
        |config| config.static_prefix = "/ml".into(),
        |api| async move {
            for (path, status) in [
                ("/ml/health", 200),
                // Probes need not know the prefix.
                ("/health", 200),
                ("/ml/ready", 200),
                ("/ready", 200),
                ("/ml/api/2.0/mlflow/experiments/get?experiment_id=0", 200),
                ("/api/2.0/mlflow/experiments/get?experiment_id=0", 404),
            ] {
                assert_eq!(api.send(TestRequest::get().uri(path)).await.status.as_u16(), status, "{path}");
            }
        },
    );
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    on_each_database(|api| async move {
        let to = |host: &'static str| {
            TestRequest::get()
                .uri("/api/2.0/mlflow/experiments/get?experiment_id=0")
                .insert_header((HOST, host))
        };
        assert_eq!(api.send(to("localhost:5000")).await.status.as_u16(), 200);
        assert_eq!(api.send(to("evil.example")).await.status.as_u16(), 403);
        let post = TestRequest::post()
            .uri("/api/2.0/mlflow/experiments/create")
            .insert_header((ORIGIN, "http://evil.example"))
            .set_json(serde_json::json!({ "name": "from afar" }));
        assert_eq!(api.send(post).await.status.as_u16(), 403);
        let own = api.send(to("127.0.0.1")).await;
        assert_eq!(own.headers.get("x-frame-options").unwrap(), "SAMEORIGIN");
        assert_eq!(own.headers.get("x-content-type-options").unwrap(), "nosniff");
    });
}
