use std::collections::BTreeMap;

use serde_json::json;

use super::{NewSecret, SecretUpdate};
use crate::domain::gateway::budget::{BudgetUpdate, NewBudget};
use crate::domain::gateway::crypto::Sealed;
use crate::domain::gateway::guardrail::NewGuardrail;
use crate::domain::gateway::{EndpointUpdate, NewEndpoint};
use crate::domain::time::now_ms;
use crate::domain::{ErrorCode, Result};
use crate::proto::{
    CreateGatewayBudgetPolicy, CreateGatewayEndpoint, CreateGatewayGuardrail, GatewayEndpoint,
    GatewayEndpointModelMapping, GatewayGuardrailConfig, UpdateGatewayEndpoint,
};
use crate::store::Store;
use crate::store::testing::{message, on_each_database};

async fn make_secret(store: &Store, name: &str) -> Result<String> {
    let sealed = Sealed { encrypted_value: vec![1, 2], wrapped_key: vec![3], version: 1 };
    let new = NewSecret {
        secret_id: store.new_secret_id(),
        secret_name: name.into(),
        sealed,
        masked: BTreeMap::from([("api_key".into(), "***".into())]),
        provider: Some("openai".into()),
        auth_config: BTreeMap::new(),
        created_by: None,
    };
    Ok(store.create_gateway_secret(new).await?.secret_id.unwrap())
}

async fn make_model(store: &Store, name: &str, secret_id: &str) -> String {
    let new = json!({"name": name, "secret_id": secret_id, "provider": "openai", "model_name": "m"});
    let made = store.create_gateway_model_definition(message(new)).await.unwrap();
    made.model_definition_id.unwrap()
}

async fn make_endpoint(store: &Store, name: &str, models: &[&str]) -> Result<GatewayEndpoint> {
    let models: Vec<_> =
        models.iter().map(|id| json!({"model_definition_id": id, "linkage_type": "PRIMARY"})).collect();
    let new: CreateGatewayEndpoint = message(json!({"name": name, "model_configs": models}));
    store.create_gateway_endpoint(NewEndpoint::try_from(new).unwrap()).await
}

#[test]
fn a_secret_is_kept_and_changed() {
    on_each_database(|store| async move {
        let id = make_secret(&store, "a").await.unwrap();
        let error = make_secret(&store, "a").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
        assert_eq!(error.message, "Secret with name 'a' already exists");
        let config = BTreeMap::from([("k".to_owned(), "ü".to_owned())]);
        let update = |auth_config| SecretUpdate {
            secret_id: id.clone(),
            value: None,
            auth_config,
            updated_by: Some("me".into()),
        };
        let changed = store.update_gateway_secret(update(Some(config.clone()))).await.unwrap();
        assert_eq!((changed.auth_config, changed.last_updated_by.as_deref()), (config.clone(), Some("me")));
        let changed = store.update_gateway_secret(update(None)).await.unwrap();
        assert_eq!(changed.auth_config, config);
        let changed = store.update_gateway_secret(update(Some(BTreeMap::new()))).await.unwrap();
        assert!(changed.auth_config.is_empty());
        assert_eq!(changed.masked_values["api_key"], "***");
        assert_eq!(store.list_gateway_secrets(Some("azure".into())).await.unwrap().len(), 0);
        store.delete_gateway_secret(id.clone().into()).await.unwrap();
        let error = store.get_gateway_secret(id.clone().into()).await.unwrap_err();
        assert_eq!(error.message, format!("GatewaySecret not found (secret_id='{id}')"));
    });
}

#[test]
fn models_stay_without_their_secret_and_while_endpoints_use_them() {
    on_each_database(|store| async move {
        let secret = make_secret(&store, "s").await.unwrap();
        let model = make_model(&store, "m", &secret).await;
        let endpoint = make_endpoint(&store, "e", &[&model]).await.unwrap().endpoint_id.unwrap();
        let error = store.delete_gateway_model_definition(model.clone().into()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidState);
        store.delete_gateway_secret(secret.into()).await.unwrap();
        let kept = store.get_gateway_model_definition(model.clone().into()).await.unwrap();
        assert_eq!((kept.secret_id, kept.secret_name), (None, None));
        store.delete_gateway_endpoint(endpoint.into()).await.unwrap();
        store.delete_gateway_model_definition(model.into()).await.unwrap();
    });
}

