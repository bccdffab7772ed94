//! Artifact paths from clients, against path traversal: an accepted one stays below its folder and
//! round-trips.
#![no_main]

use std::path::{Component, Path};

use ferroflow::artifacts::ArtifactPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(path) = ArtifactPath::parse(text) else { return };
    let below = Path::new(path.as_str()).components().all(|part| matches!(part, Component::Normal(_)));
    assert!(below, "{text:?} became {path}");
    assert!(path.as_str().split(['/', '\\']).all(|name| name != ".."), "{text:?} became {path}");
    assert!(!path.as_str().contains(['\0', '#']), "{text:?} became {path}");
    assert_eq!(ArtifactPath::parse(path.as_str()).ok().as_ref(), Some(&path), "{text:?}");
    if let Ok(file) = ArtifactPath::parse_file(text) {
        assert!(!file.file_name().is_empty(), "{text:?} became {file}");
    }
});
