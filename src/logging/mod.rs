//! The log: one `tracing` subscriber that writes to standard error, as plain lines or as JSON.

mod client_faults;
mod lines;

use std::io;

use anyhow::{Context, Result};
use prometheus::IntCounter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::client_faults::WithoutClientFaults;
use self::lines::Lines;
use crate::config::{LogFormat, LogSettings};

/// What the HTTP library says at info about its threads repeats the server's own lines.
const OF_LIBRARIES: &str = "actix_server=warn,actix_http=warn";

/// The log of this process; flushed on drop.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    lost: IntCounter,
}

impl Log {
    /// Counts the lines dropped because of a slow reader.
    pub const fn lost_lines(&self) -> &IntCounter {
        &self.lost
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.settle();
    }
}

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// When the filter's directives cannot be read.
pub fn init(settings: &LogSettings) -> Result<Log> {
    let directives = format!("{OF_LIBRARIES},{}", settings.filter.as_deref().unwrap_or("info"));
    let filter = EnvFilter::try_new(directives).context("the log filter cannot be read")?;
    let registry = tracing_subscriber::registry().with(filter).with(WithoutClientFaults);
    let lost =
        IntCounter::new("ferroflow_log_lines_lost_total", "Lines of the log that nobody read in time")?;
    let say = |lost| tracing::warn!("lost {lost} lines of the log, which nobody read in time");
    let log = Log { lines: Lines::start(io::stderr(), lost.clone(), say)?, lost };
    let lines = tracing_subscriber::fmt::layer().with_writer(log.lines.clone()).with_target(false);
    let started = match settings.format {
        LogFormat::Text => {
            registry.with(lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr()))).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
    // Panic messages go the same way: written by the thread itself they could block.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(log)
}

/// Translates a level as Python's logging names it into a filter directive.
///
/// Upstream: `MLFLOW_LOGGING_LEVEL`.
pub fn python_level(level: &str) -> Option<&'static str> {
    Some(match level.to_ascii_uppercase().as_str() {
        "NOTSET" | "TRACE" => "trace",
        "DEBUG" => "debug",
        "INFO" => "info",
        "WARN" | "WARNING" => "warn",
        "ERROR" | "CRITICAL" | "FATAL" => "error",
        _ => return None,
    })
}
