//! The one type for a path from a client: it rules out path traversal.

use std::fmt;

use crate::domain::artifact_uri::decode_fully;
use crate::domain::{Error, ErrorCode, Result};

/// Temporary files of uploads have this prefix: never listed, never served, never named by a client. It is
/// stock's, so that a stock server on the same folder does not list ours either.
pub(super) const UPLOAD_PREFIX: &str = ".artifact.uploading.";

/// A normalised relative path: names joined by single slashes, none of them empty, `.` or `..`; the empty
/// path is the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Parses a client's path. Percent-encoding is decoded repeatedly until none is left, since a later layer
    /// might decode again.
    ///
    /// Upstream: `validate_path_is_safe`, with `os.path.normpath`. Differs: a NUL byte is refused (stock
    /// writes `%00` into the name), and so is traversal with `\` as separator; stock's detour through URL
    /// parsing, which eats a leading space and a trailing `;` or `?`, is not taken.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`, "Invalid path", for everything that could lead elsewhere.
    pub fn parse(text: &str) -> Result<Self> {
        Self::normalised(&validated(text)?)
    }

    /// Reads the path of a file that is to be written.
    ///
    /// Upstream: `verify_artifact_path`, `_verify_artifact_file_name`.
    ///
    /// # Errors
    /// As [`ArtifactPath::parse`]; also `INVALID_PARAMETER_VALUE` for a path without a file name and for
    /// reserved names, and `INTERNAL_ERROR`, as in stock, for a folder that is not normalised.
    pub fn parse_file(text: &str) -> Result<Self> {
        let text = validated(text)?;
        let (folder, name) = text.rsplit_once('/').unwrap_or(("", &text));
        let folder = folder.trim_end_matches('/');
        if matches!(name, "" | ".") {
            return Err(Error::invalid("Artifact path must include a filename (cannot end with '/')."));
        }
        let plain = Self::normalised(folder)?;
        if plain.as_str() != folder {
            return Err(Error::new(
                ErrorCode::InternalError,
                format!(
                    "Invalid artifact path: '{folder}'. Names may be treated as files in certain cases, and must \
                     not resolve to other names when treated as such. This name would resolve to '{plain}'"
                ),
            ));
        }
        if name.starts_with(UPLOAD_PREFIX) {
            return Err(Error::invalid(format!(
                "Invalid artifact file name: '{name}'. Artifact names starting with '{UPLOAD_PREFIX}' are reserved."
            )));
        }
        Self::normalised(&text)
    }

    /// Parses the path in an object store URI, where `%20` is no space but part of a key.
    ///
    /// # Errors
    /// As [`ArtifactPath::parse`].
    pub(super) fn literal(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('/');
        if is_safe(text) { Self::normalised(text) } else { Err(Error::invalid("Invalid path")) }
    }

    /// Takes `text` as it is, like a key of an object store.
    #[cfg(test)]
    pub(super) fn unchecked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Validates again: what followed `./` may be at the start now.
    fn normalised(text: &str) -> Result<Self> {
        let names: Vec<&str> = text.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        let text = names.join("/");
        if is_safe(&text) { Ok(Self(text)) } else { Err(Error::invalid("Invalid path")) }
    }

    /// Returns the path of `other` below this one.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        match (self.is_root(), other.is_root()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{self}/{other}")),
        }
    }

    /// Returns the path as text, without a slash at either end; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether this is the empty path.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether this is `root` or lies below it.
    pub(super) fn is_within(&self, root: &Self) -> bool {
        let below = self.0.strip_prefix(&root.0);
        root.is_root() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns the folder of the path; the root's is the root.
    #[must_use]
    pub(super) fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default())
    }

    /// Returns the last name; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Says whether a name of the path has the upload prefix.
    pub fn is_reserved(&self) -> bool {
        self.0.split('/').any(|name| name.starts_with(UPLOAD_PREFIX))
    }
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns `text` decoded, with control characters escaped (`%0a`).
fn validated(text: &str) -> Result<String> {
    match decode_fully(text) {
        Some(text) if is_safe(&text) => Ok(escape_control(&text)),
        _ => Err(Error::invalid("Invalid path")),
    }
}

/// Applies the rules of all systems at once: traversal or absolute on any is refused on all.
fn is_safe(text: &str) -> bool {
    let has_drive = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && matches!(text.as_bytes().get(1..3), Some([b':', b'/' | b'\\']));
    let is_file_uri = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
    !text.contains(['#', '\0'])
        && !text.starts_with(['/', '\\'])
        && !has_drive
        && !is_file_uri
        && text.split(['/', '\\']).all(|name| name != "..")
}

fn escape_control(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() {
            out.extend(['%', hex_digit(c, 4), hex_digit(c, 0)]);
        } else {
            out.push(c);
        }
    }
    out
}