#[test]
fn models_of_an_endpoint_keep_the_order_of_the_request() {
    on_each_database(|store| async move {
        let secret = make_secret(&store, "s").await.unwrap();
        let mut models = Vec::new();
        for i in 0..6 {
            models.push(make_model(&store, &format!("m{i}"), &secret).await);
        }
        let order: Vec<&str> = [3, 0, 5, 1, 4, 2].map(|i: usize| models[i].as_str()).to_vec();
        let made = make_endpoint(&store, "e", &order).await.unwrap();
        let found: Vec<&str> =
            made.model_mappings.iter().map(GatewayEndpointModelMapping::model_definition_id).collect();
        assert_eq!(found, order);
        let experiment = store.get_experiment(made.experiment_id.clone().unwrap().into()).await.unwrap();
        assert_eq!(experiment.name(), "gateway/e");
        let error = make_endpoint(&store, "e", &order).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        let error = make_endpoint(&store, "f", &["x", "x"]).await.unwrap_err();
        assert_eq!(error.message, "Model definitions not found: x");

        let last =
            json!([{"model_definition_id": order[5], "linkage_type": "FALLBACK", "fallback_order": 1}]);
        let id = made.endpoint_id.clone().unwrap();
        let update: UpdateGatewayEndpoint = message(json!({"endpoint_id": id, "model_configs": last}));
        let changed = store.update_gateway_endpoint(EndpointUpdate::try_from(update).unwrap()).await.unwrap();
        assert_eq!(changed.model_mappings.len(), 1);
        assert!(changed.fallback_config.is_some());
        assert_eq!(changed.experiment_id, made.experiment_id);
    });
}

#[test]
fn what_cannot_be_read_is_not_written_over() {
    on_each_database(|store| async move {
        let secret = make_secret(&store, "s").await.unwrap();
        let model = make_model(&store, "m", &secret).await;
        let endpoint = make_endpoint(&store, "e", &[&model]).await.unwrap().endpoint_id.unwrap();
        let broken = "UPDATE endpoints SET fallback_config_json = '{\"model_definition_ids\": [\"a\"'";
        store.execute(broken.into()).await;
        let update: UpdateGatewayEndpoint =
            message(json!({"endpoint_id": endpoint, "fallback_config": {"max_attempts": 1}}));
        let update = EndpointUpdate::try_from(update).unwrap();
        let changed = store.update_gateway_endpoint(update).await.unwrap_err();
        let listed = store.list_gateway_endpoints(None).await.unwrap_err();
        for error in [changed, listed] {
            assert_eq!(error.code, ErrorCode::InternalError);
            assert!(
                error.message.contains(&format!("endpoints.fallback_config_json of '{endpoint}'")),
                "{error}"
            );
        }
    });
}

