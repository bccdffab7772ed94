//! Jobs, which are Python: those that another server left are shown, and none is run.

use actix_web::web::Path;
use serde::Serialize;
use serde_json::Value;

use crate::api::body::Document;
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::JobId;
use crate::domain::job::{Job, JobQuery, JobState};
use crate::domain::{Error, ErrorCode};

/// Jobs that were found.
#[derive(Debug, Serialize)]
pub struct FoundJobs {
    jobs: Vec<Job>,
}

/// `GET mlflow/jobs/{job_id}`. Upstream: `_get_job`.
pub async fn get_job_state(app: App, id: Path<JobId>) -> Reply<JobState> {
    reply::json(app.store.get_job(id.into_inner()).await?.into())
}

/// `GET jobs/{job_id}`. Upstream: `job_api.get_job`. Differs in the shape of errors, which is that of all others.
pub async fn get_job(app: App, id: Path<JobId>) -> Reply<Job> {
    reply::json(app.store.get_job(id.into_inner()).await?)
}

/// `POST jobs/search`. Upstream: `job_api.search_jobs`.
pub async fn search_jobs(app: App, body: Document) -> Reply<FoundJobs> {
    let jobs = app.store.search_jobs(JobQuery::parse(&body)?).await?;
    reply::json(FoundJobs { jobs })
}

/// `POST jobs/`. Upstream: `job_api.submit_job`.
pub async fn submit_job() -> Reply<Value> {
    Err(no_jobs())
}

/// `PATCH jobs/cancel/{job_id}` and `PATCH mlflow/jobs/cancel/{job_id}`. Upstream: `job_api.cancel_job`.
pub async fn cancel_job(app: App, id: Path<JobId>) -> Reply<Value> {
    app.store.get_job(id.into_inner()).await?;
    Err(no_jobs())
}

fn no_jobs() -> Error {
    Error::new(
        ErrorCode::NotImplemented,
        "This server runs no jobs: they are Python. Those that another server left can be read.",
    )
}
