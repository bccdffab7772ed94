//! HTTP clients for other MLflow servers: addresses, and the client library's variables for credentials and
//! TLS certificates.

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use url::Url;

use super::ArtifactPath;
use super::remote::{ROUTE, Remote};
use super::uri::Target;
use crate::config::Environment;
use crate::domain::artifact_uri::UriParts;
use crate::domain::{Error, ErrorCode, Result};

/// The connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The read timeout of a response.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects that are followed, all on one host.
const MAX_REDIRECTS: usize = 5;

/// The HTTP clients for a server.
pub(super) struct Clients {
    pub(super) reader: Client,
    /// Without a read timeout: the response comes after the last byte was sent.
    pub(super) writer: Client,
}

/// The way to other servers.
pub(super) struct Remotes {
    environment: Environment,
    /// The servers that the operator has named. Only they get credentials.
    ///
    /// Differs: stock sends its own to every server that a location names, once such locations are allowed.
    trusted: HashSet<Target>,
    known: OnceLock<Arc<Clients>>,
    foreign: OnceLock<Arc<Clients>>,
}

impl std::fmt::Debug for Remotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remotes").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

/// Says whether a URI names another server's artifacts.
pub(super) fn is_remote(parts: &UriParts<'_>) -> bool {
    matches!(parts.scheme.as_str(), "http" | "https" | "mlflow-artifacts") && !parts.netloc.is_empty()
}

impl Remotes {
    pub(super) fn new(environment: Environment, trusted: HashSet<Target>) -> Self {
        Self { environment, trusted, known: OnceLock::new(), foreign: OnceLock::new() }
    }

    /// Says whether the operator has named one of the hosts.
    pub(super) fn trusts(&self, targets: &[Target]) -> bool {
        targets.iter().any(|target| self.trusted.contains(target))
    }

    /// Opens the server that a URI names, and returns the path on it.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a URI that is no location of an artifact server; `INTERNAL_ERROR` if the
    /// variables cannot be used.
    pub(super) fn open(&self, uri: &str, targets: &[Target]) -> Result<(Remote, ArtifactPath)> {
        let (address, path) = address(uri, self.environment.get("MLFLOW_TRACKING_URI"))?;
        let (cell, whose) = if self.trusts(targets) {
            (&self.known, Whose::Operators)
        } else {
            (&self.foreign, Whose::Strangers)
        };
        let clients = kept(cell, || Clients::new(&self.environment, whose))?;
        Ok((Remote::new(clients, address), path))
    }
}

/// Makes clients lazily, at the first request: they load all certificates of the host.
fn kept(cell: &OnceLock<Arc<Clients>>, make: impl FnOnce() -> Result<Clients>) -> Result<Arc<Clients>> {
    if let Some(clients) = cell.get() {
        return Ok(Arc::clone(clients));
    }
    let clients = Arc::new(make()?);
    Ok(Arc::clone(cell.get_or_init(|| clients)))
}

/// Returns the artifact route of the server in a URI, and the path below it.
///
/// Upstream: `MlflowArtifactsRepository.resolve_uri`, which takes scheme and prefix of `mlflow-artifacts:` from the
/// tracking URI. Differs: without one the scheme is `http`, or `https` on its port; stock cannot say.
fn address(uri: &str, tracking_uri: Option<&str>) -> Result<(Url, ArtifactPath)> {
    let parts = UriParts::split(uri);
    let none = || Error::invalid(format!("Artifact location '{uri}' is no location of an artifact server."));
    let (address, path) = if parts.scheme == "mlflow-artifacts" {
        let tracking =
            tracking_uri.map(UriParts::split).filter(|t| matches!(t.scheme.as_str(), "http" | "https"));
        let (scheme, prefix) = match &tracking {
            Some(tracking) => (tracking.scheme.as_str(), tracking.path.trim_end_matches('/')),
            None if parts.host_and_port().1 == "443" => ("https", ""),
            None => ("http", ""),
        };
        (format!("{scheme}://{}{prefix}/api/2.0{ROUTE}", parts.netloc), parts.path)
    } else {
        let (api, path) = uri.trim_start().split_once(ROUTE).ok_or_else(none)?;
        (format!("{api}{ROUTE}"), path)
    };
    let url = Url::parse(&address).map_err(|e| none().with_source(e))?;
    // check and request must agree on hosts
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
    if host != parts.hostname() || url.query().is_some() || url.fragment().is_some() {
        return Err(none());
    }
    Ok((url, ArtifactPath::parse(path.trim_start_matches('/'))?))
}

