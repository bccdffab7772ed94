//! HTTP. Handlers are thin: extract, validate, one call, reply. Here is every route, by resource.

pub mod answer;
pub mod artifacts;
pub mod assessments;
pub mod body;
pub mod datasets;
pub mod demo;
pub mod direct;
mod downloads;
pub mod evaluation_datasets;
pub mod experiments;
pub mod extract;
pub mod fallback;
pub mod gateway;
pub mod graphql;
pub mod issues;
pub mod jobs;
pub mod label_schemas;
pub mod logged_models;
pub mod mcp_servers;
pub mod memory;
pub mod metrics;
pub mod middleware;
pub mod model_versions;
pub mod otlp;
pub mod registered_models;
pub mod reply;
pub mod review_queues;
mod route;
pub mod runs;
pub mod scorers;
pub mod state;
pub mod system;
#[cfg(test)]
mod testing;
pub mod trace_files;
pub mod trace_metrics;
pub mod trace_search;
pub mod traces;
pub mod ui;
mod unavailable;
pub mod unpack;
pub mod webhooks;

use actix_web::web::{ServiceConfig, redirect, scope};

use crate::config::Config;
use route::at;

/// Adds every route of the server, below its prefix.
pub fn routes(config: &Config, routes: &mut ServiceConfig) {
    // Stock has the metrics outside the prefix.
    if config.expose_prometheus {
        routes.service(at("/metrics").get(system::get_metrics));
    }
    if config.static_prefix.is_empty() {
        below_prefix(config, routes);
        return;
    }
    let prefix = config.static_prefix.as_str();
    routes.service(redirect(prefix.to_owned(), format!("{prefix}/")).permanent());
    routes.service(scope(prefix).configure(|routes| below_prefix(config, routes)));
    // Load balancers ask without the prefix, and exporters are often set up without it.
    routes.configure(in_both_places);
    // Stock serves these in both places.
    routes.service(scope("/api/2.0/mlflow-artifacts").configure(artifact_files));
    routes.service(scope("/ajax-api/2.0/mlflow-artifacts").configure(artifact_files));
}

fn below_prefix(config: &Config, routes: &mut ServiceConfig) {
    let gateway = || scope("/3.0/mlflow/gateway");
    let ajax_gateway = gateway().configure(|routes| gateway::ajax_routes(config, routes));
    let gateway = gateway().configure(|routes| gateway::routes(config, routes));
    routes
        .service(scope("/api").configure(api).service(gateway))
        .service(scope("/ajax-api").configure(ajax_api).configure(api).service(ajax_gateway))
        .service(scope("/gateway").configure(gateway::invocations).configure(unavailable::gateway_routes))
        .service(at("/graphql").post(graphql::graphql).get(graphql::graphql))
        .service(at("/get-artifact").get(artifacts::get_artifact))
        .service(at("/model-versions/get-artifact").get(model_versions::get_model_version_artifact))
        .configure(in_both_places)
        .service(at("/static-files/{path:.+}").get(ui::get_static_file))
        .service(at("/").get(ui::get_index));
}

/// Routes with and without the prefix, as in stock. Differs: stock has no `/ready` and no trailing slash.
fn in_both_places(routes: &mut ServiceConfig) {
    routes
        .service(at("/v1/traces").post(otlp::export_traces))
        .service(at("/v1/traces/").post(otlp::export_traces))
        .service(at("/health").get(system::health))
        .service(at("/version").get(system::version))
        .service(at("/ready").get(system::ready));
}

/// Traces. The searches precede the route that matches any id.
fn trace_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/3.0/mlflow/traces").post(traces::start_trace_v3))
        .service(at("/3.0/mlflow/traces/search").post(trace_search::search_traces_v3))
        .service(at("/3.0/mlflow/traces/metrics").post(trace_metrics::query_trace_metrics))
        .service(
            at("/3.0/mlflow/traces/calculate-filter-correlation")
                .post(trace_metrics::calculate_trace_filter_correlation),
        )
        .service(at("/3.0/mlflow/traces/get").get(traces::get_trace))
        .service(at("/3.0/mlflow/traces/batchGet").get(traces::batch_get_traces))
        .service(at("/3.0/mlflow/traces/batchGetInfos").post(traces::batch_get_trace_infos))
        .service(at("/3.0/mlflow/traces/delete-traces").post(traces::delete_traces))
        .service(at("/3.0/mlflow/traces/{trace_id}").get(traces::get_trace_info))
        .service(
            at("/3.0/mlflow/traces/{trace_id}/tags")
                .patch(traces::set_trace_tag_v3)
                .delete(traces::delete_trace_tag_v3),
        )
        .service(at("/3.0/mlflow/traces/{trace_id}/assessments").post(assessments::create_assessment))
        .service(
            at("/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}")
                .get(assessments::get_assessment)
                .patch(assessments::update_assessment)
                .delete(assessments::delete_assessment),
        );
}

