//! Scorers on each database.

use serde_json::{Value, json};

use super::*;
use crate::domain::scorer::CustomScorers;
use crate::store::testing::on_each_database;

async fn register(store: &Store, experiment: &str, name: &str, body: Value) -> register_scorer::Response {
    let new = NewScorer::new(name.into(), body.to_string(), CustomScorers::Refused).unwrap();
    store.register_scorer(experiment.into(), new).await.unwrap()
}

fn listed(found: &[Scorer]) -> String {
    let shown = found.iter().map(|s| format!("{}{}", s.scorer_name(), s.scorer_version()));
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn scorers_have_versions() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        let other = store.make_experiment(json!({ "name": "other" })).await;
        for (name, body) in [("b", json!({ "v": 1 })), ("a", json!({ "v": 1 })), ("b", json!({ "v": 2 }))] {
            register(&store, &e, name, body).await;
        }
        let third = register(&store, &e, "b", json!({ "v": 3 })).await;
        assert_eq!((third.version(), third.serialized_scorer()), (3, r#"{"v":3}"#));
        register(&store, &other, "c", json!({})).await;
        assert_eq!(
            listed(&store.list_scorers(ScorersOf::Experiment(e.clone().into())).await.unwrap()),
            "a1 b3"
        );
        assert_eq!(listed(&store.list_scorers(ScorersOf::Everybody).await.unwrap()), "a1 b3 c1");
        let number: i32 = other.parse().unwrap();
        assert_eq!(
            listed(&store.list_scorers(ScorersOf::Experiments(vec![number, 99])).await.unwrap()),
            "c1"
        );
        assert!(store.list_scorers(ScorersOf::Experiments(vec![])).await.unwrap().is_empty());
        assert_eq!(
            listed(&store.list_scorer_versions(e.clone().into(), "b".into()).await.unwrap()),
            "b1 b2 b3"
        );
        store.delete_scorer(e.clone().into(), "b".into(), Some(2)).await.unwrap();
        assert_eq!(listed(&store.list_scorer_versions(e.clone().into(), "b".into()).await.unwrap()), "b1 b3");
        assert_eq!(store.get_scorer(e.clone().into(), "b".into(), None).await.unwrap().scorer_version(), 3);
        let message = store.get_scorer(e.clone().into(), "b".into(), Some(2)).await.unwrap_err().message;
        assert_eq!(message, format!("Scorer with name 'b' and version 2 not found for experiment {e}."));
        store.delete_scorer(e.clone().into(), "b".into(), None).await.unwrap();
        let message = store.delete_scorer(e.clone().into(), "b".into(), None).await.unwrap_err().message;
        assert_eq!(message, format!("Scorer with name 'b' not found for experiment {e}."));
        store.delete_experiment(other.into()).await.unwrap();
        assert_eq!(listed(&store.list_scorers(ScorersOf::Everybody).await.unwrap()), "a1");
    });
}

#[test]
fn endpoints_are_stored_by_id_and_shown_by_name() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        let judge = |model: &str| json!({ "instructions_judge_pydantic_data": { "model": model } });
        let body = judge("gateway:/ep").to_string();
        let new = NewScorer::new("j".into(), body, CustomScorers::Refused).unwrap();
        let message = store.register_scorer(e.clone().into(), new).await.unwrap_err().message;
        assert_eq!(message, "GatewayEndpoint not found (name='ep')");
        let sql = "INSERT INTO endpoints (endpoint_id, name, created_at, last_updated_at) VALUES ('e-1', 'ep', 1, 1)";
        store.write(move |conn| Ok(conn.batch_execute(sql)?)).await.unwrap();
        let made = register(&store, &e, "j", judge("gateway:/ep")).await;
        assert!(made.serialized_scorer().contains("gateway:/ep"), "{made:?}");
        let scoring = OnlineScoring::new(e.clone(), "j".into(), 0.5, None).unwrap();
        let config = store.upsert_online_scoring_config(scoring.clone()).await.unwrap();
        store.upsert_online_scoring_config(OnlineScoring { sample_rate: 0.25, ..scoring }).await.unwrap();
        let id = config.scorer_id().to_owned();
        let found = store.get_online_scoring_configs(vec![id, "none".into()]).await.unwrap();
        assert_eq!(found.iter().map(OnlineScoringConfig::sample_rate).collect::<Vec<_>>(), [0.25]);
        let sql = "UPDATE endpoints SET name = 'renamed'";
        store.write(move |conn| Ok(conn.batch_execute(sql)?)).await.unwrap();
        let read = store.get_scorer(e.clone().into(), "j".into(), None).await.unwrap();
        assert_eq!(
            read.serialized_scorer(),
            r#"{"instructions_judge_pydantic_data": {"model": "gateway:/renamed"}}"#
        );
        store.write(move |conn| Ok(conn.batch_execute("DELETE FROM endpoints")?)).await.unwrap();
        let read = store.get_scorer(e.clone().into(), "j".into(), None).await.unwrap();
        assert_eq!(read.serialized_scorer(), r#"{"instructions_judge_pydantic_data": {"model": null}}"#);
        store.delete_scorer(e.into(), "j".into(), None).await.unwrap();
    });
}
