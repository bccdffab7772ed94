//! What is said about traces.

use actix_web::web::Path;

use crate::api::extract::Check::Required;
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::{AssessmentId, TraceId};
use crate::domain::trace::assessment::{AssessmentUpdate, AssessmentValue};
use crate::proto::{
    CreateAssessment, UpdateAssessment, create_assessment, delete_assessment, get_assessment_request,
    update_assessment,
};

impl Request for CreateAssessment {
    const SCHEMA: Schema = &[("assessment", &[Required])];
}

impl Request for UpdateAssessment {
    const SCHEMA: Schema = &[("assessment", &[Required]), ("update_mask", &[Required])];

    /// An empty text is no mask, but an empty list is one.
    fn has_whole_items(&self) -> bool {
        self.update_mask.as_ref().is_some_and(|mask| !mask.paths.is_empty())
    }
}

/// `POST traces/{trace_id}/assessments`. Upstream: `_create_assessment`.
pub async fn create_assessment(
    app: App,
    trace_id: Path<TraceId>,
    Proto(r): Proto<CreateAssessment>,
) -> Reply<create_assessment::Response> {
    let new = AssessmentValue::try_from(r.assessment.unwrap_or_default())?;
    let assessment = app.store.create_assessment(trace_id.into_inner(), new).await?;
    reply::json(create_assessment::Response { assessment: Some(assessment) })
}

/// `GET traces/{trace_id}/assessments/{assessment_id}`. Upstream: `_get_assessment`.
pub async fn get_assessment(
    app: App,
    path: Path<(TraceId, AssessmentId)>,
) -> Reply<get_assessment_request::Response> {
    let (trace_id, id) = path.into_inner();
    let assessment = app.store.get_assessment(trace_id, id).await?;
    reply::json(get_assessment_request::Response { assessment: Some(assessment) })
}

/// `PATCH traces/{trace_id}/assessments/{assessment_id}`. Upstream: `_update_assessment`.
pub async fn update_assessment(
    app: App,
    path: Path<(TraceId, AssessmentId)>,
    Proto(r): Proto<UpdateAssessment>,
) -> Reply<update_assessment::Response> {
    let (trace_id, id) = path.into_inner();
    let assessment = app.store.update_assessment(trace_id, id, AssessmentUpdate::try_from(r)?).await?;
    reply::json(update_assessment::Response { assessment: Some(assessment) })
}

/// `DELETE traces/{trace_id}/assessments/{assessment_id}`. Upstream: `_delete_assessment`.
pub async fn delete_assessment(
    app: App,
    path: Path<(TraceId, AssessmentId)>,
) -> Reply<delete_assessment::Response> {
    let (trace_id, id) = path.into_inner();
    app.store.delete_assessment(trace_id, id).await?;
    reply::empty()
}