#[test]
fn what_the_gateway_spent_counts_for_the_budgets_it_is_for() {
    on_each_database(|store| async move {
        let secret = make_secret(&store, "s").await.unwrap();
        let model = make_model(&store, "m", &secret).await;
        let endpoint = make_endpoint(&store, "e", &[&model]).await.unwrap().endpoint_id.unwrap();
        let mut budgets = Vec::new();
        for target in [json!({}), json!({"target_scope": "ENDPOINT", "target_value": endpoint})] {
            let mut new = json!({"budget_unit": "USD", "budget_amount": 1, "budget_action": "ALERT",
                "target_scope": "GLOBAL", "duration": {"unit": "DAYS", "value": 1}});
            new.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
            let new: CreateGatewayBudgetPolicy = message(new);
            let made = store.create_budget_policy(NewBudget::try_from(new).unwrap()).await.unwrap();
            budgets.push(made.budget_policy_id.unwrap());
        }
        let (now, own) = (now_ms(), endpoint.clone());
        store
            .write(move |conn| {
                let day = 86_400_000;
                for (id, time, cost, of) in
                    [("a", now, 0.5, own.as_str()), ("b", now, 0.25, "other"), ("c", now - day, 4.0, own.as_str())]
                {
                    conn.batch_execute(&format!(
                        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, total_cost, \
                         db_payload_generation) SELECT '{id}', MIN(experiment_id), {time}, 'OK', {cost}, 0 \
                         FROM experiments; INSERT INTO trace_request_metadata (request_id, key, value) \
                         VALUES ('{id}', 'mlflow.gateway.endpointId', '{of}')"
                    ))?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let windows = store.list_budget_windows().await.unwrap();
        let spent = |id: &str| {
            let window = windows.iter().find(|w| w.budget_policy_id() == id).unwrap();
            assert!((window.window_start_ms()..window.window_end_ms()).contains(&now));
            window.current_spend()
        };
        assert_eq!((spent(&budgets[0]), spent(&budgets[1])), (0.75, 0.5));

        let update = json!({"budget_policy_id": budgets[1], "target_scope": "GLOBAL"});
        let update =
            BudgetUpdate::try_from(message::<crate::proto::UpdateGatewayBudgetPolicy>(update)).unwrap();
        let changed = store.update_budget_policy(update).await.unwrap();
        assert_eq!(changed.target_value, None);
        let page = store.list_budget_policies(message(json!({"max_results": 1}))).await.unwrap();
        assert_eq!((page.budget_policies.len(), page.next_page_token.is_some()), (1, true));
    });
}

#[test]
fn guardrails_of_an_endpoint_keep_their_places() {
    on_each_database(|store| async move {
        let secret = make_secret(&store, "s").await.unwrap();
        let model = make_model(&store, "m", &secret).await;
        let endpoint = make_endpoint(&store, "e", &[&model]).await.unwrap().endpoint_id.unwrap();
        store
            .write(|conn| {
                Ok(conn.batch_execute(
                    "INSERT INTO scorers (experiment_id, scorer_name, scorer_id) SELECT MIN(experiment_id), 'safe', 'sc' \
                     FROM experiments; INSERT INTO scorer_versions (scorer_id, scorer_version, serialized_scorer, \
                     creation_time) VALUES ('sc', 1, '{\"name\": \"safe\"}', 5), \
                     ('sc', 2, '{\"call_source\": \"x\"}', 6)",
                )?)
            })
            .await
            .unwrap();
        let new = |version: i32| {
            let new = json!({"name": "g", "scorer_id": "sc", "scorer_version": version, "stage": "BEFORE",
                "action": "VALIDATION", "action_endpoint_id": endpoint});
            NewGuardrail::try_from(message::<CreateGatewayGuardrail>(new)).unwrap()
        };
        let error = store.create_gateway_guardrail(new(2)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameterValue);
        let error = store.create_gateway_guardrail(new(3)).await.unwrap_err();
        assert_eq!(error.message, "Scorer with ID 'sc' and version 3 not found.");
        let mut ids = Vec::new();
        for place in [None, Some(2), Some(1)] {
            let made = store.create_gateway_guardrail(new(1)).await.unwrap();
            assert_eq!(made.action_endpoint_id(), "e");
            assert_eq!(made.scorer.unwrap().scorer_name(), "safe");
            let id = made.guardrail_id.unwrap();
            let add = json!({"endpoint_id": endpoint, "guardrail_id": id, "execution_order": place});
            let config = store.add_guardrail_to_endpoint(message(add.clone())).await.unwrap();
            assert_eq!(config.execution_order, place);
            assert!(store.add_guardrail_to_endpoint(message(add)).await.is_err());
            ids.push(id);
        }
        let found = store.list_endpoint_guardrail_configs(endpoint.clone().into()).await.unwrap();
        let found: Vec<&str> = found.iter().map(GatewayGuardrailConfig::guardrail_id).collect();
        assert_eq!(found, [ids[2].as_str(), &ids[1], &ids[0]]);
        let key = json!({"endpoint_id": endpoint, "guardrail_id": ids[1]});
        let moved = store.update_endpoint_guardrail_config(message(key.clone())).await.unwrap();
        assert_eq!(moved.execution_order, None);
        store.remove_guardrail_from_endpoint(message(key)).await.unwrap();
        store.delete_gateway_guardrail(ids[0].clone().into()).await.unwrap();
        assert_eq!(store.list_endpoint_guardrail_configs(endpoint.into()).await.unwrap().len(), 1);
        assert_eq!(store.list_gateway_guardrails(message(json!({}))).await.unwrap().guardrails.len(), 2);
    });
}
