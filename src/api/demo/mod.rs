//! The demo, made and removed at a button of the first page.

mod make;
mod remove;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::body::Document;
use super::reply::{self, Reply};
use super::state::AppState;
use crate::api::state::App;
use crate::domain::demo::traces::{self, DemoTrace, Place};
use crate::domain::demo::{EXPERIMENT, Feature, TIMES, content, runs, views};
use crate::domain::ids::{ExperimentId, ModelName, Tag, TraceId};
use crate::domain::time::now_ms;
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{Experiment, SearchIssues};
use crate::store::scorers::ScorersOf;

/// A lock: one change at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// What became of the demo.
#[derive(Debug, Serialize)]
pub struct Made {
    experiment_id: ExperimentId,
    features_generated: Vec<&'static str>,
    navigation_url: String,
    status: &'static str,
}

/// What is gone.
#[derive(Debug, Serialize)]
pub struct Removed {
    features_deleted: Vec<&'static str>,
    status: &'static str,
}

/// `POST demo/generate`. Makes what is missing of the demo, or of the `features` that the body names.
///
/// Upstream: `_generate_demo`. Differs: the demo has other content, and what needs the experiment or the
/// traces makes them and names them.
pub async fn generate_demo(app: App, body: Document) -> Reply<Made> {
    let wanted = wanted(&body)?;
    let _turn = TURN.lock().await;
    let demo = Demo::open(&app).await?;
    let mut made = Vec::new();
    for feature in Feature::ALL.into_iter().filter(|feature| wanted.contains(feature)) {
        let is_stale = feature.needs_traces() && made.contains(&Feature::Traces);
        if is_stale || !demo.is_current(feature).await? {
            demo.put(feature).await?;
            made.push(feature);
        }
    }
    let made: Vec<&str> = made.into_iter().map(Feature::name).collect();
    let status = if made.is_empty() { "exists" } else { "created" };
    let navigation_url = format!("/experiments/{}", demo.id);
    reply::json(Made { experiment_id: demo.id, features_generated: made, navigation_url, status })
}

/// `POST demo/delete`. Upstream: `_delete_demo`.
pub async fn delete_demo(app: App) -> Reply<Removed> {
    let _turn = TURN.lock().await;
    let mut features_deleted = Vec::new();
    if let Some(experiment) = find(&app).await? {
        let is_active = experiment.lifecycle_stage() == "active";
        let demo = Demo::of(&app, &experiment)?;
        for feature in Feature::ALL {
            if is_active && demo.has(feature).await? {
                demo.remove(feature).await?;
                // Restoring the experiment brings its runs back, which must not count as the demo.
                demo.untag(&feature.edition().0).await?;
                features_deleted.push(feature.name());
            }
        }
        if is_active {
            app.store.delete_experiment(demo.id).await?;
        }
    }
    reply::json(Removed { features_deleted, status: "deleted" })
}

/// Reads which features are asked for: all, where the body is no JSON or names none.
fn wanted(body: &[u8]) -> Result<Vec<Feature>> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body.get("features") {
        None | Some(Value::Null) => Ok(Feature::ALL.to_vec()),
        Some(Value::Array(names)) => {
            let is_named = |feature: &Feature| names.iter().any(|name| name == feature.name());
            let named: Vec<Feature> = Feature::ALL.into_iter().filter(is_named).collect();
            let needs_traces = named.iter().any(|feature| feature.needs_traces());
            let wanted =
                |feature: &Feature| named.contains(feature) || (needs_traces && *feature == Feature::Traces);
            Ok(Feature::ALL.into_iter().filter(wanted).collect())
        }
        Some(_) => Err(Error::invalid("Parameter 'features' must be a list of names.")),
    }
}

async fn find(app: &AppState) -> Result<Option<Experiment>> {
    or_none(app.store.get_experiment_by_name(EXPERIMENT.into()).await)
}

/// Maps "not found" to `None`.
fn or_none<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.code == ErrorCode::ResourceDoesNotExist => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a request that the demo makes of itself.
fn request<T: DeserializeOwned>(json: Value) -> Result<T> {
    serde_json::from_value(json).map_err(Error::internal)
}

/// The demo in its experiment.
struct Demo<'a> {
    app: &'a AppState,
    id: ExperimentId,
    tags: Vec<(String, String)>,
    traces: Vec<DemoTrace>,
}

