//! Where the source of a model version may point: nowhere but into the run, the logged model or the model version that
//! the request names. Only text; what the database and the disk know is asked by others.
//!
//! Upstream: `_validate_source_run`, `_validate_source_model`, `_resolve_registered_model_source_lineage` and
//! `_validate_non_local_source_contains_relative_paths` (CVE-2023-6014 and its kin).

use super::artifact_uri::{UriParts, decode_fully, local_path};
use super::registry::NewModelVersion;
use super::{Error, Result};

/// The route of the artifact proxy, in parts.
const PROXY_ROUTE: [&str; 4] = ["api", "2.0", "mlflow-artifacts", "artifacts"];

/// What a `models:/` URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelUri {
    /// `models:/m-…`: a logged model.
    LoggedModel(String),
    /// A version of a registered model.
    Registered {
        /// The model.
        name: String,
        /// Which of its versions.
        which: Which,
    },
}

/// How a `models:/` URI names a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its number, as it is written.
    Number(String),
    /// By an alias.
    Alias(String),
    /// The newest of a stage.
    Stage(String),
    /// The newest of all.
    Latest,
}

impl ModelUri {
    /// Reads a URI; `None` if it is no proper one.
    ///
    /// Upstream: `_parse_model_uri`.
    pub fn parse(uri: &str) -> Option<Self> {
        let parts = UriParts::split(uri);
        // There are no fragments here: a `#` is part of the name.
        let path = match (parts.query, parts.fragment.split('?').next()) {
            ("", Some(rest)) if !rest.is_empty() => format!("{}#{rest}", parts.path),
            _ => parts.path.to_owned(),
        };
        if parts.scheme != "models" || !path.starts_with('/') || path.len() <= 1 {
            return None;
        }
        let mut steps = path.trim_start_matches('/').split('/');
        let (first, suffix) = (steps.next().filter(|step| !step.trim().is_empty())?, steps.next());
        if steps.next().is_some() {
            return None;
        }
        let name = first.to_owned();
        let Some(suffix) = suffix else {
            return match first.rsplit_once('@') {
                Some((_, alias)) if alias.trim().is_empty() => None,
                Some((name, alias)) => {
                    Some(Self::Registered { name: name.to_owned(), which: Which::Alias(alias.to_owned()) })
                }
                None => Some(Self::LoggedModel(name)),
            };
        };
        let which = match suffix {
            blank if blank.trim().is_empty() => return None,
            number if number.chars().all(char::is_numeric) => Which::Number(number.to_owned()),
            latest if latest.to_lowercase() == "latest" => Which::Latest,
            stage => Which::Stage(stage.to_owned()),
        };
        Some(Self::Registered { name, which })
    }
}

/// Says whether `source` is a `models:` URI.
pub fn is_model_uri(source: &str) -> bool {
    UriParts::split(source).scheme == "models"
}

/// Returns the version of a registered model that `source` names; `None` if it names something else.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a `models:` URI of another server and for one that cannot be read.
pub fn registered_source(source: &str) -> Result<Option<(String, Which)>> {
    let parts = UriParts::split(source);
    if parts.scheme != "models" {
        return Ok(None);
    }
    if !parts.netloc.is_empty() {
        return Err(Error::invalid(format!(
            "Invalid model version source: '{source}'. Registered model sources must use the active model registry."
        )));
    }
    match ModelUri::parse(source) {
        None => Err(not_contained(source, OwnerKind::Model)),
        Some(ModelUri::LoggedModel(_)) => Ok(None),
        Some(ModelUri::Registered { name, which }) => Ok(Some((name, which))),
    }
}

/// What a source must be a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKind {
    /// A run.
    Run,
    /// A logged model.
    Model,
}

impl OwnerKind {
    /// Returns the name of the parameter that names the owner.
    const fn parameter(self) -> &'static str {
        match self {
            Self::Run => "run_id",
            Self::Model => "model_id",
        }
    }
}

/// The run or logged model that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Which of the two.
    pub kind: OwnerKind,
    /// Its id.
    pub id: String,
}

/// What is left to be found out about a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Nothing: it is right.
    Done,
    /// Whether this path of the server's disk lies below the artifacts of the owner.
    LocalPath(String, Owner),
    /// Whether the URI lies below the artifacts of the owner.
    Uri(Owner),
}

