//! What every handler can reach.

use std::sync::Arc;

use actix_web::web::Data;

use super::memory::{Budget, Heavy};
use super::middleware::metrics::Metrics;
use crate::artifacts::Artifacts;
use crate::config::Config;
use crate::domain::trace::prices::Prices;
use crate::domain::validate::Limits;
use crate::store::Store;
use crate::webhooks::Webhooks;

/// The state shared by all workers, as handlers take it.
pub type App = Data<AppState>;

/// The parts of a running server.
pub struct AppState {
    /// The database.
    pub store: Arc<Store>,
    /// Who is told of changes.
    pub webhooks: Arc<Webhooks>,
    /// The bytes of artifacts.
    pub artifacts: Artifacts,
    /// The limits on what clients may send.
    pub limits: Limits,
    /// What models cost.
    pub prices: Arc<Prices>,
    /// The Prometheus metrics, if enabled.
    pub metrics: Option<Arc<Metrics>>,
    /// The memory budget.
    pub budget: Arc<Budget>,
    /// The thread pool.
    pub heavy: Heavy,
    /// The settings.
    pub config: Config,
}
