//! Semantic versions, and the text by which databases order their pre-releases.
//!
//! Upstream: `mlflow.utils.semver_utils`.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::{Error, Result};

const MAX_LENGTH: usize = 128;

/// The grammar of semver.org: no leading zeros in numbers, parts of letters, digits and hyphens.
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    let number = "(0|[1-9][0-9]*)";
    let part = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)";
    let word = "[0-9A-Za-z-]+";
    let text =
        format!(r"\A{number}\.{number}\.{number}(?:-({part}(?:\.{part})*))?(?:\+{word}(?:\.{word})*)?\z");
    Regex::new(&text).expect("the pattern is fixed")
});

/// What orders a version among others. Build metadata does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    /// The first number.
    pub major: i32,
    /// The second.
    pub minor: i32,
    /// The third.
    pub patch: i32,
    /// What orders pre-releases as a text.
    pub prerelease: String,
}

impl Precedence {
    /// Reads a version; errors name it `name`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `parse_semver`.
    pub fn parse(version: &str, name: &str) -> Result<Self> {
        let refuse =
            |why: &str| Err(Error::invalid(format!("Invalid semantic version for {name}: '{version}'{why}")));
        if version.chars().count() > MAX_LENGTH {
            return refuse(&format!(" (maximum length is {MAX_LENGTH} characters)"));
        }
        let Some(found) = GRAMMAR.captures(version) else { return refuse("") };
        let mut numbers = [0; 3];
        for ((number, label), i) in numbers.iter_mut().zip(["major", "minor", "patch"]).zip(1..) {
            match found.get(i).and_then(|digits| digits.as_str().parse().ok()) {
                Some(value) => *number = value,
                None => return refuse(&format!(" ({label} must be <= {})", i32::MAX)),
            }
        }
        let [major, minor, patch] = numbers;
        let prerelease = found.get(4).map_or_else(|| "2".into(), |parts| sort_key(parts.as_str()));
        Ok(Self { major, minor, patch, prerelease })
    }
}

/// Numbers before words, numbers by their length and digits, words by the codes of their letters in three digits and
/// an end that comes before every letter. A release, `2`, comes after all of them.
fn sort_key(prerelease: &str) -> String {
    let encode = |part: &str| {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            return format!("0{:03}{part}", part.len());
        }
        let codes: Vec<String> = part.bytes().map(|b| format!("{b:03}")).collect();
        format!("1{}000", codes.concat())
    };
    prerelease.split('.').map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_stock() {
        for (version, want) in [
            ("1.0.0", "2"),
            ("1.0.0+build.5", "2"),
            ("1.0.0-alpha.2", "109710811210409700000012"),
            ("1.0.0-alpha.10", "1097108112104097000000210"),
            ("1.0.0-beta.1", "109810111609700000011"),
        ] {
            assert_eq!(Precedence::parse(version, "v").unwrap().prerelease, want, "{version}");
        }
    }

    #[test]
    fn versions_are_ordered_as_semver_says() {
        let order = [
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-a",
            "1.0.0-a.1",
            "1.0.0-a.b",
            "1.0.0-a1",
            "1.0.0-b",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0-rc.1",
            "2.0.0",
        ];
        let read: Vec<_> = order.iter().map(|v| Precedence::parse(v, "v").unwrap()).collect();
        assert!(read.is_sorted());
    }

    #[test]
    fn others_are_refused() {
        for (version, why) in [
            ("1.0", ""),
            ("01.0.0", ""),
            ("v1.0.0", ""),
            ("1.0.0-", ""),
            ("1.0.0-01", ""),
            ("1.0.0\n", ""),
            ("", ""),
            ("1.0.2147483648", " (patch must be <= 2147483647)"),
            (&format!("1.0.0-{}", "x".repeat(123)), " (maximum length is 128 characters)"),
        ] {
            let error = Precedence::parse(version, "v").unwrap_err();
            assert_eq!(error.message, format!("Invalid semantic version for v: '{version}'{why}"));
        }
    }
}
