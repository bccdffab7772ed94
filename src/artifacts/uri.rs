//! Artifact URIs: the store and folder they mean to this server, and the SSRF guard for hosts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::Disk;
use super::objects::{self, Objects, Uploads};
use super::remote_client::{self, Remotes};
use super::{ArtifactPath, Folder, Store};
use crate::config::Environment;
use crate::domain::artifact_uri::{self, UriParts};
use crate::domain::model_source::is_within;
use crate::domain::{Error, ErrorCode, Result};

/// Where an `http(s)` URI of the artifact proxy has its path.
const PROXY_ROUTE: &str = "/api/2.0/mlflow-artifacts/artifacts/";

/// Schemes whose location names a host that a server would connect to.
/// Upstream: `mlflow.store.artifact.host_policy`.
const HOST_ADDRESSED: [&str; 10] =
    ["ftp", "sftp", "hdfs", "viewfs", "http", "https", "mlflow-artifacts", "r2", "b2", "abfss"];

/// Schemes that stock knows.
const KNOWN: [&str; 18] = [
    "",
    "file",
    "s3",
    "r2",
    "b2",
    "gs",
    "wasbs",
    "ftp",
    "sftp",
    "dbfs",
    "hdfs",
    "viewfs",
    "runs",
    "models",
    "http",
    "https",
    "mlflow-artifacts",
    "abfss",
];

/// What the operator says about artifacts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--artifacts-destination`: where the artifact proxy keeps its bytes. A relative path is resolved against
    /// the working directory.
    pub destination: String,
    /// `--default-artifact-root`, as [`default_root`] resolved it.
    pub default_root: String,
    /// `--serve-artifacts`. Off, the artifact proxy answers 503 and `mlflow-artifacts:` URIs cannot be read here.
    pub serve: bool,
    /// `MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES`: schemes whose URIs may name any host. Every scheme here
    /// lets clients make the server connect to hosts of their choice.
    pub allowed_schemes: Vec<String>,
    /// How stores of objects are reached.
    pub environment: Environment,
}

/// The size of the client cache: buckets are few, unless somebody invents names.
const MAX_CLIENTS: usize = 64;

/// Returns the root below which new experiments keep their artifacts, when the operator names none.
///
/// Upstream: `resolve_default_artifact_root`.
pub fn default_root(flag: Option<&str>, serve: bool, backend_store_uri: &str) -> String {
    match flag {
        Some(root) if !root.is_empty() => root.to_owned(),
        _ if serve => "mlflow-artifacts:/".to_owned(),
        _ if matches!(artifact_uri::local_path(backend_store_uri), Ok(Some(_))) => {
            backend_store_uri.to_owned()
        }
        _ => "./mlruns".to_owned(),
    }
}

/// The artifacts this server can reach.
#[derive(Debug)]
pub struct Artifacts {
    /// `None` if artifacts are not served.
    destination: Option<Folder>,
    allowed_schemes: Vec<String>,
    stores: Stores,
}

/// A cache of clients by scheme and host of their URIs, filled lazily.
#[derive(Debug)]
struct Stores {
    environment: Environment,
    clients: Mutex<HashMap<String, Arc<Objects>>>,
    uploads: Arc<Uploads>,
    remotes: Remotes,
    /// Folders of this machine that the operator has named.
    roots: Vec<PathBuf>,
}

/// A host that a URI names: family of the scheme, host, port.
pub(super) type Target = (String, String, Option<u16>);

impl Artifacts {
    /// # Errors
    /// `NOT_IMPLEMENTED` or `INVALID_PARAMETER_VALUE` if the destination is no place this server can write to.
    pub fn new(settings: &Settings) -> Result<Self> {
        let named = [&settings.default_root, &settings.destination];
        let trusted = named.into_iter().filter_map(|uri| targets(uri)).flatten().collect();
        let stores = Stores {
            environment: settings.environment.clone(),
            clients: Mutex::default(),
            uploads: Uploads::new(),
            remotes: Remotes::new(settings.environment.clone(), trusted),
            roots: named.into_iter().filter_map(|uri| local_root(uri)).collect(),
        };
        let destination = if settings.serve { Some(stores.open(&settings.destination)?) } else { None };
        if !settings.serve && remote_client::is_remote(&UriParts::split(&settings.default_root)) {
            // fail fast: invalid variables are reported at startup
            stores.open(&settings.default_root)?;
        }
        let allowed_schemes = settings.allowed_schemes.iter().map(|scheme| scheme.to_lowercase()).collect();
        Ok(Self { destination, allowed_schemes, stores })
    }