/// Traces as the second version of the interface has them, and what only it has.
fn deprecated_trace_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/traces").get(trace_search::search_traces).post(traces::start_trace))
        .service(at("/traces/delete-traces").post(traces::delete_traces))
        .service(at("/traces/link-to-run").post(traces::link_traces_to_run))
        .service(at("/traces/link-prompts").post(traces::link_prompts_to_trace))
        .service(at("/traces/{request_id}/info").get(traces::get_trace_info_v2))
        .service(at("/traces/{request_id}").patch(traces::end_trace))
        .service(
            at("/traces/{request_id}/tags").patch(traces::set_trace_tag).delete(traces::delete_trace_tag),
        );
}

/// The routes under `/ajax-api` only: the user interface asks them.
fn ajax_api(routes: &mut ServiceConfig) {
    routes
        .service(at("/2.0/mlflow/experiments/search-datasets").post(datasets::search_datasets))
        .service(at("/2.0/mlflow/metrics/get-history-bulk").get(metrics::get_metric_history_bulk))
        .service(at("/2.0/mlflow/get-trace-artifact").get(trace_files::get_trace_artifact))
        .service(at("/3.0/mlflow/get-trace-artifact").get(trace_files::get_trace_artifact))
        .service(at("/2.0/mlflow/upload-artifact").post(artifacts::upload_artifact))
        .service(
            at("/2.0/mlflow/logged-models/{model_id}/artifacts/files")
                .get(artifacts::get_logged_model_artifact),
        )
        .service(at("/2.0/mlflow/gateway-proxy").get(system::proxy_gateway).post(system::proxy_gateway))
        .service(at("/3.0/mlflow/ui-telemetry").get(system::get_ui_telemetry).post(system::post_ui_telemetry))
        .service(at("/3.0/jobs/").post(jobs::submit_job))
        .service(at("/3.0/jobs/search").post(jobs::search_jobs))
        .service(at("/3.0/jobs/cancel/{job_id}").patch(jobs::cancel_job))
        .service(at("/3.0/jobs/{job_id}").get(jobs::get_job))
        .service(at("/3.0/mlflow/jobs/{job_id}").get(jobs::get_job_state))
        .service(at("/3.0/mlflow/jobs/cancel/{job_id}").patch(jobs::cancel_job))
        .service(at("/3.0/mlflow/demo/delete").post(demo::delete_demo))
        .service(at("/3.0/mlflow/demo/generate").post(demo::generate_demo))
        .service(at("/3.0/mlflow/scorer/invoke").post(scorers::invoke_scorer))
        .service(at("/3.0/mlflow/issues/invoke").post(issues::invoke_issue_detection))
        .configure(unavailable::ajax_routes)
        .service(
            at("/3.0/mlflow/assistant/config")
                .get(system::get_assistant_config)
                .put(system::update_assistant_config),
        )
        .service(at("/3.0/mlflow/assistant/providers").get(system::list_assistant_providers));
}

/// The routes under both `/api`, for clients, and `/ajax-api`, for the user interface. The router matches in
/// this order, so the most frequent come first.
fn api(routes: &mut ServiceConfig) {
    routes
        .service(
            scope("/2.0/mlflow")
                .configure(runs)
                .configure(experiments)
                .configure(logged_models)
                .configure(registered_models)
                .configure(model_versions)
                .configure(webhook_routes)
                .configure(deprecated_trace_routes)
                .service(at("/artifacts/list").get(artifacts::list_artifacts))
                .service(at("/artifacts/presigned-download-url").post(direct::create_presigned_download_url))
                .service(at("/artifacts/presigned-upload-url").post(direct::create_presigned_upload_url)),
        )
        .service(
            scope("/2.0/mlflow-artifacts")
                .service(at("/artifacts").get(artifacts::list_proxied_artifacts))
                .configure(artifact_files),
        )
        .configure(trace_routes)
        .service(scope("/3.0/mlflow/scorers").configure(scorer_routes))
        .service(scope("/3.0/mlflow/label-schemas").configure(label_schema_routes))
        .service(scope("/3.0/mlflow/review-queues").configure(review_queue_routes))
        .service(scope("/3.0/mlflow/issues").configure(issue_routes))
        .service(scope("/3.0/mlflow/datasets").configure(evaluation_dataset_routes))
        .configure(unavailable::api_routes)
        .configure(mcp_server_routes)
        .service(at("/3.0/mlflow/server-info").get(system::get_server_info));
}

