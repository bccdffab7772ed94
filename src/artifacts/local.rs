//! Which paths of the server's disk clients may name as sources of models: only those below the artifacts of what the
//! request names, with every symlink on the way followed.

use std::path::{Component, Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::domain::model_source::{LocalSource, local_outside};
use crate::domain::{Error, Result};

/// Checks that a path lies below the artifacts of its owner, or is their folder.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_source_run`, `_validate_source_model`.
pub async fn require_within(source: LocalSource) -> Result<()> {
    let look = move || {
        let path = resolve(Path::new(&source.path))?;
        match &source.root {
            Some(root) if path.starts_with(resolve(Path::new(root))?) => Ok(()),
            _ => Err(local_outside(&path.to_string_lossy(), source.kind)),
        }
    };
    spawn_blocking(look).await.map_err(Error::internal)?
}

/// Follows symlinks and steps up as far as a path exists; what does not exist is taken as it is written.
///
/// Upstream: Python's `Path.resolve`.
fn resolve(path: &Path) -> Result<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in std::path::absolute(path).map_err(Error::internal)?.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            step => {
                resolved.push(step);
                if let Ok(real) = resolved.canonicalize() {
                    resolved = real;
                }
            }
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model_source::OwnerKind;

    #[tokio::test]
    async fn only_what_lies_below_is_within() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let root = base.join("run/artifacts");
        std::fs::create_dir_all(root.join("model")).unwrap();
        std::fs::create_dir_all(base.join("secret")).unwrap();
        std::os::unix::fs::symlink(base.join("secret"), root.join("out")).unwrap();
        std::os::unix::fs::symlink(&root, base.join("in")).unwrap();
        for (path, want) in [
            ("run/artifacts", true),
            ("run/artifacts/model", true),
            ("run/artifacts/not/there", true),
            ("in/model", true),
            ("secret/../run/artifacts/model", true),
            ("run/artifacts/out/x", false),
            ("run/artifacts/../x", false),
            ("run/artifacts2", false),
            ("secret", false),
        ] {
            let source = LocalSource {
                path: base.join(path).to_string_lossy().into_owned(),
                root: Some(root.to_string_lossy().into_owned()),
                kind: OwnerKind::Run,
            };
            assert_eq!(require_within(source).await.is_ok(), want, "{path}");
        }
        let elsewhere = LocalSource { path: "/etc/./x/..".into(), root: None, kind: OwnerKind::Run };
        let message = require_within(elsewhere).await.unwrap_err().message;
        assert!(message.starts_with("Invalid model version source: '/etc'."), "{message}");
    }
}
