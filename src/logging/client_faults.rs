//! Filters out what the HTTP library logs as errors though clients cause it: malformed, oversized or slow
//! requests, and disconnects.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How its messages about connections and heads of requests begin. What it says of answers is the server's own.
const MESSAGES: [&str; 2] = ["stream error", "MAX_BUFFER_SIZE unprocessed data"];

/// Passes all events on but these.
pub(super) struct WithoutClientFaults;

impl<S: Subscriber> Layer<S> for WithoutClientFaults {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if !event.metadata().target().starts_with("actix_http::h1") {
            return true;
        }
        let mut message = IsClientFault(false);
        event.record(&mut message);
        !message.0
    }
}

struct IsClientFault(bool);

impl Visit for IsClientFault {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let text = format!("{value:?}");
            self.0 = MESSAGES.iter().any(|beginning| text.starts_with(beginning));
        }
    }
}
