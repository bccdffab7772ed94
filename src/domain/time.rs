//! The clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time as ISO 8601 writes it, in UTC and to the microsecond, as in `2026-01-31T12:00:00.000001+00:00`.
///
/// Upstream: `datetime.now(timezone.utc).isoformat()`.
pub fn iso_now() -> String {
    iso(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Returns a time in milliseconds since the epoch, or before it, as ISO 8601 writes it: as [`iso_now`] does.
pub fn iso_ms(ms: i64) -> String {
    let millis = u32::try_from(ms.rem_euclid(1000)).unwrap_or_default();
    iso_at(ms.div_euclid(1000), millis * 1000)
}

fn iso(since_epoch: Duration) -> String {
    iso_at(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX), since_epoch.subsec_micros())
}

fn iso_at(seconds: i64, micros: u32) -> String {
    let (year, month, day) = date(seconds.div_euclid(86400));
    let seconds = seconds.rem_euclid(86400);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

/// Returns year, month and day of a day since the epoch, counting in eras of 400 years that begin on 1 March.
pub const fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_python_does() {
        for (seconds, micros, want) in [
            (0, 0, "1970-01-01T00:00:00+00:00"),
            (951_782_399, 1, "2000-02-28T23:59:59.000001+00:00"),
            (951_782_400, 999_999, "2000-02-29T00:00:00.999999+00:00"),
            (951_868_800, 0, "2000-03-01T00:00:00+00:00"),
            (1_735_689_599, 120_000, "2024-12-31T23:59:59.120000+00:00"),
            (4_107_542_400, 0, "2100-03-01T00:00:00+00:00"),
        ] {
            assert_eq!(iso(Duration::from_secs(seconds) + Duration::from_micros(micros)), want);
        }
        assert_eq!(iso_ms(1_700_000_000_500), "2023-11-14T22:13:20.500000+00:00");
        assert_eq!(iso_ms(-1), "1969-12-31T23:59:59.999000+00:00");
        assert_eq!(iso_ms(-86_400_000 * 719_162), "0001-01-01T00:00:00+00:00");
    }
}
