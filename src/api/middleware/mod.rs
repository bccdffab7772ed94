//! What happens to every request before and after its handler, from the outside in: the request log and the
//! metrics, the refusal of workspaces, the security rules, the guard against panics.

pub mod guard;
pub mod metrics;
mod pattern;
pub mod request_log;
pub mod security;
pub mod workspace;
