//! URLs of webhooks, and others that something is to be sent to or fetched from, read as Python's `urlsplit` reads it, so that the same ones are refused with the same words.
//! Where its host leads is for whoever connects there.

use std::net::IpAddr;

use crate::domain::{Error, Result, python};

/// Returns the host that `url` names, in lower case and without brackets.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for no URL, one whose scheme is not among `schemes` and one without a host.
/// Upstream: `_validate_webhook_url`.
pub fn host_of(url: &str, schemes: &[String]) -> Result<String> {
    let shown = python::repr(url);
    if url.trim().is_empty() {
        return Err(Error::invalid(format!("Webhook URL cannot be empty or just whitespace: {shown}")));
    }
    let (scheme, authority) = split(url).map_err(|problem| {
        Error::invalid(format!("Invalid webhook URL {shown}: ValueError({})", python::repr(&problem)))
    })?;
    if !schemes.contains(&scheme) {
        return Err(Error::invalid(format!(
            "Invalid webhook URL scheme: {}. Allowed schemes are: {}.",
            python::repr(&scheme),
            schemes.join(", ")
        )));
    }
    let host = host_in(&authority);
    if host.is_empty() {
        return Err(Error::invalid(format!("Webhook URL must include a hostname: {shown}")));
    }
    Ok(host)
}

/// Returns the host that `url` names, by the rules for what stock calls `subject` and fetches or sends something to.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` as for [`host_of`], and for a name and password in it or an address in an old spelling.
/// Upstream: `_validate_public_https_url`.
pub fn public_host_of(url: &str, subject: &str, schemes: &[String]) -> Result<String> {
    let shown = python::repr(url);
    if url.trim().is_empty() {
        return Err(Error::invalid(format!("{subject} cannot be empty or just whitespace: {shown}")));
    }
    let (scheme, authority) = split(url).map_err(|problem| {
        Error::invalid(format!("Invalid {subject} {shown}: ValueError({})", python::repr(&problem)))
    })?;
    if !schemes.iter().any(|allowed| allowed.eq_ignore_ascii_case(&scheme)) {
        let mut allowed: Vec<String> = schemes.iter().map(|s| python::repr(&s.to_lowercase())).collect();
        allowed.sort();
        allowed.dedup();
        return Err(Error::invalid(format!(
            "Invalid {subject} scheme: {}. Allowed schemes are: {}.",
            python::repr(&scheme),
            allowed.join(", ")
        )));
    }
    let user = authority.rsplit_once('@').map(|(user, _host)| user);
    if user.is_some_and(|user| !user.trim_matches(':').is_empty()) {
        return Err(Error::invalid(format!("{subject} must not include embedded credentials: {shown}")));
    }
    let host = host_in(&authority);
    if host.is_empty() {
        return Err(Error::invalid(format!("{subject} must include a hostname: {shown}")));
    }
    let looks_like_address = host.contains(':') || host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_like_address && host.parse::<IpAddr>().is_err() {
        let host = python::repr(&host);
        return Err(Error::invalid(format!("{subject} host {host} is not a canonical IP address literal.")));
    }
    Ok(host)
}

/// Returns the scheme and what stands between `//` and the path.
fn split(url: &str) -> Result<(String, String), String> {
    let cleaned: String = url
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\r' | '\n'))
        .collect();
    let (scheme, rest) = split_scheme(&cleaned);
    let authority =
        rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let authority = authority.unwrap_or_default();
    check_brackets(authority)?;
    Ok((scheme, authority.to_owned()))
}

fn split_scheme(url: &str) -> (String, &str) {
    let Some((scheme, rest)) = url.split_once(':') else { return (String::new(), url) };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if is_scheme { (scheme.to_ascii_lowercase(), rest) } else { (String::new(), url) }
}

