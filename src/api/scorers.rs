//! Scorers. Nothing here runs one: that takes Python and a model.

use actix_web::HttpRequest;
use serde::Serialize;
use serde_json::Value;

use crate::api::body::Document;
use crate::api::extract::Check::{Array, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema, check_content_type, missing, wrong_type};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::ExperimentId;
use crate::domain::python::json_repr;
use crate::domain::scorer::{NewScorer, OnlineScoring, validate_invocation};
use crate::domain::{Error, ErrorCode, Result, validate};
use crate::proto::loose::{self, Json};
use crate::proto::{
    DeleteScorer, GetOnlineScoringConfigs, GetScorer, ListScorerVersions, ListScorers, OnlineScoringConfig,
    RegisterScorer, delete_scorer, get_scorer, list_scorer_versions, list_scorers, register_scorer,
};
use crate::search::traces::TraceFilter;
use crate::store::scorers::ScorersOf;

impl Request for RegisterScorer {
    const SCHEMA: Schema = &[
        ("experiment_id", &[Required, Str]),
        ("name", &[Required, Str]),
        ("serialized_scorer", &[Required, Str]),
    ];
}

impl Request for ListScorers {
    const SCHEMA: Schema = &[("experiment_id", &[Str]), ("experiment_ids", &[Array, Strings])];
}

impl Request for ListScorerVersions {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("name", &[Required, Str])];
}

impl Request for GetScorer {
    const SCHEMA: Schema =
        &[("experiment_id", &[Required, Str]), ("name", &[Required, Str]), ("version", &[Int])];
}

impl Request for DeleteScorer {
    const SCHEMA: Schema =
        &[("experiment_id", &[Required, Str]), ("name", &[Required, Str]), ("version", &[Int])];
}

impl Request for GetOnlineScoringConfigs {
    const SCHEMA: Schema = &[("scorer_ids", &[Required, Array, Strings])];
}

/// When scorers run by themselves.
#[derive(Debug, Serialize)]
pub struct OnlineScoringConfigs {
    configs: Vec<OnlineScoringConfig>,
}

/// When a scorer runs by itself.
#[derive(Debug, Serialize)]
pub struct OneOnlineScoringConfig {
    config: OnlineScoringConfig,
}

/// `POST scorers/register`. Upstream: `_register_scorer`.
pub async fn register_scorer(app: App, Proto(r): Proto<RegisterScorer>) -> Reply<register_scorer::Response> {
    let (name, serialized) = (r.name.unwrap_or_default(), r.serialized_scorer.unwrap_or_default());
    let new = NewScorer::new(name, serialized, app.limits.custom_scorers)?;
    let experiment = ExperimentId::parse(r.experiment_id.as_deref().unwrap_or_default())?;
    reply::json(app.store.register_scorer(experiment, new).await?)
}

/// `GET scorers/list`. Upstream: `_list_scorers`.
pub async fn list_scorers(app: App, Proto(r): Proto<ListScorers>) -> Reply<list_scorers::Response> {
    let of = match (r.experiment_id(), r.experiment_ids.as_slice()) {
        ("", []) => ScorersOf::Everybody,
        (id, []) => ScorersOf::Experiment(ExperimentId::parse(id)?),
        ("", ids) => ScorersOf::Experiments(validate::searched_experiment_ids(ids)?),
        _ => {
            return Err(Error::invalid(
                "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query \
                 to multiple experiments, or 'experiment_id' to scope it to a single experiment.",
            ));
        }
    };
    reply::json(list_scorers::Response { scorers: app.store.list_scorers(of).await? })
}

/// `GET scorers/versions`. Upstream: `_list_scorer_versions`.
pub async fn list_scorer_versions(
    app: App,
    Proto(r): Proto<ListScorerVersions>,
) -> Reply<list_scorer_versions::Response> {
    let (experiment, name) = (ExperimentId::parse(r.experiment_id())?, r.name.unwrap_or_default());
    let scorers = app.store.list_scorer_versions(experiment, name).await?;
    reply::json(list_scorer_versions::Response { scorers })
}

