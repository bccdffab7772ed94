//! What every handler can reach.

use actix_web::web::Data;

use crate::artifacts::Artifacts;
use crate::domain::validate::Limits;
use crate::store::Store;

/// The state shared by all workers, as handlers take it.
pub type App = Data<AppState>;

/// The parts of a running server.
pub struct AppState {
    /// The database.
    pub store: Store,
    /// The bytes of artifacts.
    pub artifacts: Artifacts,
    /// The limits on what clients may send.
    pub limits: Limits,
}