/// A path of the server's disk as a source; whether it lies below the artifacts of its owner is for the disk to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSource {
    /// The path.
    pub path: String,
    /// Where the artifacts of the owner are, if that is on the server's disk.
    pub root: Option<String>,
    /// What the owner is.
    pub kind: OwnerKind,
}

/// Returns the run and the path below its artifacts that a `runs:/` URI names.
pub fn run_source(uri: &str) -> Option<(String, String)> {
    let parts = UriParts::split(uri);
    if parts.scheme != "runs" {
        return None;
    }
    let path = parts.path.trim_start_matches('/');
    let (run_id, path) = path.split_once('/').unwrap_or((path, ""));
    Some((run_id.to_owned(), path.to_owned()))
}

/// Checks the source of a version as far as its text tells.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`
pub fn check(new: &NewModelVersion) -> Result<Check> {
    let source = new.source.as_str();
    let (kind, id) = match new.logged_model() {
        Some(id) => (OwnerKind::Model, id),
        None => (OwnerKind::Run, new.run_id.as_deref().unwrap_or_default()),
    };
    let owner = (!id.is_empty()).then(|| Owner { kind, id: id.to_owned() });
    if let Some(path) = local_path(source)? {
        return owner.map(|owner| Check::LocalPath(path, owner)).ok_or_else(|| local_outside(source, kind));
    }
    refuse_relative(source)?;
    let parts = UriParts::split(source);
    let refused = |kind| Err(not_contained(source, kind));
    match parts.scheme.as_str() {
        "runs" if kind == OwnerKind::Model || !parts.netloc.is_empty() => refused(kind),
        "runs" => {
            let run = parts.path.trim_start_matches('/').split('/').next();
            if owner.is_some_and(|owner| run == Some(owner.id.as_str())) {
                Ok(Check::Done)
            } else {
                refused(kind)
            }
        }
        "models" => match ModelUri::parse(source).filter(|_| parts.netloc.is_empty()) {
            None => refused(OwnerKind::Model),
            Some(ModelUri::Registered { .. }) => Ok(Check::Done),
            Some(ModelUri::LoggedModel(model)) => {
                let is_owner = owner.is_some_and(|o| o.kind == OwnerKind::Model && o.id == model);
                if is_owner { Ok(Check::Done) } else { refused(OwnerKind::Model) }
            }
        },
        _ if is_proxied(source) => owner.map(Check::Uri).ok_or_else(|| not_contained(source, kind)),
        _ => Ok(Check::Done),
    }
}

/// `INVALID_PARAMETER_VALUE` for a source that is no part of what the request names.
///
/// Upstream: `_raise_invalid_model_version_source`.
pub fn not_contained(source: &str, kind: OwnerKind) -> Error {
    Error::invalid(format!(
        "Invalid model version source: '{source}'. The {} request parameter must identify the resource that contains \
         the source.",
        kind.parameter()
    ))
}

/// `INVALID_PARAMETER_VALUE` for a path of the server's disk outside of what the request names.
pub fn local_outside(source: &str, kind: OwnerKind) -> Error {
    let parameter = kind.parameter();
    Error::invalid(format!(
        "Invalid model version source: '{source}'. To use a local path as a model version source, the {parameter} \
         request parameter has to be specified and the local path has to be contained within the artifact directory \
         of the run specified by the {parameter}."
    ))
}

/// `INVALID_PARAMETER_VALUE` for a source that is a prompt.
pub fn prompt_as_source(source: &str) -> Error {
    Error::invalid(format!(
        "Invalid model version source: '{source}'. Prompt versions cannot be used as model version sources."
    ))
}

/// Takes over from the version that is the source what the request does not say: `run_id` is that of the version.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` if the request says something else.
pub fn inherit(new: &mut NewModelVersion, name: &str, version: i32, run_id: Option<String>) -> Result<()> {
    let other_run = new.run_id.as_ref().is_some_and(|run| *run != *run_id.as_deref().unwrap_or_default());
    // Which logged model a version comes from is not kept with it.
    if other_run || new.logged_model().is_some() {
        return Err(Error::invalid(format!(
            "Invalid model version source: '{}'. The run_id and model_id request parameters must match the referenced \
             model version.",
            new.source
        )));
    }
    new.source = format!("models:/{name}/{version}");
    new.run_id = new.run_id.take().or(run_id);
    Ok(())
}

