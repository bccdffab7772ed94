//! HTTP. Handlers are thin: extract, validate, one call, reply. Here is every route, by resource.

pub mod artifacts;
pub mod datasets;
mod downloads;
pub mod experiments;
pub mod extract;
pub mod graphql;
pub mod logged_models;
pub mod metrics;
pub mod reply;
pub mod runs;
pub mod state;
#[cfg(test)]
mod testing;

use actix_web::web::{ServiceConfig, delete, get, patch, post, put};

/// The prefixes under which the REST routes stand: clients use the first, the UI the second.
const PREFIXES: [&str; 2] = ["/api", "/ajax-api"];

/// Adds every route to an app.
pub fn routes(config: &mut ServiceConfig) {
    for prefix in PREFIXES {
        let v2 = |path: &str| format!("{prefix}/2.0/mlflow/{path}");
        config
            .route(&v2("experiments/create"), post().to(experiments::create_experiment))
            .route(&v2("experiments/get"), get().to(experiments::get_experiment))
            .route(&v2("experiments/get-by-name"), get().to(experiments::get_experiment_by_name))
            .route(&v2("experiments/search"), get().to(experiments::search_experiments))
            .route(&v2("experiments/search"), post().to(experiments::search_experiments))
            .route(&v2("experiments/delete"), post().to(experiments::delete_experiment))
            .route(&v2("experiments/restore"), post().to(experiments::restore_experiment))
            .route(&v2("experiments/update"), post().to(experiments::update_experiment))
            .route(&v2("experiments/set-experiment-tag"), post().to(experiments::set_experiment_tag))
            .route(&v2("experiments/delete-experiment-tag"), post().to(experiments::delete_experiment_tag))
            .route(&v2("runs/create"), post().to(runs::create_run))
            .route(&v2("runs/get"), get().to(runs::get_run))
            .route(&v2("runs/search"), post().to(runs::search_runs))
            .route(&v2("runs/update"), post().to(runs::update_run))
            .route(&v2("runs/delete"), post().to(runs::delete_run))
            .route(&v2("runs/restore"), post().to(runs::restore_run))
            .route(&v2("runs/delete-tag"), post().to(runs::delete_tag))
            .route(&v2("runs/log-metric"), post().to(runs::log_metric))
            .route(&v2("runs/log-parameter"), post().to(runs::log_param))
            .route(&v2("runs/set-tag"), post().to(runs::set_tag))
            .route(&v2("runs/log-batch"), post().to(runs::log_batch))
            .route(&v2("runs/log-inputs"), post().to(datasets::log_inputs))
            .route(&v2("runs/outputs"), post().to(datasets::log_outputs))
            .route(&v2("metrics/get-history"), get().to(metrics::get_metric_history))
            .route(
                &v2("metrics/get-history-bulk-interval"),
                get().to(metrics::get_metric_history_bulk_interval),
            )
            .route(&v2("runs/log-model"), post().to(logged_models::log_model))
            .route(&v2("logged-models"), post().to(logged_models::create_logged_model))
            .route(&v2("logged-models/search"), post().to(logged_models::search_logged_models))
            .route(&v2("logged-models/{model_id}"), get().to(logged_models::get_logged_model))
            .route(&v2("logged-models/{model_id}"), patch().to(logged_models::finalize_logged_model))
            .route(&v2("logged-models/{model_id}"), delete().to(logged_models::delete_logged_model))
            .route(
                &v2("logged-models/{model_id}/artifacts/directories"),
                get().to(artifacts::list_logged_model_artifacts),
            )
            .route(&v2("logged-models/{model_id}/params"), post().to(logged_models::log_logged_model_params))
            .route(&v2("logged-models/{model_id}/tags"), patch().to(logged_models::set_logged_model_tags))
            .route(
                &v2("logged-models/{model_id}/tags/{tag_key}"),
                delete().to(logged_models::delete_logged_model_tag),
            )
            .route(&v2("artifacts/list"), get().to(artifacts::list_artifacts));
        let proxy = format!("{prefix}/2.0/mlflow-artifacts/artifacts");
        let file = format!("{proxy}/{{path:.*}}");
        config
            .route(&proxy, get().to(artifacts::list_proxied_artifacts))
            .route(&file, get().to(artifacts::get_proxied_artifact))
            .route(&file, put().to(artifacts::put_proxied_artifact))
            .route(&file, delete().to(artifacts::delete_proxied_artifact));
    }
    // For the UI alone.
    config
        .route("/graphql", post().to(graphql::graphql))
        .route("/graphql", get().to(graphql::graphql))
        .route("/ajax-api/2.0/mlflow/experiments/search-datasets", post().to(datasets::search_datasets))
        .route("/ajax-api/2.0/mlflow/metrics/get-history-bulk", get().to(metrics::get_metric_history_bulk))
        .route("/ajax-api/2.0/mlflow/upload-artifact", post().to(artifacts::upload_artifact))
        .route(
            "/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files",
            get().to(artifacts::get_logged_model_artifact),
        )
        .route("/get-artifact", get().to(artifacts::get_artifact));
}