fn mcp_server_routes(routes: &mut ServiceConfig) {
    routes
        .service(
            at("/3.0/mlflow/mcp-servers")
                .get(mcp_servers::search_mcp_servers)
                .post(mcp_servers::create_mcp_server),
        )
        .service(at("/3.0/mlflow/mcp-servers/endpoints").get(mcp_servers::search_all_endpoints))
        .service(
            at("/3.0/mlflow/mcp-servers/{path:.+}")
                .get(mcp_servers::of_server)
                .post(mcp_servers::of_server)
                .patch(mcp_servers::of_server)
                .delete(mcp_servers::of_server),
        );
}

fn artifact_files(routes: &mut ServiceConfig) {
    routes
        .service(
            at("/artifacts/{path:.*}")
                .get(artifacts::get_proxied_artifact)
                .put(artifacts::put_proxied_artifact)
                .delete(artifacts::delete_proxied_artifact),
        )
        .service(at("/mpu/create/{path:.+}").post(direct::create_multipart_upload))
        .service(at("/mpu/complete/{path:.+}").post(direct::complete_multipart_upload))
        .service(at("/mpu/abort/{path:.+}").post(direct::abort_multipart_upload))
        .service(at("/presigned/{path:.+}").get(direct::get_presigned_download_url));
}

fn runs(routes: &mut ServiceConfig) {
    routes
        .service(at("/runs/log-metric").post(runs::log_metric))
        .service(at("/runs/log-batch").post(runs::log_batch))
        .service(at("/runs/log-parameter").post(runs::log_param))
        .service(at("/runs/set-tag").post(runs::set_tag))
        .service(at("/runs/get").get(runs::get_run))
        .service(at("/runs/search").post(runs::search_runs))
        .service(at("/runs/create").post(runs::create_run))
        .service(at("/runs/update").post(runs::update_run))
        .service(at("/runs/delete").post(runs::delete_run))
        .service(at("/runs/restore").post(runs::restore_run))
        .service(at("/runs/delete-tag").post(runs::delete_tag))
        .service(at("/runs/log-inputs").post(datasets::log_inputs))
        .service(at("/runs/outputs").post(datasets::log_outputs))
        .service(at("/runs/log-model").post(logged_models::log_model))
        .service(at("/metrics/get-history").get(metrics::get_metric_history))
        .service(at("/metrics/get-history-bulk-interval").get(metrics::get_metric_history_bulk_interval));
}

fn webhook_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/webhooks").get(webhooks::list_webhooks).post(webhooks::create_webhook))
        .service(
            at("/webhooks/{webhook_id}")
                .get(webhooks::get_webhook)
                .patch(webhooks::update_webhook)
                .delete(webhooks::delete_webhook),
        )
        .service(at("/webhooks/{webhook_id}/test").post(webhooks::test_webhook));
}

fn evaluation_dataset_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/create").post(evaluation_datasets::create_dataset))
        .service(
            at("/search")
                .get(evaluation_datasets::search_evaluation_datasets)
                .post(evaluation_datasets::search_evaluation_datasets),
        )
        .service(
            at("/{dataset_id}")
                .get(evaluation_datasets::get_dataset)
                .delete(evaluation_datasets::delete_dataset),
        )
        .service(at("/{dataset_id}/tags").patch(evaluation_datasets::set_dataset_tags))
        .service(at("/{dataset_id}/tags/{key}").delete(evaluation_datasets::delete_dataset_tag))
        .service(
            at("/{dataset_id}/records")
                .get(evaluation_datasets::get_dataset_records)
                .post(evaluation_datasets::upsert_dataset_records)
                .delete(evaluation_datasets::delete_dataset_records),
        )
        .service(at("/{dataset_id}/experiment-ids").get(evaluation_datasets::get_dataset_experiment_ids))
        .service(at("/{dataset_id}/add-experiments").post(evaluation_datasets::add_dataset_to_experiments))
        .service(
            at("/{dataset_id}/remove-experiments").post(evaluation_datasets::remove_dataset_from_experiments),
        );
}

fn scorer_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/register").post(scorers::register_scorer))
        .service(at("/list").get(scorers::list_scorers))
        .service(at("/versions").get(scorers::list_scorer_versions))
        .service(at("/get").get(scorers::get_scorer))
        .service(at("/delete").delete(scorers::delete_scorer))
        .service(at("/online-configs").get(scorers::get_online_scoring_configs))
        .service(at("/online-config").put(scorers::upsert_online_scoring_config));
}

fn label_schema_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/create").post(label_schemas::create_label_schema))
        .service(at("/get").get(label_schemas::get_label_schema))
        .service(at("/get-by-name").get(label_schemas::get_label_schema_by_name))
        .service(at("/list").get(label_schemas::list_label_schemas))
        .service(at("/update").patch(label_schemas::update_label_schema))
        .service(at("/delete").delete(label_schemas::delete_label_schema));
}