/// `GET scorers/get`. Upstream: `_get_scorer`.
pub async fn get_scorer(app: App, Proto(r): Proto<GetScorer>) -> Reply<get_scorer::Response> {
    let (experiment, name) = (ExperimentId::parse(r.experiment_id())?, r.name.unwrap_or_default());
    let scorer = app.store.get_scorer(experiment, name, r.version).await?;
    reply::json(get_scorer::Response { scorer: Some(scorer) })
}

/// `DELETE scorers/delete`. Upstream: `_delete_scorer`.
pub async fn delete_scorer(app: App, Proto(r): Proto<DeleteScorer>) -> Reply<delete_scorer::Response> {
    let (experiment, name) = (ExperimentId::parse(r.experiment_id())?, r.name.unwrap_or_default());
    app.store.delete_scorer(experiment, name, r.version).await?;
    reply::empty()
}

/// `GET scorers/online-configs`. Upstream: `_get_online_scoring_configs`.
pub async fn get_online_scoring_configs(
    app: App,
    Proto(r): Proto<GetOnlineScoringConfigs>,
) -> Reply<OnlineScoringConfigs> {
    let configs = app.store.get_online_scoring_configs(r.scorer_ids).await?;
    reply::json(OnlineScoringConfigs { configs })
}

/// `PUT scorers/online-config`. Upstream: `_upsert_online_scoring_config`.
pub async fn upsert_online_scoring_config(
    app: App,
    request: HttpRequest,
    body: Document,
) -> Reply<OneOnlineScoringConfig> {
    check_content_type(&request)?;
    let config = app.store.upsert_online_scoring_config(read_scoring(&body)?).await?;
    reply::json(OneOnlineScoringConfig { config })
}

/// Reads a request that has no message: its rules are not those of messages.
fn read_scoring(body: &[u8]) -> Result<OnlineScoring> {
    let json = Json::parse(body).unwrap_or(Json::Null);
    let text = |name: &str| match json.get(name).filter(|value| !value.is_empty()) {
        Some(Json::Str(text)) => Ok(text.clone()),
        Some(other) => Err(wrong_type(name, other)),
        None => Err(missing(name)),
    };
    let (experiment_id, name) = (text("experiment_id")?, text("name")?);
    let rate =
        json.get("sample_rate").filter(|rate| !rate.is_empty()).ok_or_else(|| missing("sample_rate"))?;
    let filter = match json.get("filter_string") {
        None | Some(Json::Null) => None,
        Some(Json::Str(filter)) => Some(filter.clone()),
        Some(other) => {
            return Err(Error::invalid(format!(
                "Invalid value {} for parameter 'filter_string' supplied: Value was of type '{}'. Expected type 'str' \
                 or None.",
                json_repr(&other.to_value()),
                other.python_type()
            )));
        }
    };
    let number = match rate {
        Json::Float(number) => Some(*number),
        Json::Int(text) | Json::Str(text) => loose::float(text),
        Json::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    };
    // Stock answers 500.
    let number = number.ok_or_else(|| wrong_type("sample_rate", rate))?;
    let scoring = OnlineScoring::new(experiment_id, name, number, filter)?;
    if let Some(filter) = &scoring.filter {
        TraceFilter::parse(filter)?;
    }
    Ok(scoring)
}

/// `POST scorer/invoke`: scorers ask models and are made of Python, so none runs here. Upstream:
/// `_invoke_scorer_handler`.
pub async fn invoke_scorer(app: App, request: HttpRequest, body: Document) -> Reply<Value> {
    check_content_type(&request)?;
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    validate_invocation(&json, app.limits.custom_scorers)?;
    Err(Error::new(
        ErrorCode::NotImplemented,
        "This server does not run scorers: that takes Python and a model. Run them with mlflow.genai.evaluate from a \
         client; what they find is shown here.",
    ))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use crate::api::testing::{send, state};
    use crate::store::testing::on_each_database;

    #[test]
    fn scorers_are_looked_for_in_an_experiment() {
        on_each_database(|store| async move {
            store.ensure_default_experiment().await.unwrap();
            let state = state(store);
            for (query, status) in [("experiment_id=0", 200), ("experiment_id=99", 404)] {
                let uri = format!("/ajax-api/3.0/mlflow/scorers/list?{query}");
                let (got, text) = send(&state, TestRequest::get().uri(&uri)).await;
                assert_eq!(got.as_u16(), status, "{text}");
            }
        });
    }
}
