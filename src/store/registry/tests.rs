//! Registered models and their versions on both databases.

use serde_json::{Value, json};

use super::*;
use crate::domain::registry::{NewModelVersion, Stage};
use crate::proto::{CreateModelVersion, ModelVersion};
use crate::store::testing::{message, on_each_database, on_sqlite};

impl Store {
    /// Creates a registered model with tags.
    pub(crate) async fn register(&self, name: &str, tags: Value) -> RegisteredModel {
        let request: crate::proto::CreateRegisteredModel = message(json!({"name": name, "tags": tags}));
        self.create_registered_model(request.try_into().unwrap()).await.unwrap()
    }

    /// Creates a model version from the JSON of its request, as the handler does.
    pub(crate) async fn try_version(&self, request: Value) -> Result<ModelVersion> {
        let request: CreateModelVersion = message(request);
        let (new, local) = self.resolve_model_source(NewModelVersion::new(request, None)?).await?;
        assert_eq!(local, None);
        self.create_model_version(new).await
    }

    /// Creates a version that comes from nowhere.
    async fn make_version(&self, name: &str, tags: Value) -> ModelVersion {
        self.try_version(json!({"name": name, "source": "s3://b/x", "tags": tags})).await.unwrap()
    }
}

fn key(name: &str, version: i64) -> VersionKey {
    VersionKey { name: name.into(), version }
}

