//! How the URIs of artifact locations are taken apart, put together and checked. Only text: which bytes
//! stand behind a URI is the business of the room `artifacts`.
//!
//! MLflow stores these URIs in the database and compares them as text, so they must come out exactly as
//! Python's `urllib.parse` makes them. That is why the general `url` crate, which normalises, is not used.

use std::path::Path;

use percent_encoding::percent_decode_str;

use super::{Error, Result};

/// The longest location that is accepted when `MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH` is not set, in characters.
pub const DEFAULT_MAX_LOCATION_LENGTH: usize = 2048;

/// How often a text is percent-decoded before it is refused.
const MAX_DECODE_ROUNDS: usize = 10;

/// Schemes that Python writes with `//` even when the host is empty.
const SCHEMES_WITH_NETLOC: [&str; 23] = [
    "ftp", "http", "gopher", "nntp", "telnet", "imap", "wais", "file", "mms", "https", "shttp", "snews",
    "prospero", "rtsp", "rtsps", "rtspu", "rsync", "svn", "svn+ssh", "sftp", "nfs", "git", "git+ssh",
];

/// Schemes whose last path segment may carry `;params`.
const SCHEMES_WITH_PARAMS: [&str; 16] = [
    "", "ftp", "hdl", "prospero", "http", "imap", "https", "shttp", "rtsp", "rtsps", "rtspu", "sip", "sips",
    "mms", "sftp", "tel",
];

/// The parts of a URI; a part that is absent is empty. Nothing is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriParts<'a> {
    /// In lower case, without the colon; empty for a plain path.
    pub scheme: String,
    /// What stands between `//` and the next `/`, `?` or `#`.
    pub netloc: &'a str,
    /// The path, with its leading slash if it has one.
    pub path: &'a str,
    /// What follows the first `;` of the last segment, for schemes that know it.
    pub params: &'a str,
    /// What follows `?`.
    pub query: &'a str,
    /// What follows `#`.
    pub fragment: &'a str,
}