/// Who has named a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Operators,
    Strangers,
}

impl Clients {
    fn new(environment: &Environment, whose: Whose) -> Result<Self> {
        let own = if whose == Whose::Operators { authorization(environment)? } else { None };
        let headers: HeaderMap = own.into_iter().map(|value| (AUTHORIZATION, value)).collect();
        let make = || -> Result<ClientBuilder> {
            let builder = Client::builder()
                .user_agent(concat!("ferroflow/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .http1_only()
                .redirect(same_host())
                .default_headers(headers.clone());
            with_tls(builder, environment, whose)
        };
        let build = |builder: ClientBuilder| builder.build().map_err(|e| misconfigured(&e.to_string()));
        Ok(Self { reader: build(make()?.read_timeout(READ_TIMEOUT))?, writer: build(make()?)? })
    }
}

/// Redirect policy: another path, or HTTP to HTTPS, on the same host only.
fn same_host() -> Policy {
    Policy::custom(|attempt| {
        let first = attempt.previous().first();
        let is_same = first.is_some_and(|url| url.host_str() == attempt.url().host_str());
        let is_weaker = attempt.url().scheme() == "http" && first.is_some_and(|url| url.scheme() == "https");
        if is_same && !is_weaker && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// Sets the trusted CA certificates and the client's.
///
/// Upstream: `MlflowHostCreds`.
fn with_tls(mut builder: ClientBuilder, environment: &Environment, whose: Whose) -> Result<ClientBuilder> {
    let own_bundle = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH");
    let is_insecure = environment.is_on("MLFLOW_TRACKING_INSECURE_TLS");
    if is_insecure && own_bundle.is_some() {
        return Err(misconfigured(
            "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH cannot both be set.",
        ));
    }
    if is_insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if let Some(file) = own_bundle.or_else(|| environment.get("REQUESTS_CA_BUNDLE")) {
        let wrong = |e: &dyn std::fmt::Display| misconfigured(&format!("The CA bundle {file}: {e}"));
        let bundle = fs::read(file).map_err(|e| wrong(&e))?;
        let certificates = Certificate::from_pem_bundle(&bundle).map_err(|e| wrong(&e))?;
        builder = builder.tls_certs_only(certificates);
    }
    let own = environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH").filter(|_| whose == Whose::Operators);
    if let Some(file) = own {
        let wrong = |e: &dyn std::fmt::Display| misconfigured(&format!("The client certificate {file}: {e}"));
        let pem = fs::read(file).map_err(|e| wrong(&e))?;
        builder = builder.identity(Identity::from_pkcs8_pem(&pem, &pem).map_err(|e| wrong(&e))?);
    }
    Ok(builder)
}

/// Returns the credentials of this server at others.
///
/// Upstream: `read_mlflow_creds`, `http_request`: basic auth goes before a bearer token, and variables before
/// the file `~/.mlflow/credentials`.
fn authorization(environment: &Environment) -> Result<Option<HeaderValue>> {
    for unknown in ["MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_TRACKING_AUTH"] {
        if environment
            .get(unknown)
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
        {
            return Err(misconfigured(&format!("{unknown} is not known here.")));
        }
    }
    let file = credentials_file(environment);
    let get = |name: &str| {
        let in_file =
            || file.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        environment.get(name).map(str::to_owned).or_else(in_file)
    };
    let (name, password) = (get("MLFLOW_TRACKING_USERNAME"), get("MLFLOW_TRACKING_PASSWORD"));
    let text = match (name.zip(password), environment.get("MLFLOW_TRACKING_TOKEN")) {
        (Some((name, password)), _) => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
        }
        (None, Some(token)) => format!("Bearer {token}"),
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_not_shown| misconfigured("MLFLOW_TRACKING_TOKEN cannot stand in a header."))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Reads the section `[mlflow]` of the credentials file; empty if there is none.
fn credentials_file(environment: &Environment) -> Vec<(String, String)> {
    let Some(home) = environment.get("HOME") else { return Vec::new() };
    let text = fs::read_to_string(format!("{home}/.mlflow/credentials")).unwrap_or_default();
    let mut is_ours = false;
    let mut pairs = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            is_ours = line == "[mlflow]";
        } else if let Some((key, value)) = line.split_once(['=', ':']).filter(|_| is_ours) {
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    pairs
}

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorCode::InternalError, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_clients() {
        for (uri, tracking, want) in [
            ("http://h:8080/api/2.0/mlflow-artifacts/artifacts/x/1", "", "http://h:8080/api/2.0|x/1"),
            ("https://h/p/api/2.0/mlflow-artifacts/artifacts", "", "https://h/p/api/2.0|"),
            ("mlflow-artifacts://h:8080/1/r", "", "http://h:8080/api/2.0|1/r"),
            ("mlflow-artifacts://h:443/1", "", "https://h/api/2.0|1"),
            ("mlflow-artifacts://h/1", "https://t/mlflow/", "https://h/mlflow/api/2.0|1"),
            ("mlflow-artifacts://h/1", "sqlite:///x.db", "http://h/api/2.0|1"),
            ("mlflow-artifacts://[::1]:80/a%20b", "", "http://[::1]/api/2.0|a b"),
            ("http://u:p@h/api/2.0/mlflow-artifacts/artifacts/x", "", "http://u:p@h/api/2.0|x"),
            ("http://h/api/2.0/mlflow-artifacts/artifacts/../x", "", "Invalid path"),
            ("http://h/elsewhere", "", "Artifact location"),
            ("http://h?x/mlflow-artifacts/artifacts/a", "", "Artifact location"),
            ("http://h\\@evil/mlflow-artifacts/artifacts/a", "", "Artifact location"),
        ] {
            let got = match address(uri, Some(tracking)) {
                Ok((url, path)) => format!("{}|{path}", url.as_str().replace(ROUTE, "")),
                Err(error) => error.message,
            };
            assert!(got.starts_with(want), "{uri}: {got}");
        }
    }

    #[test]
    fn credentials_are_the_clients() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".mlflow")).unwrap();
        let file = "[other]\nmlflow_tracking_username = no\n[mlflow]\nmlflow_tracking_username = file\n\
                    mlflow_tracking_password: secret\n";
        fs::write(home.path().join(".mlflow/credentials"), file).unwrap();
        let home = ("HOME", home.path().to_str().unwrap());
        let (name, password) = (("MLFLOW_TRACKING_USERNAME", "u"), ("MLFLOW_TRACKING_PASSWORD", "p"));
        let token = ("MLFLOW_TRACKING_TOKEN", "t");
        for (variables, want) in [
            (&[][..], None),
            (&[token], Some("Bearer t")),
            (&[name, password, token], Some("Basic dTpw")),
            (&[name, token], Some("Bearer t")),
            (&[home], Some("Basic ZmlsZTpzZWNyZXQ=")),
            (&[home, name], Some("Basic dTpzZWNyZXQ=")),
        ] {
            let environment: Environment =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let got = authorization(&environment).unwrap();
            assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), want, "{variables:?}");
            assert!(!format!("{got:?}").contains("Basic"));
        }
        let unknown = [("MLFLOW_TRACKING_AUTH".to_owned(), "plugin".to_owned())].into_iter().collect();
        assert!(authorization(&unknown).unwrap_err().message.contains("MLFLOW_TRACKING_AUTH"));
    }
}
