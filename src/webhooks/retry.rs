//! The retry policy.
//!
//! Upstream: `mlflow.webhooks.delivery._create_webhook_session`, which leaves it to urllib3's `Retry`.

use std::time::Duration;

use super::send::{Answer, Failure};

/// Retryable statuses.
const PASSING: [u16; 5] = [429, 500, 502, 503, 504];
/// Statuses retryable with `Retry-After`.
const PASSING_IF_DATED: [u16; 3] = [413, 429, 503];
/// The maximum backoff.
const LONGEST: Duration = Duration::from_mins(1);
/// The maximum of `Retry-After`.
const LONGEST_ASKED: Duration = Duration::from_hours(6);

/// Returns the backoff after attempt number `attempt`, counted from 1; `None` to give up. The first retry
/// comes at once, later ones after 2, 4, 8 … s with a jitter of up to 1 s; `Retry-After` takes precedence.
pub(super) fn delay(attempt: u32, result: &Result<Answer, Failure>, max_retries: u32) -> Option<Duration> {
    let (may_pass, asked) = match result {
        Ok(Answer { status, retry_after, .. }) => {
            let is_dated = retry_after.is_some() && PASSING_IF_DATED.contains(status);
            (is_dated || PASSING.contains(status), *retry_after)
        }
        Err(failure) => (failure.may_pass, None),
    };
    if !may_pass || attempt > max_retries {
        return None;
    }
    if let Some(asked) = asked.filter(|asked| !asked.is_zero()) {
        return Some(asked.min(LONGEST_ASKED));
    }
    if attempt == 1 {
        return Some(Duration::ZERO);
    }
    let jitter = Duration::from_secs_f64(rand::random_range(0.0..1.0));
    Some((Duration::from_secs(1 << (attempt - 1).min(6)) + jitter).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay_after(attempt: u32, status: u16, retry_after: Option<u64>, retries: u32) -> Option<Duration> {
        let retry_after = retry_after.map(Duration::from_secs);
        delay(attempt, &Ok(Answer { status, retry_after, body: String::new() }), retries)
    }

    #[test]
    fn repeats_what_may_pass() {
        for (status, retry_after, want) in [
            (200, None, false),
            (204, None, false),
            (302, None, false),
            (400, None, false),
            (404, Some(1), false),
            (413, None, false),
            (413, Some(1), true),
            (429, None, true),
            (500, None, true),
            (501, Some(1), false),
            (502, None, true),
            (503, Some(0), true),
            (504, None, true),
        ] {
            assert_eq!(delay_after(1, status, retry_after, 3).is_some(), want, "{status}");
            assert_eq!(delay_after(4, status, retry_after, 3), None);
            assert_eq!(delay_after(1, status, retry_after, 0), None);
        }
        let refused = Err(Failure::refused("SSRFProtectionError", "no".into()));
        assert_eq!(delay(1, &refused, 3), None);
    }

    #[test]
    fn waits_longer_each_time() {
        for (attempt, from, to) in [(1, 0, 0), (2, 2, 3), (3, 4, 5), (6, 32, 33), (7, 60, 60), (40, 60, 60)] {
            let wait = delay_after(attempt, 500, None, 100).unwrap();
            assert!(
                Duration::from_secs(from) <= wait && wait <= Duration::from_secs(to),
                "{attempt}: {wait:?}"
            );
        }
    }

    #[test]
    fn obeys_the_receiver() {
        assert_eq!(delay_after(1, 503, Some(7), 3), Some(Duration::from_secs(7)));
        assert_eq!(delay_after(3, 429, Some(100), 3), Some(Duration::from_secs(100)));
        assert_eq!(delay_after(1, 429, Some(1 << 40), 3), Some(LONGEST_ASKED));
        assert_eq!(delay_after(1, 429, Some(0), 3), Some(Duration::ZERO));
    }
}
