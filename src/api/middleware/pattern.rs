//! The wildcards of `--allowed-hosts` and `--cors-allowed-origins`, as Python's `fnmatch` reads them.

use regex::Regex;

/// A text, or a pattern of texts.
#[derive(Debug)]
pub(super) enum Pattern {
    /// This text.
    Exact(String),
    /// What begins with this text.
    Prefix(String),
    /// Anything else.
    Glob(Regex),
}

impl Pattern {
    /// Reads a pattern. Only a `*` makes one: stock takes a text without it as it is.
    pub(super) fn new(text: &str) -> Self {
        if !text.contains('*') {
            return Self::Exact(text.to_owned());
        }
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains(['*', '?', '[']) => Self::Prefix(prefix.to_owned()),
            // What makes no pattern can only match itself.
            _ => Regex::new(&glob_to_regex(text)).map_or_else(|_| Self::Exact(text.to_owned()), Self::Glob),
        }
    }

    /// Says whether `text` is meant.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(want) => text == want,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Glob(regex) => regex.is_match(text),
        }
    }

    /// Says whether `text` is meant and nothing else is.
    pub(super) fn is_exactly(&self, text: &str) -> bool {
        matches!(self, Self::Exact(want) if want == text)
    }
}

/// Translates `*`, `?`, `[abc]` and `[!abc]`.
fn glob_to_regex(glob: &str) -> String {
    let mut regex = String::from(r"(?s)\A");
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match class(rest) {
                Some((set, after)) => {
                    regex.push_str(&set);
                    rest = after;
                }
                None => regex.push_str(r"\["),
            },
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex + r"\z"
}

/// Reads the characters after a `[`: the set as a regular expression, and what follows it.
fn class(rest: &str) -> Option<(String, &str)> {
    let (negation, body) = rest.strip_prefix('!').map_or(("", rest), |body| ("^", body));
    // A bracket right at the beginning belongs to the set.
    let from = usize::from(body.starts_with(']'));
    let end = body.get(from..)?.find(']')? + from;
    let escape = |c: char| if c == '-' || c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") };
    let set: String = body.get(..end)?.chars().map(escape).collect();
    Some((format!("[{negation}{set}]"), body.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_like_fnmatch() {
        for (pattern, text, want) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a?c", "abc", false),
            ("10.*", "10.1.2.3", true),
            ("10.*", "110.1", false),
            ("*.corp.com", "a.corp.com", true),
            ("*.corp.com", "a.corp.com.evil", false),
            ("a*c?", "abbbcd", true),
            ("a*c?", "abbbc", false),
            ("[[]::1]:*", "[::1]:80", true),
            ("h[0-3]*x", "h2-x", true),
            ("h[!0-3]*x", "h2-x", false),
            ("h[]]*x", "h]x", true),
            ("h[*", "h[1", true),
            ("a.*z", "abz", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), want, "{pattern} {text}");
        }
    }
}
