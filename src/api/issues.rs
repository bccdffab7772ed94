//! Issues. Nothing here looks for them: that takes Python and a model.

use actix_web::web::Path;
use serde_json::Value;

use crate::api::extract::Check::{Array, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::IssueId;
use crate::domain::issue::{IssueUpdate, NewIssue};
use crate::domain::{Error, ErrorCode};
use crate::proto::{
    CreateIssue, InvokeIssueDetection, SearchIssues, UpdateIssue, create_issue, get_issue, search_issues,
    update_issue,
};

impl Request for CreateIssue {
    const SCHEMA: Schema =
        &[("name", &[Required, Str]), ("description", &[Required, Str]), ("experiment_id", &[Required, Str])];
}

impl Request for UpdateIssue {
    const SCHEMA: Schema = &[("issue_id", &[Required])];
}

impl Request for SearchIssues {
    const SCHEMA: Schema = &[];
}

impl Request for InvokeIssueDetection {
    const SCHEMA: Schema = &[
        ("experiment_id", &[Required, Str]),
        ("trace_ids", &[Required, Array, Strings]),
        ("categories", &[Required, Array]),
        ("provider", &[Required, Str]),
        ("model", &[Str]),
        ("secret_id", &[Str]),
        ("endpoint_name", &[Str]),
    ];
}

/// `POST issues`. Upstream: `_create_issue`.
pub async fn create_issue(app: App, Proto(r): Proto<CreateIssue>) -> Reply<create_issue::Response> {
    let issue = app.store.create_issue(NewIssue::try_from(r)?).await?;
    reply::json(create_issue::Response { issue: Some(issue) })
}

/// `GET issues/{issue_id}`. Upstream: `_get_issue`.
pub async fn get_issue(app: App, id: Path<IssueId>) -> Reply<get_issue::Response> {
    let issue = app.store.get_issue(id.into_inner()).await?;
    reply::json(get_issue::Response { issue: Some(issue) })
}

/// `PATCH issues/{issue_id}`; the id in the body is required but ignored. Upstream: `_update_issue`.
pub async fn update_issue(
    app: App,
    id: Path<IssueId>,
    Proto(r): Proto<UpdateIssue>,
) -> Reply<update_issue::Response> {
    let issue = app.store.update_issue(id.into_inner(), IssueUpdate::try_from(r)?).await?;
    reply::json(update_issue::Response { issue: Some(issue) })
}

/// `POST issues/search`. Upstream: `_search_issues`.
pub async fn search_issues(app: App, Proto(r): Proto<SearchIssues>) -> Reply<search_issues::Response> {
    reply::json(app.store.search_issues(r).await?)
}

/// `POST issues/invoke`: detection needs a model, so it is not done here. Upstream:
/// `_invoke_issue_detection_handler`.
pub async fn invoke_issue_detection(Proto(r): Proto<InvokeIssueDetection>) -> Reply<Value> {
    if r.trace_ids.is_empty() {
        return Err(Error::invalid("Please select at least one trace to analyze."));
    }
    Err(Error::new(
        ErrorCode::NotImplemented,
        "This server does not look for issues: that takes Python and a model. Issues that a client finds can be \
         created here.",
    ))
}
