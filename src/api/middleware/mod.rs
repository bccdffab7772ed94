//! What happens to every request before and after its handler, from the outside in: the pace of clients, the request log
//! and the metrics, the slashes at the start of a path, the refusal of workspaces, the security rules, the guard against
//! panics.

pub mod guard;
pub mod metrics;
pub mod pace;
mod pattern;
pub mod request_log;
pub mod security;
pub mod slashes;
pub mod workspace;

/// What asks whether the server is well: answered without and below the prefix, to whatever host, and no news.
pub(super) const PROBES: [&str; 3] = ["/health", "/version", "/ready"];