/// Upstream: `urllib.parse._check_bracketed_netloc`.
fn check_brackets(authority: &str) -> Result<(), String> {
    let (opens, closes) = (authority.contains('['), authority.contains(']'));
    if opens != closes {
        return Err("Invalid IPv6 URL".into());
    }
    if !opens {
        return Ok(());
    }
    let inside = authority.split_once('[').map_or("", |(_, rest)| rest);
    let inside = inside.split_once(']').map_or(inside, |(inside, _)| inside);
    match inside.split('%').next().unwrap_or_default().parse() {
        Ok(IpAddr::V6(_)) => Ok(()),
        Ok(IpAddr::V4(_)) => Err("An IPv4 address cannot be in brackets".into()),
        Err(_) => Err(format!("{} does not appear to be an IPv4 or IPv6 address", python::repr(inside))),
    }
}

fn host_in(authority: &str) -> String {
    let behind_user = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let host = match behind_user.split_once('[') {
        Some((_, bracketed)) => bracketed.split(']').next(),
        None => behind_user.split(':').next(),
    };
    host.unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https() -> Vec<String> {
        vec!["https".into()]
    }

    #[test]
    fn finds_the_host() {
        for (url, want) in [
            ("https://Example.COM/x", "example.com"),
            ("HTTPS://h", "h"),
            ("https://h:8443?x", "h"),
            ("https://u:p@h@real:1/", "real"),
            ("https://[::1]:8/", "::1"),
            (" \n https://h#f", "h"),
            ("ht\ntps://h\t/", "h"),
            ("https://127.1/", "127.1"),
            ("https://h\\@evil/", "evil"),
        ] {
            assert_eq!(host_of(url, &https()).unwrap(), want, "{url:?}");
        }
    }

    #[test]
    fn refuses_what_may_not_be_reached_with_the_texts_of_stock() {
        for (url, want) in [
            (" ", "Icon URL cannot be empty or just whitespace: ' '"),
            ("HTTP://h", "Invalid Icon URL scheme: 'http'. Allowed schemes are: 'https'."),
            ("https://u@h", "Icon URL must not include embedded credentials: 'https://u@h'"),
            ("https://:p@h", "Icon URL must not include embedded credentials: 'https://:p@h'"),
            ("https:///x", "Icon URL must include a hostname: 'https:///x'"),
            ("https://127.1/", "Icon URL host '127.1' is not a canonical IP address literal."),
            ("https://2130706433/", "Icon URL host '2130706433' is not a canonical IP address literal."),
            ("https://0177.0.0.1/", "Icon URL host '0177.0.0.1' is not a canonical IP address literal."),
        ] {
            assert_eq!(public_host_of(url, "Icon URL", &https()).unwrap_err().message, want, "{url:?}");
        }
        for url in ["https://h/x", "https://@h", "https://1.2.3.4", "https://[::1]/", "https://1.example"] {
            assert!(public_host_of(url, "Icon URL", &https()).is_ok(), "{url:?}");
        }
    }

    #[test]
    fn refuses_with_the_texts_of_stock() {
        for (url, want) in [
            ("  ", "Webhook URL cannot be empty or just whitespace: '  '"),
            ("http://h", "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."),
            ("h/x", "Invalid webhook URL scheme: ''. Allowed schemes are: https."),
            ("//h/x", "Invalid webhook URL scheme: ''. Allowed schemes are: https."),
            ("https:///h", "Webhook URL must include a hostname: 'https:///h'"),
            ("https:h", "Webhook URL must include a hostname: 'https:h'"),
            ("https://:80/h", "Webhook URL must include a hostname: 'https://:80/h'"),
            ("https://[zz/h", "Invalid webhook URL 'https://[zz/h': ValueError('Invalid IPv6 URL')"),
            (
                "https://[zz]/h",
                "Invalid webhook URL 'https://[zz]/h': ValueError(\"'zz' does not appear to be an IPv4 or IPv6 address\")",
            ),
            (
                "https://[1.1.1.1]/h",
                "Invalid webhook URL 'https://[1.1.1.1]/h': ValueError('An IPv4 address cannot be in brackets')",
            ),
        ] {
            assert_eq!(host_of(url, &https()).unwrap_err().message, want, "{url:?}");
        }
    }
}
