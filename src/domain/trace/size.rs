//! How much one export may hold.

use crate::domain::validate::{Limits, elements_setting};
use crate::domain::{Error, Result};
use crate::proto::otlp::count::Counts;

/// Returns how many messages of each kind an export may hold.
pub fn most(limits: &Limits) -> Counts {
    let all = limits.elements;
    Counts {
        resources: all / 50,
        scopes: all / 50,
        spans: all / 10,
        events: all / 5,
        links: all / 5,
        attributes: all,
        values: all,
    }
}

/// Checks how many messages an export holds.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`, with the kind of which there are too many.
pub fn check(counts: &Counts, limits: &Limits) -> Result<()> {
    let most = most(limits);
    for (kind, count, most) in [
        ("resources", counts.resources, most.resources),
        ("scopes", counts.scopes, most.scopes),
        ("spans", counts.spans, most.spans),
        ("events", counts.events, most.events),
        ("links", counts.links, most.links),
        ("attributes", counts.attributes, most.attributes),
        ("values", counts.values, most.values),
    ] {
        if count > most {
            return Err(Error::invalid(format!(
                "The export holds more than {most} {kind}, which are the most that are read. {}",
                elements_setting(limits)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_and_the_setting_are_named() {
        let limits = Limits { elements: 100, ..Limits::default() };
        assert!(check(&most(&limits), &limits).is_ok());
        let counts = Counts { spans: 11, ..Counts::default() };
        let message = check(&counts, &limits).unwrap_err().message;
        assert!(
            message.contains("more than 10 spans") && message.contains("--max-elements 100"),
            "{message}"
        );
    }
}
