//! Normalised pointwise mutual information: how much more often two things happen together than by chance, from -1
//! (never) over 0 (by chance) to 1 (always).

/// How often each of two things happened, and both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Of how many.
    pub total: i64,
    /// The one.
    pub first: i64,
    /// The other.
    pub second: i64,
    /// Both.
    pub joint: i64,
}

/// What is added to each count so that few of them mislead less.
const JEFFREYS_PRIOR: f64 = 0.5;

impl Counts {
    /// Returns the measure as it is and a smoothed one; `None` where it is not defined.
    ///
    /// Upstream: `mlflow.store.analytics.trace_correlation.calculate_npmi_from_counts`.
    pub fn npmi(self) -> (Option<f64>, Option<f64>) {
        let Self { total, first, second, joint } = self;
        let cells = [joint, first - joint, second - joint, total - first - second + joint];
        if total <= 0 || first == 0 || second == 0 || cells.iter().any(|cell| *cell < 0) {
            return (None, None);
        }
        let exact = if joint == 0 { -1.0 } else { npmi(cells, 0.0) };
        (Some(exact), Some(npmi(cells, JEFFREYS_PRIOR)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of traces")]
fn npmi(cells: [i64; 4], smoothing: f64) -> f64 {
    let [_, only_first, only_second, neither] = cells;
    if only_first == 0 && only_second == 0 && neither == 0 {
        return 1.0;
    }
    let [joint, only_first, only_second, neither] = cells.map(|cell| cell as f64 + smoothing);
    let total = joint + only_first + only_second + neither;
    let (first, second) = (joint + only_first, joint + only_second);
    let information = joint.ln() + total.ln() - (first.ln() + second.ln());
    (information / -(joint.ln() - total.ln())).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measure_is_stocks() {
        for (total, first, second, joint, exact, smoothed) in [
            (100, 20, 15, 10, 0.522_878_7, 0.509_868_9),
            (16, 2, 14, 2, 0.064_215_0, 0.0),
            (10, 5, 5, 0, -1.0, -0.563_791_4),
            (10, 10, 10, 10, 1.0, 1.0),
        ] {
            let (got, got_smoothed) = Counts { total, first, second, joint }.npmi();
            assert!((got.unwrap() - exact).abs() < 1e-6, "{got:?} {exact}");
            assert!((got_smoothed.unwrap() - smoothed).abs() < 1e-6, "{got_smoothed:?} {smoothed}");
        }
        for (total, first, second, joint) in [(0, 0, 0, 0), (10, 0, 5, 0), (10, 5, 0, 0), (10, 5, 5, 6)] {
            assert!(Counts { total, first, second, joint }.npmi() == (None, None));
        }
    }
}
