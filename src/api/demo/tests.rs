//! The demo on both databases.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::api::testing::{send, state};
use crate::store::testing::on_each_database;

const GENERATE: &str = "/ajax-api/3.0/mlflow/demo/generate";
const DELETE: &str = "/ajax-api/3.0/mlflow/demo/delete";
const ALL: [&str; 8] =
    ["prompts", "traces", "custom_view", "saved_views", "evaluation", "judges", "issues", "review_queues"];

struct Server(actix_web::web::Data<crate::api::state::AppState>);

impl Server {
    /// Posts `body` and returns the status and the answer.
    async fn ask(&self, uri: &str, body: Value) -> (u16, Value) {
        let (status, answer) = send(&self.0, TestRequest::post().uri(uri).set_json(body)).await;
        (status.as_u16(), serde_json::from_str(&answer).unwrap())
    }

    async fn post(&self, uri: &str, body: Value) -> Value {
        let (status, answer) = self.ask(uri, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

#[test]
fn the_demo_is_made_once_and_again_after_it_was_removed() {
    on_each_database(|store| async move {
        let server = Server(state(store));
        let made = server.post(GENERATE, json!({})).await;
        assert_eq!(
            made,
            json!({ "experiment_id": "1", "features_generated": ALL, "navigation_url": "/experiments/1",
                "status": "created" })
        );
        let again = server.post(GENERATE, json!({})).await;
        assert_eq!((&again["status"], &again["features_generated"]), (&json!("exists"), &json!([])));
        let gone = server.post(DELETE, json!({})).await;
        assert_eq!(gone, json!({ "features_deleted": ALL, "status": "deleted" }));
        assert_eq!(server.post(DELETE, json!({})).await["features_deleted"], json!([]));
        let anew = server.post(GENERATE, json!({})).await;
        assert_eq!((&anew["experiment_id"], &anew["features_generated"]), (&json!("1"), &json!(ALL)));
    });
}

#[test]
fn what_is_made_of_traces_brings_the_traces() {
    on_each_database(|store| async move {
        let server = Server(state(store));
        let made = server.post(GENERATE, json!({ "features": ["evaluation", "unknown"] })).await;
        assert_eq!(made["features_generated"], json!(["traces", "evaluation"]));
        let rest = server.post(GENERATE, json!({ "features": null })).await;
        assert_eq!(
            rest["features_generated"],
            json!(["prompts", "custom_view", "saved_views", "judges", "issues", "review_queues"])
        );
        let (status, refused) = server.ask(GENERATE, json!({ "features": 5 })).await;
        assert_eq!((status, &refused["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")));
    });
}