impl<'a> Demo<'a> {
    /// Finds the experiment, and makes or restores it where need be.
    async fn open(app: &'a AppState) -> Result<Self> {
        let experiment = match find(app).await? {
            Some(found) if found.lifecycle_stage() == "active" => found,
            Some(deleted) => {
                app.store.restore_experiment(ExperimentId::parse(deleted.experiment_id())?).await?;
                deleted
            }
            None => {
                make::experiment(app).await?;
                app.store.get_experiment_by_name(EXPERIMENT.into()).await?
            }
        };
        Self::of(app, &experiment)
    }

    fn of(app: &'a AppState, experiment: &Experiment) -> Result<Self> {
        let id = ExperimentId::parse(experiment.experiment_id())?;
        let tags: Vec<(String, String)> =
            experiment.tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
        let first = tags.iter().find(|(key, _)| key == TIMES[0]).and_then(|(_, value)| value.parse().ok());
        let place = Place {
            experiment: id.number(),
            made_ms: experiment.creation_time(),
            until_ms: first.map_or_else(now_ms, Place::until),
        };
        Ok(Self { app, id, tags, traces: traces::traces(&place) })
    }

    fn has_tag(&self, key: &str, value: Option<&str>) -> bool {
        self.tags.iter().any(|(k, v)| k == key && value.is_none_or(|value| v == value))
    }

    /// Whether there is something of a feature.
    async fn has(&self, feature: Feature) -> Result<bool> {
        let store = &self.app.store;
        Ok(match feature {
            Feature::Prompts => {
                let Some(prompt) = content().prompts.first() else { return Ok(false) };
                or_none(store.get_registered_model(ModelName::from(prompt.full_name())).await)?.is_some()
            }
            Feature::Traces => {
                let Some(trace) = self.traces.first() else { return Ok(false) };
                or_none(store.get_trace_info(TraceId::from(trace.id.as_str())).await)?.is_some()
            }
            Feature::CustomView => self.has_tag(views::CUSTOM_VIEW, None),
            Feature::SavedViews => self.has_tag(views::SAVED_VIEW, None),
            Feature::Evaluation => !self.runs("params.demo = 'true'").await?.is_empty(),
            Feature::Judges => {
                let judges = store.list_scorers(ScorersOf::Experiment(self.id.clone())).await?;
                let is_ours =
                    |name: &str| content().judges.iter().any(|judge| runs::judge_name(judge) == name);
                judges.iter().any(|judge| is_ours(judge.scorer_name()))
            }
            Feature::Issues => !self.issues().await?.is_empty(),
            Feature::ReviewQueues => {
                let queue = store.get_review_queue_by_name(self.id.clone(), make::QUEUE.into()).await;
                or_none(queue)?.is_some()
            }
        })
    }

    /// The ids of the runs of the experiment that a filter finds.
    async fn runs(&self, filter: &str) -> Result<Vec<String>> {
        let search = serde_json::json!({ "experiment_ids": [self.id], "filter": filter, "max_results": 100 });
        let found = self.app.store.search_runs(request(search)?).await?;
        Ok(found.runs.into_iter().filter_map(|run| run.info?.run_id).collect())
    }

    /// The ids of the issues that the demo made and nobody decided on.
    async fn issues(&self) -> Result<Vec<String>> {
        let search = SearchIssues {
            experiment_id: Some(self.id.to_string()),
            filter_string: Some("status = 'pending'".into()),
            max_results: Some(1000),
            ..SearchIssues::default()
        };
        let found = self.app.store.search_issues(search).await?;
        let ours = found.issues.into_iter().filter(|i| i.created_by() == crate::domain::demo::MADE_BY);
        Ok(ours.filter_map(|issue| issue.issue_id).collect())
    }

    /// Whether a feature is there in this edition.
    async fn is_current(&self, feature: Feature) -> Result<bool> {
        let (tag, edition) = feature.edition();
        Ok(self.has_tag(&tag, Some(edition)) && self.has(feature).await?)
    }

    /// Replaces whatever exists of a feature.
    async fn put(&self, feature: Feature) -> Result<()> {
        let (key, edition) = feature.edition();
        self.remove(feature).await?;
        self.make(feature).await?;
        let tag = Tag { key, value: edition.into() };
        self.app.store.set_experiment_tag(self.id.clone(), tag).await
    }
}

#[cfg(test)]
mod tests;