/// The tags of a model or version as text.
fn shown(value: impl serde::Serialize, field: &str) -> String {
    serde_json::to_value(value).unwrap().get(field).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn models_live() {
    on_each_database(|store| async move {
        let made = store.register("a", json!([{"key": "k", "value": "1"}, {"key": "k", "value": "2"}])).await;
        assert_eq!(shown(&made, "tags"), r#"[{"key":"k","value":"2"}]"#);
        let again = store.create_registered_model(
            message::<crate::proto::CreateRegisteredModel>(json!({"name": "a"})).try_into().unwrap(),
        );
        assert_eq!(again.await.unwrap_err().message, "Registered Model (name=a) already exists.");
        let prompt = json!({"name": "a", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]});
        let prompt = message::<crate::proto::CreateRegisteredModel>(prompt).try_into().unwrap();
        let message = store.create_registered_model(prompt).await.unwrap_err().message;
        assert!(message.starts_with("Tried to create a prompt with name 'a'"), "{message}");

        let described = store.update_registered_model("a".into(), "what it is".into()).await.unwrap();
        assert_eq!(described.description(), "what it is");
        store.set_registered_model_tag("a".into(), ("x", "y").into()).await.unwrap();
        store.delete_registered_model_tag("a".into(), "k".into()).await.unwrap();
        store.delete_registered_model_tag("a".into(), "none".into()).await.unwrap();
        let found = store.get_registered_model("a".into()).await.unwrap();
        assert_eq!(shown(&found, "tags"), r#"[{"key":"x","value":"y"}]"#);

        store.delete_registered_model("a".into()).await.unwrap();
        let message = store.get_registered_model("a".into()).await.unwrap_err().message;
        assert_eq!(message, "Registered Model with name=a not found");
    });
}

#[test]
fn a_new_name_carries_everything_along() {
    on_each_database(|store| async move {
        store.register("old", json!([{"key": "k", "value": "v"}])).await;
        store.register("taken", json!([])).await;
        store.make_version("old", json!([{"key": "vk", "value": "vv"}])).await;
        store.set_registered_model_alias("old".into(), "best".into(), "1".into()).await.unwrap();
        let error = store.rename_registered_model("old".into(), "taken".into()).await.unwrap_err();
        assert_eq!(error.message, "Registered Model (name=taken) already exists.");
        let renamed = store.rename_registered_model("old".into(), "new".into()).await.unwrap();
        assert_eq!(shown(&renamed, "aliases"), r#"[{"alias":"best","version":"1"}]"#);
        assert_eq!(shown(&renamed, "tags"), r#"[{"key":"k","value":"v"}]"#);
        let version = store.get_model_version_by_alias("new".into(), "best".into()).await.unwrap();
        assert_eq!(
            (version.name(), shown(&version, "tags").as_str()),
            ("new", r#"[{"key":"vk","value":"vv"}]"#)
        );
        assert!(store.get_registered_model("old".into()).await.is_err());
        assert!(store.rename_registered_model("new".into(), "new".into()).await.is_ok());
        store.delete_registered_model("new".into()).await.unwrap();
    });
}

#[test]
fn numbers_are_never_given_twice() {
    on_each_database(|store| async move {
        store.register("m", json!([])).await;
        let numbers = |versions: Vec<ModelVersion>| {
            let mut numbers: Vec<i32> = versions.iter().map(|v| v.version().parse().unwrap()).collect();
            numbers.sort_unstable();
            numbers
        };
        let many = (0..32).map(|_| store.make_version("m", json!([])));
        assert_eq!(numbers(futures_util::future::join_all(many).await), (1..=32).collect::<Vec<_>>());
        store.delete_model_version(key("m", 32)).await.unwrap();
        assert_eq!(store.make_version("m", json!([])).await.version(), "33");
    });
}

#[test]
fn a_deleted_version_tells_nothing() {
    on_each_database(|store| async move {
        store.register("m", json!([])).await;
        store.make_version("m", json!([])).await;
        store.set_registered_model_alias("m".into(), "a".into(), "1".into()).await.unwrap();
        store.delete_model_version(key("m", 1)).await.unwrap();
        let gone = "Model Version (name=m, version=1) not found";
        assert_eq!(store.get_model_version(key("m", 1)).await.unwrap_err().message, gone);
        assert_eq!(store.delete_model_version(key("m", 1)).await.unwrap_err().message, gone);
        let alias = store.get_model_version_by_alias("m".into(), "a".into()).await.unwrap_err();
        assert_eq!(alias.message, "Registered model alias a not found.");
        let latest = store.get_model_version_by_alias("m".into(), "Latest".into()).await.unwrap_err();
        assert_eq!(latest.message, "Latest version not found for model m.");
        let source: Option<String> = store
            .read(|conn| {
                let row = model_versions::table.find((DEFAULT_WORKSPACE, "m", 1));
                Ok(each!(conn, c => row.select(model_versions::source).first(c))?)
            })
            .await
            .unwrap();
        assert_eq!(source.as_deref(), Some("REDACTED-SOURCE-PATH"));
    });
}

#[test]
fn stages_hold_one_newest_version_each() {
    on_each_database(|store| async move {
        store.register("m", json!([])).await;
        for _ in 0..4 {
            store.make_version("m", json!([])).await;
        }
        let to =
            |version, stage, archive| store.transition_model_version_stage(key("m", version), stage, archive);
        to(1, Stage::Production, false).await.unwrap();
        to(2, Stage::Production, false).await.unwrap();
        let latest = |stages: &[&str]| {
            let stages = stages.iter().map(|&s| s.to_owned()).collect();
            let found = store.get_latest_versions("m".into(), stages);
            async {
                let found = found.await.unwrap();
                let shown = found.iter().map(|v| format!("{} {}", v.version(), v.current_stage()));
                shown.collect::<Vec<_>>().join(", ")
            }
        };
        assert_eq!(latest(&[]).await, "2 Production, 4 None");
        to(3, Stage::Production, true).await.unwrap();
        assert_eq!(latest(&[]).await, "2 Archived, 3 Production, 4 None");
        assert_eq!(latest(&["production", "STAGING"]).await, "3 Production");
        let unknown = store.get_latest_versions("m".into(), vec!["x".into()]).await.unwrap_err();
        assert!(unknown.message.starts_with("Invalid Model Version stage: x."), "{}", unknown.message);
        let newest = store.get_model_version_by_alias("m".into(), "latest".into()).await.unwrap();
        assert_eq!(newest.version(), "4");
    });
}

#[test]
fn sources_are_resolved() {
    on_each_database(|store| async move {
        let experiment = store.make_experiment(json!({"name": "e"})).await;
        let run = store.make_run(json!({"experiment_id": experiment}), json!({})).await;
        let model = json!({"experiment_id": experiment, "name": "lm", "source_run_id": run});
        let model: crate::proto::CreateLoggedModel = message(model);
        let model = store.create_logged_model(model.try_into().unwrap()).await.unwrap().info.unwrap();
        let id = model.model_id().to_owned();
        store.register("m", json!([])).await;
        store.register("copy", json!([])).await;

        let from_run = json!({"name": "m", "source": format!("runs:/{run}/model"), "run_id": run});
        let version = store.try_version(from_run).await.unwrap();
        assert_eq!((version.version(), version.run_id()), ("1", run.as_str()));
        assert_eq!(
            store.get_model_version_folder(key("m", 1)).await.unwrap(),
            VersionFolder {
                uri: format!("/artifacts/{experiment}/{run}/artifacts/model"),
                run_uri: Some(format!("/artifacts/{experiment}/{run}/artifacts")),
            }
        );

        let from_model = json!({"name": "m", "source": format!("models:/{id}"), "model_id": id});
        let version = store.try_version(from_model).await.unwrap();
        assert_eq!((version.version(), version.run_id()), ("2", run.as_str()));
        let uri = store.get_model_version_download_uri(key("m", 2)).await.unwrap().unwrap();
        assert_eq!(uri, model.artifact_uri());
        let logged =
            store.get_logged_model(id.into(), crate::store::logged_models::Deleted::Hidden).await.unwrap();
        let tags = logged.info.unwrap().tags;
        assert_eq!(tags[0].key(), "mlflow.modelVersions");
        assert_eq!(tags[0].value(), r#"[{"name": "m", "version": 2}]"#);

        let copied = store.try_version(json!({"name": "copy", "source": "models:/m/latest"})).await.unwrap();
        assert_eq!((copied.source(), copied.run_id()), ("models:/m/2", run.as_str()));
        let uri = store.get_model_version_download_uri(key("copy", 1)).await.unwrap().unwrap();
        assert_eq!(uri, model.artifact_uri());

        for (request, want) in [
            (
                json!({"source": "models:/m-none", "model_id": "m-none"}),
                "Unable to fetch model from model URI source artifact location 'models:/m-none'.Error: Logged model with ID 'm-none' not found.",
            ),
            (json!({"source": "models:/none/1"}), "Registered Model with name=none not found"),
            (json!({"source": "models:/m/9"}), "Model Version (name=m, version=9) not found"),
            (
                json!({"source": "models:/m/Staging"}),
                "No versions of model with name 'm' and stage 'Staging' found",
            ),
            (json!({"source": "models:/m@none"}), "Registered model alias none not found."),
            (
                json!({"source": "mlflow-artifacts:/x", "run_id": "none"}),
                "Invalid model version source: 'mlflow-artifacts:/x'. The run_id request parameter must identify the resource that contains the source.",
            ),
            (
                json!({"source": "mlflow-artifacts:/x", "run_id": run}),
                "Invalid model version source: 'mlflow-artifacts:/x'. The run_id request parameter must identify the resource that contains the source.",
            ),
            (json!({"source": "s3://b/x", "model_id": "m-none"}), "Logged model with ID 'm-none' not found."),
            (json!({"source": "s3://b/x", "name": "none"}), "Registered Model with name=none not found"),
        ] {
            let mut request = request;
            if request.get("name").is_none() {
                request["name"] = "m".into();
            }
            assert_eq!(store.try_version(request.clone()).await.unwrap_err().message, want, "{request}");
        }
    });
}

#[test]
fn prompts_are_no_sources() {
    on_each_database(|store| async move {
        let is_prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
        store.register("p", is_prompt.clone()).await;
        store.register("m", json!([])).await;
        let version = json!({"name": "p", "source": "dummy-source", "tags": is_prompt});
        assert_eq!(store.try_version(version).await.unwrap().source(), "dummy-source");
        let copy = store.try_version(json!({"name": "m", "source": "models:/p/1"})).await.unwrap_err();
        assert!(copy.message.ends_with("Prompt versions cannot be used as model version sources."));
    });
}

#[test]
fn versions_are_described_and_tagged() {
    on_each_database(|store| async move {
        store.register("m", json!([])).await;
        store.make_version("m", json!([])).await;
        store.set_model_version_tag(key("m", 1), ("k", "v").into()).await.unwrap();
        store.set_model_version_tag(key("m", 1), ("k", "w").into()).await.unwrap();
        store.set_registered_model_alias("m".into(), "b".into(), "1".into()).await.unwrap();
        store.set_registered_model_alias("m".into(), "a".into(), "1".into()).await.unwrap();
        let version = store.update_model_version(key("m", 1), Some("text".into())).await.unwrap();
        assert_eq!((version.description(), version.aliases.join(" ").as_str()), ("text", "a b"));
        assert_eq!(shown(&version, "tags"), r#"[{"key":"k","value":"w"}]"#);
        let version = store.update_model_version(key("m", 1), None).await.unwrap();
        assert_eq!(version.description, None);
        store.delete_model_version_tag(key("m", 1), "k".into()).await.unwrap();
        store.delete_registered_model_alias("m".into(), "b".into()).await.unwrap();
        let version = store.get_model_version(key("m", 1)).await.unwrap();
        assert_eq!((version.tags.len(), version.aliases.join(" ").as_str()), (0, "a"));
        for version in [2, 99_999_999_999] {
            let error = store.set_model_version_tag(key("m", version), ("k", "v").into()).await.unwrap_err();
            assert_eq!(error.message, format!("Model Version (name=m, version={version}) not found"));
        }
    });
}

#[test]
fn sqlite_shows_tags_in_the_order_of_setting_and_aliases_sorted() {
    on_sqlite(|store| async move {
        let tags = json!(["z", "a", "m", "z"].map(|key| json!({"key": key, "value": "v"})));
        store.register("model", tags.clone()).await;
        store.make_version("model", tags.clone()).await;
        store.make_version("model", tags).await;
        store.set_registered_model_tag("model".into(), ("b", "v").into()).await.unwrap();
        for alias in ["y", "c"] {
            store.set_registered_model_alias("model".into(), alias.into(), "1".into()).await.unwrap();
        }
        let model = store.get_registered_model("model".into()).await.unwrap();
        let keys: Vec<&str> = model.tags.iter().map(RegisteredModelTag::key).collect();
        assert_eq!(keys, ["z", "a", "m", "b"]);
        let aliases: Vec<&str> = model.aliases.iter().map(RegisteredModelAlias::alias).collect();
        assert_eq!(aliases, ["c", "y"]);
        let version = store.get_model_version(key("model", 2)).await.unwrap();
        let keys: Vec<&str> = version.tags.iter().map(crate::proto::ModelVersionTag::key).collect();
        assert_eq!(keys, ["z", "a", "m"]);
    });
}