fn hex_digit(c: char, shift: u32) -> char {
    char::from_digit((u32::from(c) >> shift) & 0xf, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_kept_as_they_are() {
        for (text, want) in [
            ("", ""),
            ("a", "a"),
            ("a/b.txt", "a/b.txt"),
            ("a b/é/日本", "a b/é/日本"),
            ("a%20b", "a b"),
            ("%E6%97%A5", "日"),
            ("100%", "100%"),
            ("100%25", "100%"),
            ("a%2520b", "a b"),
            ("a+b", "a+b"),
            ("a//b/./c/", "a/b/c"),
            (".", ""),
            ("..a/b..", "..a/b.."),
            ("...", "..."),
            ("a:b", "a:b"),
            ("c:x", "c:x"),
            ("a\\b", "a\\b"),
            ("q?z", "q?z"),
            ("a;b", "a;b"),
            (" lead", " lead"),
            ("Note: x.txt", "Note: x.txt"),
            ("a%0Ab", "a%0ab"),
            ("a\tb", "a%09b"),
            ("%FF", "\u{fffd}"),
            ("~/x", "~/x"),
        ] {
            assert_eq!(ArtifactPath::parse(text).unwrap().as_str(), want, "{text:?}");
        }
    }

    /// The published path traversal attacks on MLflow's artifact endpoints since 2022, and variants.
    #[test]
    fn attacks_are_refused() {
        for text in [
            // CVE-2023-1177, CVE-2023-2780: plain climbing
            "..",
            "../x",
            "a/../b",
            "a/..",
            "../../../../etc/passwd",
            // CVE-2023-6909, CVE-2024-1483: URL fragments
            "#",
            "x#",
            "x#/../../etc/passwd",
            "%23/../etc",
            "a%2523b",
            // CVE-2023-6831: percent-encoding, also nested
            "%2e%2e/x",
            "%2E%2E%2Fx",
            "%252e%252e%252fx",
            "%25252e%25252e/x",
            "a/%2e%2e",
            "..%2fx",
            // CVE-2024-1560: encoded past the first check
            "%2F..%2Fx",
            "..%252f..%252fx",
            "a%2f..%2f..%2fx",
            // CVE-2023-2356, CVE-2024-2928, CVE-2024-3848: absolute paths and file URIs
            "/",
            "/etc/passwd",
            "//etc/passwd",
            "%2fetc/passwd",
            "%252fetc",
            "///x",
            "file:///etc/passwd",
            "file:/etc",
            "file:x",
            "FILE:///etc",
            "file%3a///etc",
            "file:",
            // CVE-2023-6753 and CVE-2023-3765 on Windows: backslashes and drive letters
            "..\\x",
            "a\\..\\..\\x",
            "..%5cx",
            "a/..\\..",
            "\\x",
            "\\\\server\\share",
            "%5c%5cserver",
            "./\\x",
            ".//C:/x",
            "C:/x",
            "C:\\x",
            "c%3A%5cx",
            "z:/",
            // cut by C libraries
            "a\0b",
            "a%00b",
            "..%00/x",
            "a%2500",
            // more layers than anybody needs
            "%25252525252525252525252525252e%2e/x",
        ] {
            let error = ArtifactPath::parse(text).map(|p| p.to_string()).unwrap_err();
            assert_eq!(error.message, "Invalid path", "{text:?}");
            assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{text:?}");
            assert!(ArtifactPath::parse_file(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn files_to_write_need_a_plain_folder_and_a_free_name() {
        for (text, code, message) in [
            ("a/", ErrorCode::InvalidParameterValue, "Artifact path must include a filename"),
            ("", ErrorCode::InvalidParameterValue, "Artifact path must include a filename"),
            ("a/.", ErrorCode::InvalidParameterValue, "Artifact path must include a filename"),
            ("./a", ErrorCode::InternalError, "Invalid artifact path: '.'. Names may be treated"),
            ("a//b/c", ErrorCode::InternalError, "Invalid artifact path: 'a//b'. Names may be treated"),
            (
                "a/.artifact.uploading.x",
                ErrorCode::InvalidParameterValue,
                "Invalid artifact file name: '.artifact.uploading.x'. Artifact names starting with",
            ),
        ] {
            let error = ArtifactPath::parse_file(text).unwrap_err();
            assert!(error.message.starts_with(message), "{text}: {}", error.message);
            assert_eq!(error.code, code, "{text}");
        }
        assert_eq!(ArtifactPath::parse_file("a//b").unwrap().as_str(), "a/b");
        assert_eq!(ArtifactPath::parse_file("a b%2Fc").unwrap().as_str(), "a b/c");
    }

    proptest! {
        /// Whatever comes in: what comes out has only plain names, for any system's idea of a separator.
        #[test]
        fn no_path_leaves_its_folder(text in r"(\.|/|\\|%2e|%2f|%5c|%25|%00|#|:|[a-cC]|\PC){0,24}") {
            if let Ok(path) = ArtifactPath::parse(&text) {
                for name in path.as_str().split(['/', '\\']) {
                    prop_assert_ne!(name, "..");
                }
                prop_assert!(!path.as_str().starts_with(['/', '\\']));
                prop_assert!(path.as_str().split('/').all(|name| name != "."));
                prop_assert!(!path.as_str().contains(|c: char| c == '#' || c.is_ascii_control()));
                // parsing is idempotent, for clients that send back a listed path
                prop_assert_eq!(ArtifactPath::parse(path.as_str()).unwrap(), path);
            }
        }
    }
}