impl<'a> UriParts<'a> {
    /// Takes `uri` apart. Every text is some URI; a text without a scheme is a plain path.
    ///
    /// Upstream: `urllib.parse.urlparse` (Python 3.11).
    pub fn split(uri: &'a str) -> Self {
        let uri = uri.trim_start_matches(|c: char| c <= ' ');
        let (scheme, rest) = match uri.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), uri),
        };
        let (netloc, rest) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (path, params) =
            if SCHEMES_WITH_PARAMS.contains(&scheme.as_str()) { split_params(path) } else { (path, "") };
        Self { scheme, netloc, path, params, query, fragment }
    }

    /// Returns the host in lower case, without user, password and port; `None` if there is none.
    pub fn hostname(&self) -> Option<String> {
        let (host, _) = self.host_and_port();
        (!host.is_empty()).then(|| host.to_lowercase())
    }

    /// Returns host and port as they are written; either may be empty.
    pub fn host_and_port(&self) -> (&'a str, &'a str) {
        let hostport = self.netloc.rsplit_once('@').map_or(self.netloc, |(_, rest)| rest);
        if let Some((_, bracketed)) = hostport.split_once('[') {
            let (host, rest) = bracketed.split_once(']').unwrap_or((bracketed, ""));
            return (host, rest.split_once(':').map_or("", |(_, port)| port));
        }
        hostport.split_once(':').unwrap_or((hostport, ""))
    }

    /// Puts the parts together, with `scheme` and `path` in the place of its own.
    fn join(&self, scheme: &str, path: &str) -> String {
        let mut path = path.to_owned();
        if !self.params.is_empty() {
            path = format!("{path};{}", self.params);
        }
        let slashes = SCHEMES_WITH_NETLOC.contains(&scheme) && !path.starts_with("//");
        let mut uri = String::with_capacity(path.len() + self.netloc.len() + 16);
        if !scheme.is_empty() {
            uri.push_str(scheme);
            uri.push(':');
        }
        if !self.netloc.is_empty() || slashes {
            uri.push_str("//");
            uri.push_str(self.netloc);
            if !path.is_empty() && !path.starts_with('/') {
                uri.push('/');
            }
        }
        uri.push_str(&path);
        for (mark, part) in [('?', self.query), ('#', self.fragment)] {
            if !part.is_empty() {
                uri.push(mark);
                uri.push_str(part);
            }
        }
        uri
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn split_params(path: &str) -> (&str, &str) {
    let last = path.rfind('/').unwrap_or(0);
    match path.get(last..).and_then(|segment| segment.find(';')) {
        Some(at) => (path.get(..last + at).unwrap_or(path), path.get(last + at + 1..).unwrap_or("")),
        None => (path, ""),
    }
}

/// Appends `suffix`, a path with or without a leading slash, to the path of `uri`; a query stays at the end.
///
/// Upstream: `append_to_uri_path`.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` if the query holds `..`, encoded or not: it would become part of the path.
pub fn append(uri: &str, suffix: &str) -> Result<String> {
    let parts = UriParts::split(uri);
    validate_query(parts.query)?;
    if parts.scheme.is_empty() {
        return Ok(join_paths(uri, suffix));
    }
    let path = join_paths(parts.path, suffix);
    if parts.path.starts_with('/') {
        return Ok(parts.join(&parts.scheme, &path));
    }
    Ok(format!("{}:{}", parts.scheme, parts.join("", &path)))
}

/// Joins two paths by one slash; an absolute `suffix` is taken as relative.
fn join_paths(prefix: &str, suffix: &str) -> String {
    if prefix.is_empty() {
        return suffix.to_owned();
    }
    let suffix = suffix.trim_start_matches('/');
    let slash = if prefix.ends_with('/') { "" } else { "/" };
    format!("{prefix}{slash}{suffix}")
}

/// Says whether a URI has steps up in it, however often they are encoded.
pub fn climbs(uri: &str) -> bool {
    decode_fully(uri).is_none_or(|decoded| decoded.split(['/', '\\']).any(|step| step == ".."))
}

/// Returns where an experiment keeps its artifacts unless the client names a place: `<root>/<experiment_id>`.
pub fn experiment_location(root: &str, experiment_id: &str) -> Result<String> {
    append(root, experiment_id)
}

/// Returns where a run keeps its artifacts: `<location of its experiment>/<run_id>/artifacts`.
pub fn run_artifact_uri(experiment_location: &str, run_id: &str) -> Result<String> {
    append(experiment_location, &format!("{run_id}/artifacts"))
}

/// Returns where a logged model keeps its artifacts: `<location of its experiment>/models/<model_id>/artifacts`.
pub fn logged_model_location(experiment_location: &str, model_id: &str) -> Result<String> {
    append(experiment_location, &format!("models/{model_id}/artifacts"))
}

/// Returns where the traces of an experiment keep their artifacts: `<location of the experiment>/traces`.
pub fn traces_location(experiment_location: &str) -> Result<String> {
    append(experiment_location, "traces")
}

/// Returns where a trace keeps its artifacts: `<location of its experiment>/traces/<trace_id>/artifacts`.
pub fn trace_location(experiment_location: &str, trace_id: &str) -> Result<String> {
    if trace_id.is_empty() {
        return append(experiment_location, "traces/artifacts");
    }
    append(experiment_location, &format!("traces/{trace_id}/artifacts"))
}

/// Makes a relative local path or `file:` URI absolute against `cwd`; returns every other URI as it is.
///
/// Upstream: `resolve_uri_if_local`.
///
/// # Errors
/// As [`local_path`].
pub fn absolute_if_local(uri: &str, cwd: &Path) -> Result<String> {
    let Some(path) = local_path(uri)? else { return Ok(uri.to_owned()) };
    if path.starts_with('/') {
        return Ok(uri.to_owned());
    }
    let relative: Vec<&str> = path.split('/').filter(|s| !matches!(*s, "" | ".")).collect();
    let absolute = join_paths(&cwd.to_string_lossy(), &relative.join("/"));
    let parts = UriParts::split(uri);
    if parts.scheme.is_empty() {
        return Ok(absolute);
    }
    Ok(UriParts { netloc: "", params: "", ..parts }.join("file", &absolute))
}

/// Returns the path in the file system that a plain path or a `file:` URI means, percent-decoded;
/// `None` if `uri` is of another scheme.
///
/// Upstream: `is_local_uri` and `local_file_uri_to_path`.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` if a `file:` URI names another host.
pub fn local_path(uri: &str) -> Result<Option<String>> {
    let parts = UriParts::split(uri);
    match parts.scheme.as_str() {
        "" => Ok(Some(decode(uri))),
        "file" if parts.hostname().is_some_and(|host| !is_local_host(&host)) => Err(Error::invalid(format!(
            "{uri} is not a valid remote uri. For remote access on windows, please consider using a \
                 different scheme such as SMB (e.g. smb://<hostname>/<path>)."
        ))),
        "file" => Ok(Some(decode(parts.path))),
        _ => Ok(None),
    }
}

fn is_local_host(host: &str) -> bool {
    host == "." || host.starts_with("localhost") || host.starts_with("127.0.0.1")
}

/// Checks a location that a client wants to store. `field` is the name of the parameter.
///
/// Which hosts a location may name depends on the server's settings and is checked by the room `artifacts`.
/// Upstream: `_validate_storage_location_uri`.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for fragments, params, `..` behind a `;` or in the query, `runs:` URIs and more than `max_length`
/// characters.
pub fn validate_location(uri: &str, field: &str, max_length: usize) -> Result<()> {
    let parts = UriParts::split(uri);
    // `file:` knows no params, but decoding would make a way out of what follows its `;`
    let climbs = |(_, rest): (&str, &str)| decode_fully(rest).is_none_or(|rest| rest.contains(".."));
    let hides_climb = parts.path.split_once(';').is_some_and(climbs);
    if !parts.fragment.is_empty() || !parts.params.is_empty() || hides_climb {
        return Err(Error::invalid(format!("'{field}' URL can't include fragments or params.")));
    }
    validate_query(parts.query)?;
    if uri.starts_with("runs:") {
        return Err(Error::invalid(format!("Artifact location cannot be a runs:/ URI. Given: '{uri}'")));
    }
    validate_location_length(uri, max_length)
}

/// Checks the length of a location; also to be called after a relative one has been made absolute.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` if `uri` has more than `max_length` characters.
pub fn validate_location_length(uri: &str, max_length: usize) -> Result<()> {
    if uri.chars().count() <= max_length {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid artifact path length. The length of the artifact path cannot be greater than {max_length} \
         characters. To configure this limit, please set the MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment \
         variable."
    )))
}