    /// Waits until abandoned uploads are aborted.
    pub async fn settle(&self) {
        self.stores.uploads.settle().await;
    }

    /// Returns the folder of the artifact proxy; `None` with `--no-serve-artifacts`.
    pub fn destination(&self) -> Option<&Folder> {
        self.destination.as_ref()
    }

    /// Returns the folder that the stored artifact URI of a run, model or trace means.
    ///
    /// Upstream: `_is_servable_proxied_run_artifact_root`, `_get_proxied_run_artifact_destination_path`,
    /// `_get_artifact_repository_for_uri`. Differs: `%20` and the like in the path of a proxied URI are decoded
    /// for lists, too, as stock does for downloads only.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if the URI leads out of the destination or names a foreign host,
    /// `NOT_IMPLEMENTED` for stores this server cannot reach.
    pub fn folder(&self, artifact_uri: &str) -> Result<Folder> {
        let parts = UriParts::split(artifact_uri);
        let is_proxied = matches!(parts.scheme.as_str(), "mlflow-artifacts" | "http" | "https");
        if let Some(destination) = self.destination.as_ref().filter(|_| is_proxied) {
            let path = ArtifactPath::parse(proxied_path(artifact_uri, &parts)?)?;
            return Ok(Folder { store: destination.store.clone(), base: destination.base.join(&path) });
        }
        self.check_host(artifact_uri, None)?;
        self.stores.open(artifact_uri)
    }

    /// Returns the folder of an untrusted artifact URI, which must be within `owner`, the URI of what it
    /// belongs to. No symlink leads out of that.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if it is no part of it; otherwise as [`Artifacts::folder`].
    pub fn folder_within(&self, artifact_uri: &str, owner: &str) -> Result<Folder> {
        let outside = || {
            let message = format!(
                "The artifact location '{artifact_uri}' is not within '{owner}', to which it belongs."
            );
            Error::invalid(message)
        };
        if artifact_uri::climbs(artifact_uri) || !is_within(artifact_uri, owner) {
            return Err(outside());
        }
        let mut folder = self.folder(artifact_uri)?;
        // The URIs above are not yet normalised: one may hold the route of the proxy twice, the first time in
        // another spelling.
        if !folder.base.is_within(&self.folder(owner)?.base) {
            return Err(outside());
        }
        if let (Store::Disk(disk), Some(root)) = (&mut folder.store, local_root(owner)) {
            disk.keep_within(root);
        }
        Ok(folder)
    }

    /// Returns the folders of this machine where uploads of clients are collected.
    pub fn local_roots(&self) -> &[PathBuf] {
        &self.stores.roots
    }

