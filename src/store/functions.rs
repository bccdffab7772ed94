//! Functions that SQLite lacks and stock's server adds to it: `REGEXP` and an aggregate for percentiles.

use std::sync::{Mutex, PoisonError};

use diesel::sql_types::{Double, Nullable, Text};
use diesel::sqlite::SqliteAggregateFunction;
use diesel::{QueryResult, SqliteConnection};
use regex::Regex;

#[diesel::declare_sql_function]
extern "SQL" {
    /// Says whether a regular expression is found in a text: `text REGEXP pattern`.
    fn regexp(pattern: Text, text: Nullable<Text>) -> Nullable<diesel::sql_types::Bool>;

    /// Returns the percentile (from 0 to 100) of numbers, between the two nearest.
    #[aggregate]
    fn percentile_of(percentage: Double, number: Nullable<Double>) -> Nullable<Double>;
}

/// Adds the functions to a connection.
///
/// Upstream: `mlflow.store.db.utils`. Differs: regular expressions are Rust's, which have no look-around and no
/// references back; one that cannot be read is found nowhere, as under stock.
pub(super) fn register(conn: &mut SqliteConnection) -> QueryResult<()> {
    // The last pattern, since a statement asks for the same one again and again.
    let last: Mutex<Option<(String, Option<Regex>)>> = Mutex::new(None);
    regexp_utils::register_impl(conn, move |pattern: String, text: Option<String>| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
            let regex = Regex::new(&pattern).ok();
            *last = Some((pattern, regex));
        }
        let regex = last.as_ref().and_then(|(_, regex)| regex.as_ref());
        text.map(|text| regex.is_some_and(|regex| regex.is_match(&text)))
    })?;
    percentile_of_utils::register_impl::<Percentile, _, _>(conn)
}

/// The numbers of one group.
#[derive(Debug, Default)]
struct Percentile {
    numbers: Vec<f64>,
    percentage: f64,
}

impl SqliteAggregateFunction<(f64, Option<f64>)> for Percentile {
    type Output = Option<f64>;

    fn step(&mut self, (percentage, number): (f64, Option<f64>)) {
        self.numbers.extend(number);
        self.percentage = percentage;
    }

    fn finalize(aggregator: Option<Self>) -> Option<f64> {
        aggregator.and_then(Self::value)
    }
}

impl Percentile {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among numbers that fit into memory"
    )]
    fn value(mut self) -> Option<f64> {
        let last = self.numbers.len().checked_sub(1)?;
        let place = self.percentage / 100.0 * last as f64;
        let (_, low, above) = self.numbers.select_nth_unstable_by(place as usize, f64::total_cmp);
        let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*low);
        Some(*low + (place - place.floor()) * (next - *low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_the_two_nearest() {
        let of = |numbers: &[f64], percentage| Percentile { numbers: numbers.to_vec(), percentage }.value();
        for (numbers, percentage, want) in [
            (&[][..], 50.0, None),
            (&[7.0], 99.0, Some(7.0)),
            (&[3.0, 1.0, 2.0], 50.0, Some(2.0)),
            (&[4.0, 1.0, 2.0, 3.0], 50.0, Some(2.5)),
            (&[4.0, 1.0, 2.0, 3.0], 0.0, Some(1.0)),
            (&[4.0, 1.0, 2.0, 3.0], 100.0, Some(4.0)),
            (&[10.0, 20.0], 90.0, Some(19.0)),
        ] {
            assert_eq!(of(numbers, percentage), want, "{percentage} of {numbers:?}");
        }
    }
}
