//! Waiting for a database that is not up yet when the server starts: both are often started at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tracing::warn;

use super::conn::{Access, Conn, ConnSettings};
use super::dialect::Dialect;
use super::migrate::with_cause;
use super::uri::DatabaseUri;
use crate::domain::{Error, Result};

/// How long is waited unless the operator says otherwise: as long as stock does.
pub const PATIENCE: Duration = Duration::from_secs(101);
/// The pause after the first try; each is twice as long as the one before, and a tenth of a second longer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits until the database takes connections, and says in the log why it does not. A file is there or not.
///
/// Everything is tried again, also what a wrong password or an unknown database looks like: both pass where accounts are
/// made after the database has started, and which it is comes as a text in the language of the database. Who made a
/// mistake reads it in the log at once.
///
/// Upstream: `create_sqlalchemy_engine_with_retry`. Differs: the pauses end at five seconds instead of 51.
///
/// # Errors
/// `TEMPORARILY_UNAVAILABLE` with the reason of the last try.
pub async fn wait_for(uri: &DatabaseUri, patience: Duration) -> Result<()> {
    if uri.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let deadline = Instant::now() + patience;
    let shared = Arc::new(uri.clone());
    let mut pause = FIRST_PAUSE;
    loop {
        let uri = Arc::clone(&shared);
        let tried =
            spawn_blocking(move || Conn::open(&uri, Access::Read, &ConnSettings::default()).map(drop));
        let Err(error) = tried.await.map_err(Error::internal)? else { return Ok(()) };
        let error = with_cause(error);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error);
        }
        let next = pause.min(left);
        warn!("{shared} is not there yet, trying again in {:.1} s. {}", next.as_secs_f64(), error.message);
        tokio::time::sleep(next).await;
        pause = (pause * 2 + FIRST_PAUSE).min(LONGEST_PAUSE);
    }
}