fn review_queue_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/create").post(review_queues::create_review_queue))
        .service(at("/get-or-create-user").post(review_queues::get_or_create_user_queue))
        .service(at("/get").get(review_queues::get_review_queue))
        .service(at("/get-by-name").get(review_queues::get_review_queue_by_name))
        .service(at("/list").get(review_queues::list_review_queues))
        .service(at("/update").post(review_queues::update_review_queue))
        .service(at("/delete").post(review_queues::delete_review_queue))
        .service(at("/items/add").post(review_queues::add_items_to_review_queue))
        .service(at("/items/remove").post(review_queues::remove_items_from_review_queue))
        .service(at("/items/list").get(review_queues::list_review_queue_items))
        .service(at("/items/set-status").post(review_queues::set_review_queue_item_status));
}

fn issue_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("").post(issues::create_issue))
        .service(at("/search").post(issues::search_issues))
        .service(at("/{issue_id}").get(issues::get_issue).patch(issues::update_issue));
}

fn experiments(routes: &mut ServiceConfig) {
    routes
        .service(at("/experiments/create").post(experiments::create_experiment))
        .service(at("/experiments/get").get(experiments::get_experiment))
        .service(at("/experiments/get-by-name").get(experiments::get_experiment_by_name))
        .service(
            at("/experiments/search")
                .get(experiments::search_experiments)
                .post(experiments::search_experiments),
        )
        .service(at("/experiments/delete").post(experiments::delete_experiment))
        .service(at("/experiments/restore").post(experiments::restore_experiment))
        .service(at("/experiments/update").post(experiments::update_experiment))
        .service(at("/experiments/set-experiment-tag").post(experiments::set_experiment_tag))
        .service(at("/experiments/delete-experiment-tag").post(experiments::delete_experiment_tag));
}

fn logged_models(routes: &mut ServiceConfig) {
    routes
        .service(at("/logged-models").post(logged_models::create_logged_model))
        .service(at("/logged-models/search").post(logged_models::search_logged_models))
        .service(
            at("/logged-models/{model_id}")
                .get(logged_models::get_logged_model)
                .patch(logged_models::finalize_logged_model)
                .delete(logged_models::delete_logged_model),
        )
        .service(
            at("/logged-models/{model_id}/artifacts/directories").get(artifacts::list_logged_model_artifacts),
        )
        .service(at("/logged-models/{model_id}/params").post(logged_models::log_logged_model_params))
        .service(at("/logged-models/{model_id}/tags").patch(logged_models::set_logged_model_tags))
        .service(
            at("/logged-models/{model_id}/tags/{tag_key}").delete(logged_models::delete_logged_model_tag),
        );
}

fn registered_models(routes: &mut ServiceConfig) {
    routes
        .service(at("/registered-models/create").post(registered_models::create_registered_model))
        .service(at("/registered-models/get").get(registered_models::get_registered_model))
        .service(at("/registered-models/search").get(registered_models::search_registered_models))
        .service(at("/registered-models/update").patch(registered_models::update_registered_model))
        .service(at("/registered-models/rename").post(registered_models::rename_registered_model))
        .service(at("/registered-models/delete").delete(registered_models::delete_registered_model))
        .service(
            at("/registered-models/get-latest-versions")
                .get(registered_models::get_latest_versions)
                .post(registered_models::get_latest_versions),
        )
        .service(at("/registered-models/set-tag").post(registered_models::set_registered_model_tag))
        .service(at("/registered-models/delete-tag").delete(registered_models::delete_registered_model_tag))
        .service(
            at("/registered-models/alias")
                .get(registered_models::get_model_version_by_alias)
                .post(registered_models::set_registered_model_alias)
                .delete(registered_models::delete_registered_model_alias),
        );
}

fn model_versions(routes: &mut ServiceConfig) {
    routes
        .service(at("/model-versions/create").post(model_versions::create_model_version))
        .service(at("/model-versions/get").get(model_versions::get_model_version))
        .service(at("/model-versions/search").get(model_versions::search_model_versions))
        .service(at("/model-versions/update").patch(model_versions::update_model_version))
        .service(at("/model-versions/transition-stage").post(model_versions::transition_model_version_stage))
        .service(at("/model-versions/delete").delete(model_versions::delete_model_version))
        .service(at("/model-versions/get-download-uri").get(model_versions::get_model_version_download_uri))
        .service(at("/model-versions/set-tag").post(model_versions::set_model_version_tag))
        .service(at("/model-versions/delete-tag").delete(model_versions::delete_model_version_tag));
}
