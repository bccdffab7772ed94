//! The log: one `tracing` subscriber that writes to standard error, as plain lines or as JSON.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// When the filter's directives cannot be read.
pub fn init(settings: &LogSettings) -> Result<(), ParseError> {
    // What the HTTP library says at info about its threads repeats the server's own lines.
    let directives =
        format!("actix_server=warn,actix_http=warn,{}", settings.filter.as_deref().unwrap_or("info"));
    let filter = EnvFilter::try_new(directives)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let started = match settings.format {
        LogFormat::Text => {
            registry.with(lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr()))).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
    Ok(())
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