fn validate_query(query: &str) -> Result<()> {
    match decode_fully(query) {
        Some(query) if !query.contains("..") => Ok(()),
        _ => Err(Error::invalid("Invalid query string")),
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Percent-decodes `text` until it stops changing; `None` if ten rounds are not enough.
///
/// Whoever checks a text for `..` must look at this form, or a doubly encoded one slips through.
pub fn decode_fully(text: &str) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..MAX_DECODE_ROUNDS {
        let decoded = decode(&text);
        if decoded == text {
            return Some(text);
        }
        text = decoded;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values were taken from `append_to_uri_path` of MLflow 3.17.2.
    #[test]
    fn append_keeps_scheme_host_and_query() {
        for (uri, suffix, want) in [
            ("mlflow-artifacts:/", "1", "mlflow-artifacts:/1"),
            ("mlflow-artifacts:", "1", "mlflow-artifacts:1"),
            ("mlflow-artifacts://host:5000/x", "1", "mlflow-artifacts://host:5000/x/1"),
            ("s3://bucket", "1", "s3://bucket/1"),
            ("s3://bucket/", "1", "s3://bucket/1"),
            ("s3://root/base/path?param=value", "/a/b", "s3://root/base/path/a/b?param=value"),
            ("S3://Bucket/x", "1", "s3://Bucket/x/1"),
            ("wasbs://c@a.blob.core.windows.net/p", "1", "wasbs://c@a.blob.core.windows.net/p/1"),
            ("/data/mlruns", "1", "/data/mlruns/1"),
            ("/data/mlruns/", "/1", "/data/mlruns/1"),
            ("mlruns", "1", "mlruns/1"),
            ("/a?b=c", "1", "/a?b=c/1"),
            ("file:/data", "1", "file:///data/1"),
            ("file:///data", "1", "file:///data/1"),
            ("file:data", "1", "file:data/1"),
            ("http://h/p;x", "1", "http://h/p/1;x"),
            ("dbfs:/x", "1", "dbfs:/x/1"),
        ] {
            assert_eq!(append(uri, suffix).unwrap(), want, "{uri} + {suffix}");
        }
    }

    #[test]
    fn append_refuses_traversal_in_the_query() {
        for query in ["a=..", "a=%2e%2e", "a=%252e%252e/x", "..%2f.."] {
            let error = append(&format!("s3://b/x?{query}"), "1").unwrap_err();
            assert_eq!(error.message, "Invalid query string", "{query}");
        }
    }

    #[test]
    fn locations_of_runs_and_models_hang_below_the_experiment() {
        assert_eq!(run_artifact_uri("s3://b/1?v=2", "r").unwrap(), "s3://b/1/r/artifacts?v=2");
        assert_eq!(
            logged_model_location("mlflow-artifacts:/1", "m-1").unwrap(),
            "mlflow-artifacts:/1/models/m-1/artifacts"
        );
        assert_eq!(trace_location("/a", "tr-1").unwrap(), "/a/traces/tr-1/artifacts");
        assert_eq!(trace_location("/a", "").unwrap(), "/a/traces/artifacts");
    }

    #[test]
    fn relative_local_locations_become_absolute() {
        let cwd = Path::new("/srv/ml");
        for (uri, want) in [
            ("mlruns", "/srv/ml/mlruns"),
            ("./mlruns", "/srv/ml/mlruns"),
            ("a//b/", "/srv/ml/a/b"),
            ("/abs/x%20y", "/abs/x%20y"),
            ("file:///abs", "file:///abs"),
            ("file:rel/x", "file:///srv/ml/rel/x"),
            ("s3://b/x", "s3://b/x"),
            ("mlflow-artifacts:/", "mlflow-artifacts:/"),
        ] {
            assert_eq!(absolute_if_local(uri, cwd).unwrap(), want, "{uri}");
        }
    }

    #[test]
    fn local_path_decodes_and_refuses_other_hosts() {
        assert_eq!(local_path("file:///a%20b").unwrap().as_deref(), Some("/a b"));
        assert_eq!(local_path("file://localhost/a").unwrap().as_deref(), Some("/a"));
        assert_eq!(local_path("s3://b").unwrap(), None);
        assert!(local_path("file://elsewhere/a").is_err());
    }

    #[test]
    fn stored_locations_are_checked() {
        for (uri, message) in [
            ("s3://b/x#frag", "'artifact_location' URL can't include fragments or params."),
            ("/a;b", "'artifact_location' URL can't include fragments or params."),
            ("file:///a;..%2f..%2fetc", "'artifact_location' URL can't include fragments or params."),
            ("s3://b/a;%252e%252e", "'artifact_location' URL can't include fragments or params."),
            ("s3://b/x?%2e%2e", "Invalid query string"),
            ("runs:/abc", "Artifact location cannot be a runs:/ URI. Given: 'runs:/abc'"),
        ] {
            let error = validate_location(uri, "artifact_location", 100).unwrap_err();
            assert_eq!(error.message, message, "{uri}");
        }
        assert!(validate_location("s3://b/a;b", "artifact_location", 100).is_ok());
        assert!(validate_location(&"é".repeat(100), "artifact_location", 100).is_ok());
        assert!(validate_location(&"é".repeat(101), "artifact_location", 100).is_err());
    }

    #[test]
    fn hosts_are_found() {
        for (uri, want) in [
            ("http://u:p@Host:80/x", Some("host")),
            ("http://[::1]:80/", Some("::1")),
            ("abfss://fs@account.dfs.core.windows.net/x", Some("account.dfs.core.windows.net")),
            ("mlflow-artifacts:/x", None),
            ("ftp:///x", None),
        ] {
            assert_eq!(UriParts::split(uri).hostname().as_deref(), want, "{uri}");
        }
    }

    #[test]
    fn decoding_is_bounded() {
        assert_eq!(decode_fully("%252e").as_deref(), Some("."));
        let deep = format!("%{}2e", "25".repeat(20));
        assert_eq!(decode_fully(&deep), None);
    }
}