/// Refuses steps up and other tricks in the path of a URI, however often they are encoded.
///
/// Differs: stock resolves the path on the server's disk, so that a symlink there can make the key of an object
/// invalid; here only the text counts.
fn refuse_relative(source: &str) -> Result<()> {
    let refused = || {
        Error::invalid(format!(
            "Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, \
             objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references \
             present. Please provide an absolute path."
        ))
    };
    let decoded = decode_fully(source).ok_or_else(refused)?;
    let path = UriParts::split(&decoded).path;
    let is_absolute = path.starts_with('/') && !path.trim_matches('/').is_empty();
    let goes_up = decoded.split('/').any(|step| step == "..") || path.split('/').any(|step| step == ".");
    if !is_absolute || goes_up || path.contains('\0') { Err(refused()) } else { Ok(()) }
}

/// Scheme, host and the steps of the path of a URI, in a form that can be compared.
///
/// Upstream: `_normalized_uri_parts`.
fn comparable(uri: &str) -> (String, String, Vec<String>) {
    let parts = UriParts::split(uri);
    let path = if parts.params.is_empty() {
        parts.path.to_owned()
    } else {
        format!("{};{}", parts.path, parts.params)
    };
    // What is encoded more often than that has been refused before.
    let steps =
        path.split('/').filter(|step| !step.is_empty()).map(|step| decode_fully(step).unwrap_or_default());
    (parts.scheme.clone(), parts.netloc.to_lowercase(), steps.collect())
}

/// Says whether `source` goes through the proxy of an artifact server.
///
/// Upstream: `_is_mlflow_artifact_source`.
fn is_proxied(source: &str) -> bool {
    let (scheme, _, steps) = comparable(source);
    scheme == "mlflow-artifacts"
        || matches!(scheme.as_str(), "http" | "https")
            && steps.windows(PROXY_ROUTE.len()).any(|window| window == PROXY_ROUTE)
}

