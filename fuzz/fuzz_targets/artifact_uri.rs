//! Path traversal by artifact locations and model version sources: what is appended to a location stays below
//! it, and no other folder can be opened.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use ferroflow::artifacts::{Artifacts, Folder, Settings};
use ferroflow::config::Environment;
use ferroflow::domain::artifact_uri::{
    DEFAULT_MAX_LOCATION_LENGTH, UriParts, absolute_if_local, append, climbs, local_path, run_artifact_uri,
    validate_location,
};
use ferroflow::domain::model_source::{Check, ModelUri, check, registered_source, run_source};
use ferroflow::domain::registry::NewModelVersion;
use ferroflow::proto::CreateModelVersion;
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;

const DESTINATION: &str = "/srv/artifacts";

static ARTIFACTS: LazyLock<Artifacts> = LazyLock::new(|| {
    let settings = Settings {
        destination: DESTINATION.into(),
        default_root: "mlflow-artifacts:/".into(),
        serve: true,
        allowed_schemes: Vec::new(),
        environment: Environment::default(),
    };
    Artifacts::new(&settings).expect("the destination is a folder")
});

fuzz_target!(|text: &str| {
    let artifacts = &*ARTIFACTS;
    within(16 * 1024 + 100 * text.len(), || {
        place(text);
        open(artifacts, text);
        name(text);
    });
});

/// Locations that clients choose, and what hangs below them.
fn place(text: &str) {
    let parts = UriParts::split(text);
    match append(text, "r/x") {
        // As in Python: without a host, two slashes at the beginning of a path become one.
        Ok(_) if parts.netloc.is_empty() && parts.path.starts_with("//") => {}
        Ok(below) if !parts.scheme.is_empty() => {
            let split = UriParts::split(&below);
            assert_eq!((&split.scheme, split.netloc), (&parts.scheme, parts.netloc), "{text:?}");
            assert_eq!((split.query, split.fragment), (parts.query, parts.fragment), "{text:?}");
            assert!(split.path.ends_with("r/x"), "{text:?} became {below:?}");
        }
        Ok(below) => assert!(below.ends_with("r/x"), "{text:?} became {below:?}"),
        Err(error) => is_refusal(&error, text.len()),
    }
    match validate_location(text, "artifact_location", DEFAULT_MAX_LOCATION_LENGTH) {
        Ok(()) => assert!(text.chars().count() <= DEFAULT_MAX_LOCATION_LENGTH && parts.fragment.is_empty()),
        Err(error) => is_refusal(&error, text.len()),
    }
    if let Ok(absolute) = absolute_if_local(text, Path::new("/srv/ml")) {
        assert_eq!(
            absolute_if_local(&absolute, Path::new("/elsewhere")).ok(),
            Some(absolute.clone()),
            "{text:?}"
        );
        if let Ok(Some(path)) = local_path(&absolute) {
            assert!(path.starts_with('/'), "{text:?} is {path:?}");
        }
    }
}

/// Folders that URIs mean.
fn open(artifacts: &Artifacts, text: &str) {
    // Others make cloud clients.
    let is_near =
        matches!(UriParts::split(text).scheme.as_str(), "" | "file" | "mlflow-artifacts" | "http" | "https");
    if is_near && let Ok(folder) = artifacts.folder(text) {
        let base = field(&folder, "base: ArtifactPath(");
        assert!(base.split(['/', '\\']).all(|step| step != ".."), "{text:?} is {folder:?}");
    }
    for root in
        ["mlflow-artifacts:/1/r/artifacts", "http://h/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts"]
    {
        if let Ok(folder) = artifacts.folder_within(text, root) {
            let base = field(&folder, "base: ArtifactPath(");
            assert!(Path::new(&base).starts_with("1/r/artifacts"), "{text:?} is {folder:?}");
            assert_eq!(field(&folder, "root: "), DESTINATION);
        }
    }
    if let Ok(folder) = artifacts.folder_within(text, "/srv/ml/1/r/artifacts") {
        // It is checked on disk later.
        assert!(field(&folder, "within: [").starts_with("/srv/ml/1/r/artifacts"), "{text:?} is {folder:?}");
        assert!(!climbs(text));
    }
}

/// Returns a string field of a folder, from its debug output.
fn field(folder: &Folder, name: &str) -> String {
    let shown = format!("{folder:?}");
    let (_, rest) = shown.split_once(&format!("{name}\"")).expect("a folder has it");
    let (mut text, mut rest) = (String::new(), rest.chars());
    while let Some(c) = rest.next().filter(|c| *c != '"') {
        // An escaped quote or backslash; other escapes do not matter here.
        text.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    text
}

/// Sources of model versions.
fn name(text: &str) {
    let request = CreateModelVersion {
        name: Some("m".into()),
        source: Some(text.to_owned()),
        run_id: Some("r".into()),
        ..CreateModelVersion::default()
    };
    if let Ok(new) = NewModelVersion::new(request, None) {
        match check(&new) {
            Ok(Check::LocalPath(..)) => assert!(matches!(local_path(text), Ok(Some(_))), "{text:?}"),
            Ok(Check::Uri(_) | Check::Done) => assert!(!climbs_by_slashes(text), "{text:?}"),
            Err(error) => is_refusal(&error, text.len()),
        }
    }
    if let Err(error) = registered_source(text) {
        is_refusal(&error, text.len());
    }
    if let Some(ModelUri::Registered { name, .. } | ModelUri::LoggedModel(name)) = ModelUri::parse(text) {
        assert!(!name.contains('/'), "{text:?} names {name:?}");
    }
    if let Some((run_id, path)) = run_source(text) {
        assert!(!run_id.contains('/'), "{text:?} names {run_id:?}");
        // It is put below the artifacts of the run, by the text of its location.
        drop(run_artifact_uri("s3://b/1", &run_id));
        drop(append("s3://b/1/r/artifacts", &path));
    }
}

/// A backslash is a separator only in local paths.
fn climbs_by_slashes(text: &str) -> bool {
    let decoded = ferroflow::domain::artifact_uri::decode_fully(text);
    decoded.is_none_or(|decoded| decoded.split('/').any(|step| step == ".."))
}
