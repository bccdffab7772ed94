//! Experiments and their tags.

use crate::api::extract::Check::{Array, Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::experiment::{self, NewExperiment};
use crate::domain::ids::{ExperimentId, Tag};
use crate::proto::{
    CreateExperiment, DeleteExperiment, DeleteExperimentTag, GetExperiment, GetExperimentByName,
    RestoreExperiment, SearchExperiments, SetExperimentTag, UpdateExperiment, create_experiment,
    delete_experiment, delete_experiment_tag, get_experiment, get_experiment_by_name, restore_experiment,
    search_experiments, set_experiment_tag, update_experiment,
};

impl Request for CreateExperiment {
    const SCHEMA: Schema = &[("name", &[Required, Str]), ("artifact_location", &[Str]), ("tags", &[Array])];
}

impl Request for GetExperiment {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str])];
}

impl Request for GetExperimentByName {
    const SCHEMA: Schema = &[("experiment_name", &[Required, Str])];
}

impl Request for SearchExperiments {
    const SCHEMA: Schema = &[
        ("view_type", &[Int]),
        ("max_results", &[Int]),
        ("order_by", &[Array]),
        ("filter", &[Str]),
        ("page_token", &[Str]),
    ];
}

impl Request for DeleteExperiment {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str])];
}

impl Request for RestoreExperiment {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str])];
}

impl Request for UpdateExperiment {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("new_name", &[Str, Required])];
}

impl Request for SetExperimentTag {
    const SCHEMA: Schema =
        &[("experiment_id", &[Required, Str]), ("key", &[Required, Str]), ("value", &[Str])];
}

impl Request for DeleteExperimentTag {
    const SCHEMA: Schema = &[("experiment_id", &[Required, Str]), ("key", &[Required, Str])];
}

/// `POST experiments/create`. Upstream: `_create_experiment`.
pub async fn create_experiment(
    app: App,
    Proto(r): Proto<CreateExperiment>,
) -> Reply<create_experiment::Response> {
    if let Some(location) = &r.artifact_location {
        app.artifacts.validate_host(location, "artifact_location")?;
    }
    let new = NewExperiment::new(r, &app.limits)?;
    let id = app.store.create_experiment(new).await?;
    reply::json(create_experiment::Response { experiment_id: Some(id) })
}

/// `GET experiments/get`. Upstream: `_get_experiment`.
pub async fn get_experiment(app: App, Proto(r): Proto<GetExperiment>) -> Reply<get_experiment::Response> {
    let experiment = app.store.get_experiment(ExperimentId::parse(r.experiment_id())?).await?;
    reply::json(get_experiment::Response { experiment: Some(experiment) })
}

/// `GET experiments/get-by-name`. Upstream: `_get_experiment_by_name`.
pub async fn get_experiment_by_name(
    app: App,
    Proto(r): Proto<GetExperimentByName>,
) -> Reply<get_experiment_by_name::Response> {
    let experiment = app.store.get_experiment_by_name(r.experiment_name.unwrap_or_default()).await?;
    reply::json(get_experiment_by_name::Response { experiment: Some(experiment) })
}

/// `GET` and `POST experiments/search`. Upstream: `_search_experiments`.
pub async fn search_experiments(
    app: App,
    Proto(r): Proto<SearchExperiments>,
) -> Reply<search_experiments::Response> {
    reply::json(app.store.search_experiments(r).await?)
}

/// `POST experiments/delete`. Upstream: `_delete_experiment`.
pub async fn delete_experiment(
    app: App,
    Proto(r): Proto<DeleteExperiment>,
) -> Reply<delete_experiment::Response> {
    app.store.delete_experiment(ExperimentId::parse(r.experiment_id())?).await?;
    reply::empty()
}

/// `POST experiments/restore`. Upstream: `_restore_experiment`.
pub async fn restore_experiment(
    app: App,
    Proto(r): Proto<RestoreExperiment>,
) -> Reply<restore_experiment::Response> {
    app.store.restore_experiment(ExperimentId::parse(r.experiment_id())?).await?;
    reply::empty()
}

/// `POST experiments/update`. Upstream: `_update_experiment`.
pub async fn update_experiment(
    app: App,
    Proto(r): Proto<UpdateExperiment>,
) -> Reply<update_experiment::Response> {
    experiment::validate_name(r.new_name())?;
    let id = ExperimentId::parse(r.experiment_id())?;
    app.store.rename_experiment(id, r.new_name.unwrap_or_default()).await?;
    reply::empty()
}

/// `POST experiments/set-experiment-tag`. Upstream: `_set_experiment_tag`.
pub async fn set_experiment_tag(
    app: App,
    Proto(r): Proto<SetExperimentTag>,
) -> Reply<set_experiment_tag::Response> {
    experiment::validate_tag(r.key(), r.value())?;
    let id = ExperimentId::parse(r.experiment_id())?;
    let tag = Tag { key: r.key.unwrap_or_default(), value: r.value.unwrap_or_default() };
    app.store.set_experiment_tag(id, tag).await?;
    reply::empty()
}

/// `POST experiments/delete-experiment-tag`. Upstream: `_delete_experiment_tag`.
pub async fn delete_experiment_tag(
    app: App,
    Proto(r): Proto<DeleteExperimentTag>,
) -> Reply<delete_experiment_tag::Response> {
    let id = ExperimentId::parse(r.experiment_id())?;
    app.store.delete_experiment_tag(id, r.key.unwrap_or_default()).await?;
    reply::empty()
}