/// Says whether the URI `source` lies below `root` or is it.
///
/// Upstream: `_is_uri_within_root`.
pub fn is_within(source: &str, root: &str) -> bool {
    let (source, root) = (comparable(source), comparable(root));
    source.0 == root.0 && source.1 == root.1 && !root.2.is_empty() && source.2.starts_with(&root.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::CreateModelVersion;

    fn new(source: &str, run_id: &str, model_id: &str) -> NewModelVersion {
        let given = |id: &str| (!id.is_empty()).then(|| id.to_owned());
        let request = CreateModelVersion {
            name: Some("m".into()),
            source: Some(source.into()),
            run_id: given(run_id),
            model_id: given(model_id),
            ..CreateModelVersion::default()
        };
        NewModelVersion::new(request, None).unwrap()
    }

    #[test]
    fn model_uris_are_read() {
        let named = |name: &str, which| Some(ModelUri::Registered { name: name.into(), which });
        for (uri, want) in [
            ("models:/a/1", named("a", Which::Number("1".into()))),
            ("models:/a/Latest", named("a", Which::Latest)),
            ("models:/a/Production", named("a", Which::Stage("Production".into()))),
            ("models:/a@b@c", named("a@b", Which::Alias("c".into()))),
            ("models:/a#b/1", named("a#b", Which::Number("1".into()))),
            ("models:/m-123", Some(ModelUri::LoggedModel("m-123".into()))),
            ("models:/", None),
            ("models:a/1", None),
            ("models:/a/1/2", None),
            ("models:/a/", None),
            ("models:/a@", None),
            ("runs:/a/1", None),
        ] {
            assert_eq!(ModelUri::parse(uri), want, "{uri}");
        }
    }

    #[test]
    fn sources_are_parts_of_what_is_named() {
        let run = |id: &str| Owner { kind: OwnerKind::Run, id: id.into() };
        let model = |id: &str| Owner { kind: OwnerKind::Model, id: id.into() };
        for (source, run_id, model_id, want) in [
            ("s3://b/x", "", "", Check::Done),
            ("s3://b/x", "r", "m-1", Check::Done),
            ("runs:/r/model", "r", "", Check::Done),
            ("models:/m-1", "", "m-1", Check::Done),
            ("models:/a/1", "", "", Check::Done),
            ("mlflow-artifacts:/1/r/artifacts", "r", "", Check::Uri(run("r"))),
            ("http://h/api/2.0/mlflow-artifacts/artifacts/1", "r", "m-1", Check::Uri(model("m-1"))),
            ("/a%20b", "r", "", Check::LocalPath("/a b".into(), run("r"))),
            ("file:///a", "", "m-1", Check::LocalPath("/a".into(), model("m-1"))),
        ] {
            assert_eq!(check(&new(source, run_id, model_id)).unwrap(), want, "{source}");
        }
    }

    #[test]
    fn other_sources_are_refused() {
        let (run, model, up) = ("The run_id request", "The model_id request", "If supplying a source as");
        for (source, run_id, model_id, want) in [
            ("runs:/r/model", "", "", run),
            ("runs:/r/model", "other", "", run),
            ("runs://host/r/model", "r", "", run),
            ("runs:/r/model", "r", "m-1", model),
            ("models:/m-1", "r", "", model),
            ("models:/m-1", "", "m-2", model),
            ("mlflow-artifacts:/1/r", "", "", run),
            ("/a", "", "", "To use a local path as a model version source, the run_id"),
            ("s3://b", "", "", up),
            ("s3://b/a/../c", "", "", up),
            ("s3://b/a/./c", "", "", up),
            ("s3://b/%252e%252e/c", "", "", up),
            ("mlflow-artifacts:/..%2f..%2fetc", "r", "", up),
            ("http://h/a%00", "", "", up),
            ("dbfs:x", "", "", up),
        ] {
            let message = check(&new(source, run_id, model_id)).unwrap_err().message;
            let want = format!("Invalid model version source: '{source}'. {want}");
            assert!(message.starts_with(&want), "{source}: {message}");
        }
        assert!(check(&new("file://elsewhere/a", "r", "")).is_err());
    }

    #[test]
    fn being_within_goes_by_whole_steps() {
        let root = "mlflow-artifacts:/1/r/artifacts";
        for (source, want) in [
            ("mlflow-artifacts:/1/r/artifacts", true),
            ("mlflow-artifacts:/1/r/artifacts/model", true),
            ("MLFLOW-ARTIFACTS:/1//r/artifacts%2f/model", false),
            ("mlflow-artifacts:/1/r/art%69facts/model", true),
            ("mlflow-artifacts:/1/r/artifacts2", false),
            ("mlflow-artifacts:/1/other/artifacts", false),
            ("mlflow-artifacts://host/1/r/artifacts", false),
            ("http://h/1/r/artifacts", false),
        ] {
            assert_eq!(is_within(source, root), want, "{source}");
        }
        assert!(!is_within("mlflow-artifacts:/x", "mlflow-artifacts:/"));
    }

    #[test]
    fn registered_sources_belong_to_this_server() {
        assert_eq!(registered_source("s3://b/x").unwrap(), None);
        assert_eq!(registered_source("models:/m-1").unwrap(), None);
        assert_eq!(registered_source("models:/a@b").unwrap(), Some(("a".into(), Which::Alias("b".into()))));
        let message = registered_source("models://host/a/1").unwrap_err().message;
        assert!(
            message.ends_with("Registered model sources must use the active model registry."),
            "{message}"
        );
        assert!(registered_source("models:/a/1/2").unwrap_err().message.contains("The model_id request"));
    }

    #[test]
    fn a_copy_inherits_its_run() {
        let mut copy = new("models:/a@b", "", "");
        inherit(&mut copy, "a", 3, Some("r".into())).unwrap();
        assert_eq!((copy.source.as_str(), copy.run_id.as_deref()), ("models:/a/3", Some("r")));
        assert!(inherit(&mut new("models:/a/3", "other", ""), "a", 3, Some("r".into())).is_err());
        assert!(inherit(&mut new("models:/a/3", "", "m-1"), "a", 3, None).is_err());
    }
}
