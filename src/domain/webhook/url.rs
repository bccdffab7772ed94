//! The URL of a webhook, read as Python's `urlsplit` reads it, so that the same ones are refused with the same words.
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
    let cleaned: String = url
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\r' | '\n'))
        .collect();
    let (scheme, rest) = split_scheme(&cleaned);
    let authority =
        rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let authority = authority.unwrap_or_default();
    check_brackets(authority).map_err(|problem| {
        Error::invalid(format!("Invalid webhook URL {shown}: ValueError({})", python::repr(&problem)))
    })?;
    if !schemes.contains(&scheme) {
        return Err(Error::invalid(format!(
            "Invalid webhook URL scheme: {}. Allowed schemes are: {}.",
            python::repr(&scheme),
            schemes.join(", ")
        )));
    }
    let host = host_in(authority);
    if host.is_empty() {
        return Err(Error::invalid(format!("Webhook URL must include a hostname: {shown}")));
    }
    Ok(host)
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
