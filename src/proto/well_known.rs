//! Protobuf's well-known types, which have a JSON form of their own: times and durations as strings, a field
//! mask as a list in a string, any value as it is.
//!
//! Upstream: `google.protobuf.internal.well_known_types`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

use super::loose::{self, Json};

const NANOS_PER_SECOND: f64 = 1e9;
/// The seconds of the years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A moment, as in `2026-01-31T12:00:00.500Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A length of time, as in `1.500s`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds beyond them, of the same sign.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Most names in a [`FieldMask`], many times what a message has: each takes the memory of many commas.
const MAX_PATHS: usize = 64;

/// Names of fields in `snake_case`; JSON has them in `camelCase`, separated by commas.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct FieldMask {
    /// The names, in their order.
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
}

/// Any JSON, by its text as Python's `json.dumps` writes it; all its numbers are floats. Differs from protobuf's
/// message in its binary form, which nothing here sends or takes.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Value {
    /// The text.
    #[prost(string, tag = "1")]
    pub json: String,
}

/// A string that lacks its required form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not of the form that its field asks for")
    }
}

impl Timestamp {
    /// Converts milliseconds since the Unix epoch.
    pub fn from_millis(millis: i64) -> Self {
        let nanos = i32::try_from(millis.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
        Self { seconds: millis.div_euclid(1000), nanos }
    }

    /// Returns the milliseconds since the Unix epoch, cut.
    pub fn millis(&self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

impl Duration {
    /// Converts milliseconds.
    pub fn from_millis(millis: i64) -> Self {
        Self { seconds: millis / 1000, nanos: i32::try_from(millis % 1000).unwrap_or_default() * 1_000_000 }
    }

    /// Returns the milliseconds, cut.
    pub fn millis(&self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

impl Value {
    /// Makes a value of JSON.
    pub fn of(json: &Json) -> Self {
        let mut text = String::new();
        write_value(json, &mut text);
        Self { json: text }
    }

    /// Makes a value of a text that is JSON; `None` if it is not.
    pub fn of_text(text: &str) -> Option<Self> {
        Json::parse(text.as_bytes()).map(|json| Self::of(&json))
    }
}

/// Writes with spaces behind commas and colons, and every number as a float.
fn write_value(json: &Json, out: &mut String) {
    match json {
        Json::Int(digits) => out.push_str(&number(digits.parse().unwrap_or(f64::NAN))),
        Json::Float(value) => out.push_str(&number(*value)),
        Json::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_value(item, out);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                loose::write_string(name, out);
                out.push_str(": ");
                write_value(value, out);
            }
            out.push('}');
        }
        simple => out.push_str(&simple.dumps()),
    }
}

fn number(value: f64) -> String {
    Json::Float(value).dumps()
}

/// Writes the fraction of a second with as few groups of three digits as it needs.
fn write_fraction(nanos: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match nanos {
        0 => Ok(()),
        nanos if nanos % 1_000_000 == 0 => write!(f, ".{:03}", nanos / 1_000_000),
        nanos if nanos % 1000 == 0 => write!(f, ".{:06}", nanos / 1000),
        nanos => write!(f, ".{nanos:09}"),
    }
}

/// Parses the digits behind a decimal point.
#[expect(clippy::cast_possible_truncation, reason = "less than a second")]
fn read_fraction(digits: &str) -> Result<i32, Malformed> {
    if digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Malformed);
    }
    let fraction: f64 = format!("0.{digits}").parse().map_err(|_e| Malformed)?;
    Ok((fraction * NANOS_PER_SECOND).round() as i32)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        write_fraction(self.nanos, f)?;
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let zone = text.find('Z').or_else(|| text.find('+')).or_else(|| text.rfind('-')).ok_or(Malformed)?;
        let (time, zone) = text.split_at(zone);
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let nanos = if fraction.is_empty() { 0 } else { read_fraction(fraction)? };
        let (seconds, ahead) = (read_seconds(time).ok_or(Malformed)?, read_zone(zone).ok_or(Malformed)?);
        let seconds =
            seconds.checked_sub(ahead).filter(|seconds| TIMES.contains(seconds)).ok_or(Malformed)?;
        Ok(Self { seconds, nanos })
    }
}

/// Reads `2026-01-31T12:00:00` as seconds since the Unix epoch.
fn read_seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let number = |text: &str, digits: usize, range: std::ops::RangeInclusive<i64>| {
        let is_number = (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten().filter(|n| range.contains(n))
    };
    let mut parts = date.split('-');
    let year = number(parts.next().filter(|year| year.len() == 4)?, 4, 1..=9999)?;
    let month = number(parts.next()?, 2, 1..=12)?;
    let day = number(parts.next()?, 2, 1..=31)?;
    let mut clock = time.split(':');
    let hour = number(clock.next()?, 2, 0..=23)?;
    let minute = number(clock.next()?, 2, 0..=59)?;
    let second = number(clock.next()?, 2, 0..=59)?;
    let days = days_of(year, month, day);
    let is_whole = parts.next().is_none() && clock.next().is_none() && date_of(days) == (year, month, day);
    is_whole.then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Reads `Z` or `+02:00` as seconds ahead of UTC.
fn read_zone(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let offset = minutes.checked_mul(60)?;
    match text.as_bytes().first() {
        Some(b'+') => Some(offset),
        Some(b'-') => offset.checked_neg(),
        _ => None,
    }
}

/// Returns year, month and day of a day since the epoch, counting in eras of 400 years that begin on 1 March.
const fn date_of(days: i64) -> (i64, i64, i64) {
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

/// Returns the day since the epoch of a date: the inverse of [`date_of`].
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds < 0 || self.nanos < 0 {
            f.write_str("-")?;
        }
        write!(f, "{}", self.seconds.unsigned_abs())?;
        write_fraction(self.nanos.abs(), f)?;
        f.write_str("s")
    }
}

