//! Issues on each database.

use serde_json::{Value, json};

use super::*;
use crate::proto::{CreateIssue, UpdateIssue};
use crate::store::testing::{message, on_each_database};

async fn create(store: &Store, json: Value) -> Result<Issue> {
    store.create_issue(NewIssue::try_from(message::<CreateIssue>(json)).unwrap()).await
}

async fn found(store: &Store, json: Value) -> String {
    let found = store.search_issues(message(json)).await.unwrap();
    found.issues.iter().map(Issue::name).collect::<Vec<_>>().join(" ")
}

#[test]
fn issues_are_found_the_worst_first() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        let run = store.make_run(json!({ "experiment_id": e }), json!({})).await;
        for (name, more) in [
            ("none", json!({})),
            ("low", json!({ "severity": "low", "status": "resolved" })),
            (
                "high",
                json!({ "severity": "high", "source_run_id": run, "root_causes": ["é"], "categories": ["c"] }),
            ),
        ] {
            let mut full = json!({ "experiment_id": e, "name": name, "description": "d" });
            full.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            create(&store, full).await.unwrap();
        }
        for (request, want) in [
            (json!({}), "high low none"),
            (json!({ "experiment_id": e, "filter_string": "status = 'pending'" }), "high none"),
            (json!({ "filter_string": format!("source_run_id = '{run}'") }), "high"),
            (json!({ "filter_string": format!("source_run_id != '{run}'") }), ""),
            (json!({ "experiment_id": "99" }), ""),
        ] {
            assert_eq!(found(&store, request.clone()).await, want, "{request}");
        }
        let first =
            store.search_issues(message(json!({ "max_results": 2, "include_trace_count": true }))).await;
        let first = first.unwrap();
        assert_eq!((first.issues.len(), first.issues[0].trace_count), (2, Some(0)));
        assert_eq!(first.issues[0].root_causes, ["é"]);
        let token = first.next_page_token();
        assert_eq!(found(&store, json!({ "max_results": 2, "page_token": token })).await, "none");
    });
}

#[test]
fn issues_know_how_many_traces_have_them() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        store.insert_trace(&e).await;
        let issue =
            create(&store, json!({ "experiment_id": e, "name": "n", "description": "d" })).await.unwrap();
        let id = issue.issue_id().to_owned();
        store
            .write(move |conn| {
                for n in 0..2 {
                    conn.batch_execute(&format!(
                        "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, \
                         created_timestamp, last_updated_timestamp, source_type, valid, is_numeric_value) \
                         VALUES ('a-{n}', 'tr-1', '{id}', 'issue', '1', 1, 1, 'HUMAN', true, false)"
                    ))?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let found = store.search_issues(message(json!({ "include_trace_count": true }))).await.unwrap();
        assert_eq!(found.issues[0].trace_count, Some(1));
    });
}

#[test]
fn issues_change() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        let issue =
            create(&store, json!({ "experiment_id": e, "name": "n", "description": "d" })).await.unwrap();
        let update = |json: Value| IssueUpdate::try_from(message::<UpdateIssue>(json)).unwrap();
        let id = issue.issue_id().to_owned();
        let changed =
            store.update_issue(id.clone().into(), update(json!({ "status": "rejected", "name": "m" }))).await;
        let changed = changed.unwrap();
        assert_eq!((changed.status(), changed.name(), changed.description()), ("rejected", "m", "d"));
        assert_eq!(store.get_issue(id.into()).await.unwrap(), changed);
        let unknown = store.update_issue("iss-0".into(), update(json!({}))).await.unwrap_err();
        assert_eq!(unknown.message, "Issue with ID 'iss-0' not found");
        let lost = json!({ "experiment_id": e, "name": "n", "description": "d", "source_run_id": "none" });
        assert_eq!(create(&store, lost).await.unwrap_err().code, ErrorCode::BadRequest);
        let nowhere = json!({ "experiment_id": "99", "name": "n", "description": "d" });
        assert_eq!(create(&store, nowhere).await.unwrap_err().message, "No Experiment with id=99 exists");
    });
}
