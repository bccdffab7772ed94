//! The wildcards of `--allowed-hosts` and `--cors-allowed-origins`, as in Python's `fnmatch`,
//! case-insensitive.
//!
//! Differs: patterns of IP addresses match only those, so that `10.*` does not let `10.evil.com` in, whose
//! owner may point it anywhere.

use std::net::{Ipv4Addr, Ipv6Addr};

use regex::Regex;

/// A literal or a pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    shape: Shape,
    /// Whether only IP addresses match.
    is_of_addresses: bool,
}

#[derive(Debug)]
enum Shape {
    /// This text.
    Exact(String),
    /// A prefix match.
    Prefix(String),
    /// Anything else.
    Glob(Regex),
}

impl Pattern {
    /// Parses a pattern. Only a `*` makes one: in stock other text is literal.
    pub(super) fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let is_of_addresses = text.contains('*') && is_of_addresses(&text);
        Self { shape: Shape::new(text), is_of_addresses }
    }

    /// Says whether the value of a `Host` header matches. A pattern without a port matches any port.
    pub(super) fn matches_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        let fits = |text: &str| self.shape.matches(text);
        // Addresses of IPv6 may be listed without their brackets.
        (fits(&host) || fits(name) || fits(bare(name))) && self.means(name)
    }

    /// Says whether an origin matches: scheme, host and, if it is not the default, port.
    pub(super) fn matches_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.shape.matches(&origin) && self.means(without_port(without_scheme(&origin)))
    }

    fn means(&self, name: &str) -> bool {
        let is_address = || name.parse::<Ipv4Addr>().is_ok() || bare(name).parse::<Ipv6Addr>().is_ok();
        !self.is_of_addresses || is_address()
    }
}

impl Shape {
    fn new(text: String) -> Self {
        if !text.contains('*') {
            return Self::Exact(text);
        }
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains(['*', '?', '[']) => Self::Prefix(prefix.to_owned()),
            // An invalid pattern can only match itself.
            _ => Regex::new(&glob_to_regex(&text)).map_or_else(|_| Self::Exact(text), Self::Glob),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(want) => text == want,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Glob(regex) => regex.is_match(text),
        }
    }
}

/// Says whether a pattern has digits and no letters before its port: whatever its wildcards stand for, only
/// an IP address was meant. (IPv6 addresses with letters have colons or brackets, invalid in host names.)
fn is_of_addresses(pattern: &str) -> bool {
    let host = without_scheme(pattern);
    let name = host.split_once(':').filter(|(_, port)| !port.contains(':')).map_or(host, |(name, _)| name);
    name.contains(|c: char| c.is_ascii_digit()) && !name.contains(char::is_alphabetic)
}

fn without_scheme(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_scheme, rest)| rest)
}

/// Returns the host of a `Host` header, or of an origin without its scheme.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // A second colon means IPv6 without brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            if name.ends_with(']') || !name.contains(':') { name } else { host }
        }
        _ => host,
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
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

/// Parses what follows a `[`: the character class as a regular expression, and the rest.
fn class(rest: &str) -> Option<(String, &str)> {
    let (negation, body) = rest.strip_prefix('!').map_or(("", rest), |body| ("^", body));
    // A bracket right at the start is a literal member.
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
            assert_eq!(Shape::new(pattern.to_owned()).matches(text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn hosts_are_meant_with_any_port_and_in_any_case() {
        for (pattern, host, want) in [
            ("h", "h", true),
            ("h", "h:5000", true),
            ("MLflow.Corp.com", "mlflow.corp.COM:443", true),
            ("h:5000", "h:5000", true),
            ("h:5000", "h:5001", false),
            ("h:5000", "h", false),
            ("h:*", "h:1", true),
            ("h", "h.evil.com", false),
            ("h", "evil.com:h", false),
            ("h", "h:x", false),
            ("h", "h:5000:1", false),
            ("*.corp.com", "a.corp.com:5000", true),
            ("*.corp.com", "a.corp.com:5000.evil", false),
            ("[::1]", "[::1]:80", true),
            ("::1", "[::1]:80", true),
            ("::1", "[::1]", true),
            ("fd00:*", "[fd00:1::2]:5000", true),
            ("fd00:*", "[fd01::2]:5000", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches_host(host), want, "{pattern} {host}");
        }
    }

    #[test]
    fn patterns_of_addresses_mean_addresses() {
        for (pattern, host, want) in [
            ("10.*", "10.1.2.3", true),
            ("10.*", "10.1.2.3:5000", true),
            ("10.*", "110.1.1.1", false),
            ("10.*", "10.evil.com", false),
            ("10.*", "10.evil.com:5000", false),
            ("10.*", "10.0.0.1.evil.com", false),
            ("10.*", "10.0.0.1@evil.com", false),
            ("10.*", "10.0.0.999", false),
            ("10.*:5000", "10.0.0.1:5000", true),
            ("10.*:5000", "10.evil.com:5000", false),
            ("1*", "1.evil.com", false),
            ("[12]0.*", "10.evil.com", false),
            ("[12]0.*", "20.0.0.1", true),
            ("192.168.*", "192.168.evil.com", false),
            ("192.168.?.*", "192.168.1.7", true),
            ("192.168.[12].*", "192.168.1.evil.com", false),
            ("172.16.*.*", "172.16.a.b", false),
            // These name hosts.
            ("10.*.corp.com", "10.a.corp.com", true),
            ("4*.corp.com", "42.corp.com", true),
            ("*", "evil.com", true),
            ("*:50*", "evil.com:5000", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches_host(host), want, "{pattern} {host}");
        }
        for (pattern, origin, want) in [
            ("http://10.*", "http://10.0.0.1:3000", true),
            ("http://10.*", "http://10.evil.com", false),
            ("https://*.corp.com", "https://a.corp.com", true),
            ("https://*.CORP.com", "https://a.corp.com", true),
            ("https://*.corp.com", "https://a.corp.com:8443", false),
            ("https://*.corp.com", "http://a.corp.com", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches_origin(origin), want, "{pattern} {origin}");
        }
    }
}