impl FromStr for Duration {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const LIMIT_SECONDS: u64 = 315_576_000_000;
        let number = text.strip_suffix('s').ok_or(Malformed)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let seconds: i64 = whole.parse().map_err(|_e| Malformed)?;
        let nanos = if fraction.is_empty() { 0 } else { read_fraction(fraction)? };
        if seconds.unsigned_abs() > LIMIT_SECONDS {
            return Err(Malformed);
        }
        Ok(Self { seconds, nanos: if whole.starts_with('-') { -nanos } else { nanos } })
    }
}

impl fmt::Display for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, path) in self.paths.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            let mut words = path.split('_');
            f.write_str(words.next().unwrap_or_default())?;
            for word in words {
                let mut letters = word.chars();
                letters.next().map_or(Ok(()), |c| write!(f, "{}", c.to_uppercase()))?;
                f.write_str(letters.as_str())?;
            }
        }
        Ok(())
    }
}

impl FromStr for FieldMask {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut paths = Vec::new();
        for camel in text.split(',').filter(|_| !text.is_empty()) {
            if paths.len() == MAX_PATHS {
                return Err(Malformed);
            }
            let mut path = String::with_capacity(camel.len() + 4);
            for c in camel.chars() {
                match c {
                    '_' => return Err(Malformed),
                    c if c.is_uppercase() => {
                        path.push('_');
                        path.extend(c.to_lowercase());
                    }
                    c => path.push(c),
                }
            }
            paths.push(path);
        }
        Ok(Self { paths })
    }
}

macro_rules! as_text {
    ($($message:ty),+) => {
        $(
            impl Serialize for $message {
                fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                    s.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $message {
                fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                    let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                    text.parse().map_err(D::Error::custom)
                }
            }
        )+
    };
}

as_text!(Timestamp, Duration, FieldMask);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.json.clone()).map_err(S::Error::custom)?.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Not through `RawValue`, which a reader of values already read cannot give.
        let value = serde_json::Value::deserialize(d)?;
        Self::of_text(&value.to_string()).ok_or_else(|| D::Error::custom("not JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values were taken from Python's protobuf.
    #[test]
    fn times_are_read_and_written_as_protobuf_does() {
        for (text, want) in [
            ("2024-01-01T00:00:00Z", Some("2024-01-01T00:00:00Z")),
            ("2024-01-01T00:00:00.5Z", Some("2024-01-01T00:00:00.500Z")),
            ("2024-01-01T00:00:00.123456789Z", Some("2024-01-01T00:00:00.123456789Z")),
            ("2024-01-01T00:00:00.1234567Z", Some("2024-01-01T00:00:00.123456700Z")),
            ("2024-01-01T00:00:00+02:00", Some("2023-12-31T22:00:00Z")),
            ("2024-02-29T23:59:59-01:30", Some("2024-03-01T01:29:59Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("2024-01-01T00:00:00-100:200", Some("2024-01-05T07:20:00Z")),
            ("9999-12-31T23:59:59-01:00", None),
            ("0001-01-01T00:00:00+01:00", None),
            ("2024-01-01T00:00:00+9223372036854775807:00", None),
            ("2024-01-01T00:00:00--9223372036854775808:00", None),
            ("2024-01-01T00:00:60Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-01-01", None),
            ("bad", None),
            ("", None),
        ] {
            let read = text.parse::<Timestamp>().ok().map(|time| time.to_string());
            assert_eq!(read.as_deref(), want, "{text}");
        }
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(-1).millis(), -1);
    }

    #[test]
    fn durations_are_read_and_written_as_protobuf_does() {
        for (text, want) in [
            ("1s", Some(("1s", 1000))),
            ("1.5s", Some(("1.500s", 1500))),
            ("-1s", Some(("-1s", -1000))),
            ("-0.5s", Some(("-0.500s", -500))),
            ("1.0000001s", Some(("1.000000100s", 1000))),
            ("0s", Some(("0s", 0))),
            ("-315576000000.5s", Some(("-315576000000.500s", -315_576_000_000_500))),
            ("315576000001s", None),
            ("-9223372036854775808s", None),
            ("bad", None),
            ("1", None),
        ] {
            let read = text.parse::<Duration>().ok().map(|d| (d.to_string(), d.millis()));
            assert_eq!(read, want.map(|(text, ms)| (text.to_owned(), ms)), "{text}");
        }
        assert_eq!(Duration::from_millis(-1500).to_string(), "-1.500s");
    }

    #[test]
    fn masks_are_read_in_camel_case() {
        let read = |text: &str| text.parse::<FieldMask>().map(|mask| mask.paths);
        assert_eq!(read(&",".repeat(MAX_PATHS - 1)).unwrap().len(), MAX_PATHS);
        assert_eq!(read(&",".repeat(MAX_PATHS)), Err(Malformed));
        assert_eq!(read("assessmentName,feedback.value").unwrap(), ["assessment_name", "feedback.value"]);
        assert_eq!(read("").unwrap(), [""; 0]);
        assert_eq!(read("a_b"), Err(Malformed));
        for text in ["", "assessmentName,feedback.value", "A,É,,aBC"] {
            assert_eq!(text.parse::<FieldMask>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn numbers_of_values_are_floats() {
        for (text, want) in [
            ("5", "5.0"),
            ("{\"b\":[1,\"a\",null,true],\"a\":1e300}", "{\"b\": [1.0, \"a\", null, true], \"a\": 1e+300}"),
            ("\"é\"", "\"\\u00e9\""),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(value.json, want);
            assert_eq!(serde_json::to_string(&value).unwrap(), want);
        }
    }
}
