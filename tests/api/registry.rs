//! Registered models, their versions, and webhooks.

use std::collections::BTreeSet;

use actix_web::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Api, on_each_database};

async fn version(api: &Api, name: &str) -> Value {
    let made =
        api.post("model-versions/create", json!({ "name": name, "source": "s3://bucket/model" })).await;
    made["model_version"].clone()
}

/// The texts at `field` of the items of a list.
fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[field].as_str()).collect()
}

#[test]
fn a_model_lives_with_its_versions() {
    on_each_database(|api| async move {
        let tags = json!([{ "key": "team", "value": "räder" }]);
        api.post("registered-models/create", json!({ "name": "Wagen 木", "tags": tags })).await;
        for want in ["1", "2"] {
            assert_eq!(version(&api, "Wagen 木").await["version"], want);
        }
        let alias = json!({ "name": "Wagen 木", "alias": "best", "version": "2" });
        api.post("registered-models/alias", alias).await;
        for (number, archive) in [("1", false), ("2", true)] {
            let stage = json!({ "name": "Wagen 木", "version": number, "stage": "Production",
                "archive_existing_versions": archive });
            api.post("model-versions/transition-stage", stage).await;
        }
        api.post("registered-models/rename", json!({ "name": "Wagen 木", "new_name": "Auto" })).await;
        let model = api.get("registered-models/get?name=Auto").await["registered_model"].clone();
        assert_eq!(model["tags"], tags);
        assert_eq!(model["aliases"], json!([{ "alias": "best", "version": "2" }]));
        let best = api.get("registered-models/alias?name=Auto&alias=best").await["model_version"].clone();
        assert_eq!((&best["version"], &best["current_stage"]), (&json!("2"), &json!("Production")));
        let first = api.get("model-versions/get?name=Auto&version=1").await["model_version"].clone();
        assert_eq!(first["current_stage"], "Archived");

        let gone = api
            .call(Method::DELETE, "model-versions/delete", json!({ "name": "Auto", "version": "2" }))
            .await;
        assert_eq!(gone.status.as_u16(), 200, "{}", gone.text);
        let alias = api.call(Method::GET, "registered-models/alias?name=Auto&alias=best", json!({})).await;
        assert_eq!(alias.code(), "INVALID_PARAMETER_VALUE", "{}", alias.text);
        assert_eq!(version(&api, "Auto").await["version"], "3", "a number is never given twice");
        let gone = api.call(Method::DELETE, "registered-models/delete", json!({ "name": "Auto" })).await;
        assert_eq!(gone.status.as_u16(), 200, "{}", gone.text);
        let none = api.get("model-versions/search").await;
        assert_eq!(none["model_versions"], Value::Null, "{none}");
    });
}

#[test]
fn versions_that_are_made_at_once_are_numbered_without_gaps() {
    on_each_database(|api| async move {
        api.post("registered-models/create", json!({ "name": "busy" })).await;
        let made = join_all((0..32).map(|_| version(&api, "busy"))).await;
        let numbers: BTreeSet<u32> =
            made.iter().map(|version| version["version"].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (1..=32).collect());
    });
}

#[test]
fn searches_go_in_pages_and_hide_prompts() {
    on_each_database(|api| async move {
        for number in 0..7 {
            api.post("registered-models/create", json!({ "name": format!("model {number}") })).await;
        }
        let prompt =
            json!({ "name": "question", "tags": [{ "key": "mlflow.prompt.is_prompt", "value": "true" }] });
        api.post("registered-models/create", prompt).await;
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("registered-models/search?max_results=3&page_token={token}")).await;
            names.extend(texts(&page["registered_models"], "name").into_iter().map(str::to_owned));
            match page["next_page_token"].as_str() {
                Some(next) if !next.is_empty() => token = next.to_owned(),
                _ => break,
            }
        }
        assert_eq!(names, (0..7).map(|number| format!("model {number}")).collect::<Vec<_>>());
        for (filter, want) in [
            ("name%20ILIKE%20%27MODEL%205%27", vec!["model 5"]),
            ("tags.%60mlflow.prompt.is_prompt%60%20%3D%20%27true%27", vec!["question"]),
        ] {
            let found = api.get(&format!("registered-models/search?filter={filter}")).await;
            assert_eq!(texts(&found["registered_models"], "name"), want, "{filter}");
        }
    });
}

#[test]
fn refuses_with_the_code_and_the_reason() {
    on_each_database(|api| async move {
        api.post("registered-models/create", json!({ "name": "taken" })).await;
        for (path, body, status, code, reason) in [
            ("registered-models/create", json!({}), 400, "INVALID_PARAMETER_VALUE", "name"),
            ("registered-models/create", json!({ "name": "taken" }), 400, "RESOURCE_ALREADY_EXISTS", "taken"),
            (
                "model-versions/create",
                json!({ "name": "none", "source": "s3://b/m" }),
                404,
                "RESOURCE_DOES_NOT_EXIST",
                "none",
            ),
            (
                "model-versions/create",
                json!({ "name": "taken", "source": "/etc" }),
                400,
                "INVALID_PARAMETER_VALUE",
                "/etc",
            ),
            (
                "model-versions/create",
                json!({ "name": "taken", "source": "file:///etc" }),
                400,
                "INVALID_PARAMETER_VALUE",
                "etc",
            ),
            (
                "webhooks",
                json!({ "name": "w", "url": "ftp://example.com" }),
                400,
                "INVALID_PARAMETER_VALUE",
                "events",
            ),
        ] {
            let answer = api.call(Method::POST, path, body.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (status, code),
                "{body}: {}",
                answer.text
            );
            assert!(answer.json()["message"].as_str().unwrap().contains(reason), "{body}: {}", answer.text);
        }
        let versions = api.get("model-versions/search?filter=name%3D%27taken%27").await;
        assert_eq!(versions["model_versions"], Value::Null, "what was refused must not be there");
    });
}
