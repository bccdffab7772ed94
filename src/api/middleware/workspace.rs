//! A server without workspaces refuses requests for one: data would land where the caller does not look.
//!
//! Upstream: `resolve_workspace_for_request_if_enabled`, which stands before the security rules.

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::{Error as ActixError, ResponseError as _};
use futures_util::future::{Either, ready};

use crate::domain::{Error, ErrorCode};

const HEADER: &str = "x-mlflow-workspace";

/// Passes `request` on to `service` unless it names a workspace.
pub fn call<S>(
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, ActixError>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = ActixError>,
{
    if !names_workspace(&request) {
        return Either::Left(service.call(request));
    }
    let refusal = Error::new(
        ErrorCode::FeatureDisabled,
        "Workspace APIs are not available: workspaces are not enabled on this server",
    )
    .error_response();
    Either::Right(ready(Ok(request.into_response(refusal))))
}

/// Clients read from `server-info` whether there are workspaces, so that is always told.
fn names_workspace(request: &ServiceRequest) -> bool {
    let header = request.headers().get(HEADER);
    header.is_some_and(|name| !name.as_bytes().trim_ascii().is_empty())
        && !request.path().trim_end_matches('/').ends_with("/mlflow/server-info")
}
