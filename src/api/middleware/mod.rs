//! The middleware, from the outside in: slow-client timeout, request log and metrics, leading slashes,
//! refusal of workspaces, security rules, guard against panics.

pub mod guard;
pub mod metrics;
pub mod pace;
mod pattern;
pub mod request_log;
pub mod security;
pub mod slashes;
pub mod workspace;

/// Health probes: served with and without the prefix, for any `Host`, and no news in the log.
pub(super) const PROBES: [&str; 3] = ["/health", "/version", "/ready"];