    /// SSRF guard: checks that a location to be stored as `field` names no host that the server would connect
    /// to. Its form is checked by [`artifact_uri::validate_location`].
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`
    pub fn validate_host(&self, uri: &str, field: &str) -> Result<()> {
        self.check_host(uri, Some(field))
    }

    /// Upstream: `host_policy.rejected_host_addressed_scheme` (GHSA-mr9f-g8qf-4w4j).
    fn check_host(&self, uri: &str, field: Option<&str>) -> Result<()> {
        let Some(targets) = targets(uri) else { return Ok(()) };
        let scheme = UriParts::split(uri).scheme;
        if self.allowed_schemes.contains(&scheme) || self.stores.remotes.trusts(&targets) {
            return Ok(());
        }
        let subject = match field {
            Some(field) => format!("'{field}' cannot use the '{scheme}' scheme"),
            None => format!("The tracking server does not connect to artifact location '{uri}'"),
        };
        Err(Error::invalid(format!(
            "{subject}: the '{scheme}' scheme addresses a host other than the tracking server's configured artifact \
             storage, so the server would connect to the host named in the URI. Set the \
             MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server to allow it."
        )))
    }
}

impl Stores {
    /// Opens a location by its own scheme.
    fn open(&self, uri: &str) -> Result<Folder> {
        let parts = UriParts::split(uri);
        if objects::is_object_scheme(&parts.scheme) {
            return self.open_objects(&parts);
        }
        if remote_client::is_remote(&parts) {
            let (remote, base) = self.remotes.open(uri, &targets(uri).unwrap_or_default())?;
            return Ok(Folder { store: Store::Remote(remote), base });
        }
        self.open_location(uri)
    }

    /// Opens a local folder, or says why the location is none.
    fn open_location(&self, uri: &str) -> Result<Folder> {
        let Some(path) = artifact_uri::local_path(uri)? else { return Err(no_place(uri)) };
        let root = std::path::absolute(PathBuf::from(path)).map_err(Error::internal)?;
        let mut disk = Disk::new(root.clone());
        // the folder itself may be a symlink, too
        for named in self.roots.iter().filter(|named| root.starts_with(named)) {
            disk.keep_within(named.clone());
        }
        Ok(Folder { store: Store::Disk(disk), base: ArtifactPath::default() })
    }

    fn open_objects(&self, parts: &UriParts<'_>) -> Result<Folder> {
        let name = format!("{}://{}", parts.scheme, parts.netloc);
        let base = objects::path(parts)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&name) {
            return Ok(Folder { store: Store::Objects(Arc::clone(client)), base });
        }
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        let client = Arc::new(objects::open(parts, &self.environment, &self.uploads)?);
        clients.insert(name, Arc::clone(&client));
        Ok(Folder { store: Store::Objects(client), base })
    }
}

/// Returns the local folder of a URI, if it is local.
fn local_root(uri: &str) -> Option<PathBuf> {
    let path = artifact_uri::local_path(uri).ok()??;
    std::path::absolute(path).ok()
}

/// The error for a location that cannot be opened.
fn no_place(uri: &str) -> Error {
    let scheme = UriParts::split(uri).scheme;
    if scheme == "mlflow-artifacts" {
        let message = format!(
            "The artifacts of '{uri}' cannot be reached: the server runs with `--no-serve-artifacts`."
        );
        Error::new(ErrorCode::InternalError, message)
    } else if KNOWN.contains(&scheme.as_str()) {
        let message = format!("Artifacts at '{scheme}' locations are not available on this server.");
        Error::new(ErrorCode::NotImplemented, message)
    } else {
        let message = format!("Could not find a registered artifact repository for: {uri}.");
        Error::new(ErrorCode::InternalError, message)
    }
}

/// Returns the path below the destination that a URI of the artifact proxy means.
fn proxied_path<'a>(uri: &str, parts: &UriParts<'a>) -> Result<&'a str> {
    if parts.scheme == "mlflow-artifacts" {
        return Ok(parts.path.trim_start_matches('/'));
    }
    match parts.path.split_once(PROXY_ROUTE) {
        Some((_, path)) => Ok(path.trim_start_matches('/')),
        None => {
            Err(Error::invalid(format!("Artifact location '{uri}' is no location of an artifact server.")))
        }
    }
}

/// Returns the hosts a server may connect to; `None` if `uri` names none.
fn targets(uri: &str) -> Option<Vec<Target>> {
    let parts = UriParts::split(uri);
    let scheme = parts.scheme.as_str();
    if !HOST_ADDRESSED.contains(&scheme) || (scheme == "mlflow-artifacts" && parts.netloc.is_empty()) {
        return None;
    }
    let (family, default_ports): (&str, &[u16]) = match scheme {
        "ftp" => ("ftp", &[21]),
        "sftp" => ("sftp", &[22]),
        "http" => ("http", &[80]),
        "https" => ("http", &[443]),
        // which of the two is decided by how the server is reached
        "mlflow-artifacts" => ("http", &[80, 443]),
        "hdfs" | "viewfs" => ("hdfs", &[]),
        other => (other, &[443]),
    };
    let (_, port) = parts.host_and_port();
    // HTTP clients end the host at a backslash: a parser differential
    let is_odd = parts.netloc.contains('\\') || parts.netloc.contains(char::is_whitespace);
    let target = |port| (family.to_owned(), parts.hostname().unwrap_or_default(), port);
    Some(match port.parse() {
        _ if is_odd => vec![("malformed".to_owned(), parts.netloc.to_owned(), None)],
        Ok(port) => vec![target(Some(port))],
        Err(_) if !port.is_empty() => vec![("malformed".to_owned(), parts.netloc.to_owned(), None)],
        Err(_) if default_ports.is_empty() => vec![target(None)],
        Err(_) => default_ports.iter().map(|port| target(Some(*port))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let variables = [("HOME", "/nowhere"), ("AZURE_STORAGE_ACCESS_KEY", "a2V5")];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn artifacts(serve: bool) -> Artifacts {
        Artifacts::new(&Settings {
            destination: "/srv/artifacts".into(),
            default_root: "http://store:8080/api/2.0/mlflow-artifacts/artifacts/".into(),
            serve,
            allowed_schemes: vec!["SFTP".into()],
            environment: environment(),
        })
        .unwrap()
    }

    /// Where `uri` leads, as `<root>|<path below it>`, or the message.
    fn resolved(artifacts: &Artifacts, uri: &str) -> String {
        match artifacts.folder(uri) {
            Ok(Folder { store: Store::Disk(disk), base }) => format!("{}|{base}", disk.root().display()),
            Ok(Folder { store: Store::Objects(objects), base }) => format!("{objects:?}|{base}"),
            Ok(Folder { store: Store::Remote(remote), base }) => format!("{remote:?}|{base}"),
            Err(error) => format!("{}: {}", error.code.name(), error.message),
        }
    }

    #[test]
    fn proxied_uris_lie_below_the_destination() {
        let artifacts = artifacts(true);
        for (uri, want) in [
            ("mlflow-artifacts:/1/r/artifacts", "/srv/artifacts|1/r/artifacts"),
            ("mlflow-artifacts:///1/r", "/srv/artifacts|1/r"),
            ("mlflow-artifacts://host:5000/1/r", "/srv/artifacts|1/r"),
            ("mlflow-artifacts:/", "/srv/artifacts|"),
            ("mlflow-artifacts:/a%20b/r", "/srv/artifacts|a b/r"),
            ("http://h/api/2.0/mlflow-artifacts/artifacts/1/r", "/srv/artifacts|1/r"),
            ("https://h/p/api/2.0/mlflow-artifacts/artifacts/1/r", "/srv/artifacts|1/r"),
            ("mlflow-artifacts:/../../etc/r", "INVALID_PARAMETER_VALUE: Invalid path"),
            ("mlflow-artifacts:/%2e%2e/etc/r", "INVALID_PARAMETER_VALUE: Invalid path"),
            ("mlflow-artifacts:/a/..%252f..", "INVALID_PARAMETER_VALUE: Invalid path"),
            ("file:///data/1/r", "/data/1/r|"),
            ("/data/a%20b", "/data/a b|"),
            ("s3://b/1/a%20b/artifacts", "Objects(\"s3://b\")|1/a%20b/artifacts"),
            ("gs://b", "Objects(\"gs://b\")|"),
            ("wasbs://c@a.blob.core.windows.net/x", "Objects(\"wasbs://c@a.blob.core.windows.net\")|x"),
            ("s3://b/a/../../x", "INVALID_PARAMETER_VALUE: Invalid path"),
        ] {
            assert_eq!(resolved(&artifacts, uri), want, "{uri}");
        }
    }

    #[test]
    fn another_server_is_a_store_of_those_who_do_not_serve() {
        let artifacts = artifacts(false);
        for (uri, want) in [
            ("http://store:8080/api/2.0/mlflow-artifacts/artifacts/1/r", "Remote(\"http://store:8080\")|1/r"),
            ("mlflow-artifacts://store:8080/1/r", "Remote(\"http://store:8080\")|1/r"),
            ("http://store:8080/api/2.0/mlflow-artifacts/artifacts/a/..", "INVALID_PARAMETER_VALUE"),
            ("mlflow-artifacts://store:8081/1/r", "INVALID_PARAMETER_VALUE: The tracking server does not"),
        ] {
            let got = resolved(&artifacts, uri);
            assert!(got.starts_with(want), "{uri}: {got}");
        }
    }

    #[test]
    fn locations_of_clients_are_parts_of_what_they_belong_to() {
        let artifacts = artifacts(true);
        let proxy = |api: &str, path: &str| format!("http://h/{api}/mlflow-artifacts/artifacts/{path}");
        let twice = "1/api/2.0/mlflow-artifacts/artifacts/2";
        let rows: [(&str, &str, &str); 14] = [
            (
                "mlflow-artifacts:/1/traces/t/artifacts",
                "mlflow-artifacts:/1",
                "/srv/artifacts|1/traces/t/artifacts",
            ),
            ("/data/1/traces/t/artifacts", "/data/1", "/data/1/traces/t/artifacts|"),
            ("s3://b/1/traces/t", "s3://b/1", "Objects(\"s3://b\")|1/traces/t"),
            ("/etc", "/data/1", "INVALID"),
            ("/data/1/../../etc", "/data/1", "INVALID"),
            ("/data/1/%2e%2e/x", "/data/1", "INVALID"),
            ("/data/10/x", "/data/1", "INVALID"),
            ("file:///data/1/x", "/data/1", "INVALID"),
            ("mlflow-artifacts:/2/r", "mlflow-artifacts:/1", "INVALID"),
            ("s3://other/1/x", "s3://b/1", "INVALID"),
            ("s3://b/%31/x", "s3://b/1", "INVALID"),
            (&proxy("api/2.0", "1/x"), &proxy("api/2.0", "1"), "/srv/artifacts|1/x"),
            (&proxy("api//2.0", twice), &proxy("api/2.0", "1"), "INVALID"),
            (&proxy("%61pi/2.0", twice), &proxy("api/2.0", "1"), "INVALID"),
        ];
        for (uri, owner, want) in rows {
            let got = match artifacts.folder_within(uri, owner) {
                Ok(_) => resolved(&artifacts, uri),
                Err(error) => error.code.name().to_owned(),
            };
            assert!(got.starts_with(want), "{uri}: {got}");
        }
    }

    #[test]
    fn what_cannot_be_reached_is_said() {
        let served = artifacts(true);
        let refused = "INVALID_PARAMETER_VALUE: The tracking server does not connect to artifact location";
        for (artifacts, uri, want) in [
            (&served, "dbfs:/x", "NOT_IMPLEMENTED: Artifacts at 'dbfs' locations are not available"),
            (&served, "s3:///x", "INVALID_PARAMETER_VALUE: Invalid artifact location"),
            (&served, "wasbs://c@evil/x", "INVALID_PARAMETER_VALUE: WASBS URI must be"),
            (&served, "abfss://c@evil/x", refused),
            (&served, "ftp://evil/x", refused),
            (&served, "hdfs://evil/x", refused),
            (&served, "sftp://anywhere/x", "NOT_IMPLEMENTED"),
            (
                &served,
                "weird://x",
                "INTERNAL_ERROR: Could not find a registered artifact repository for: weird://x",
            ),
            (&served, "http://h/elsewhere", "INVALID_PARAMETER_VALUE: Artifact location"),
            (&served, "file://evil/x", "INVALID_PARAMETER_VALUE: file://evil/x is not a valid remote uri."),
            (
                &artifacts(false),
                "mlflow-artifacts:/1",
                "INTERNAL_ERROR: The artifacts of 'mlflow-artifacts:/1'",
            ),
            (&artifacts(false), "mlflow-artifacts://evil/1", refused),
            (&artifacts(false), "http://evil/x", refused),
            (&artifacts(false), "http://store:8080/x", "INVALID_PARAMETER_VALUE: Artifact location"),
        ] {
            let got = resolved(artifacts, uri);
            assert!(got.starts_with(want), "{uri}: {got}");
        }
    }

    #[test]
    fn locations_of_clients_may_not_name_hosts() {
        let artifacts = artifacts(true);
        for uri in
            ["s3://b/x", "/data", "mlflow-artifacts:/x", "http://STORE:8080/x", "sftp://any/x", "gs://b"]
        {
            artifacts.validate_host(uri, "artifact_location").unwrap();
        }
        for uri in [
            "ftp://h/x",
            "http://store/x",
            "http://store:8081/x",
            "https://store:8080x/",
            "http://store:8080\\@h/",
            "mlflow-artifacts://store/x",
            "ftp:///x",
        ] {
            let error = artifacts.validate_host(uri, "artifact_location").unwrap_err();
            assert!(
                error.message.starts_with("'artifact_location' cannot use the '"),
                "{uri}: {}",
                error.message
            );
        }
    }

    #[test]
    fn the_default_root_is_stocks() {
        for (flag, serve, backend, want) in [
            (Some("s3://b"), true, "sqlite:///m.db", "s3://b"),
            (None, true, "sqlite:///m.db", "mlflow-artifacts:/"),
            (Some(""), true, "sqlite:///m.db", "mlflow-artifacts:/"),
            (None, false, "sqlite:///m.db", "./mlruns"),
            (None, false, "/data/runs", "/data/runs"),
            (None, false, "postgresql://h/d", "./mlruns"),
        ] {
            assert_eq!(default_root(flag, serve, backend), want);
        }
    }

    #[test]
    fn the_destination_must_be_reachable() {
        let settings = |destination: &str, serve| Settings {
            destination: destination.into(),
            default_root: "mlflow-artifacts:/".into(),
            serve,
            allowed_schemes: Vec::new(),
            environment: environment(),
        };
        assert_eq!(Artifacts::new(&settings("ftp://b", true)).unwrap_err().code, ErrorCode::NotImplemented);
        assert!(Artifacts::new(&settings("ftp://b", false)).unwrap().destination().is_none());
        assert!(Artifacts::new(&settings("s3://b/x", true)).unwrap().destination().is_some());
        assert!(Artifacts::new(&settings("./mlartifacts", true)).unwrap().destination().is_some());
    }
}
