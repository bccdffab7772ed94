//! HTTP. Handlers are thin: extract, validate, one call, reply. Here is every route, by resource.

pub mod extract;
pub mod reply;
pub mod state;
