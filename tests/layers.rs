//! Modules import in one direction, and each foreign library has one home.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src` with the ones it may import. A module not named may import everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("proto", &["proto"]),
    ("domain", &["proto", "domain"]),
    ("search", &["proto", "domain", "search"]),
    ("store", &["proto", "domain", "search", "store", "each"]),
    ("artifacts", &["proto", "domain", "config", "artifacts"]),
    ("webhooks", &["proto", "domain", "store", "webhooks", "config"]),
    ("config", &["domain", "config"]),
    ("api", &["proto", "domain", "search", "store", "artifacts", "webhooks", "config", "api"]),
    ("server", &["proto", "domain", "store", "artifacts", "webhooks", "config", "api", "server"]),
];

/// Libraries that few modules may name.
const HOMES: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("actix_web", &["api", "server"]),
    ("object_store", &["artifacts"]),
    ("reqwest", &["artifacts", "webhooks"]),
    ("ferroflow_libpq", &["store"]),
    ("ferroflow_sqlite", &["store"]),
];

/// Files of `src` with their modules.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(&root).unwrap();
                let room = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                // Tests are exempt.
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                if !path.ends_with("testing.rs")
                    && !path.iter().any(|part| part == "tests" || part == "tests.rs")
                {
                    found.push((room, path, text));
                }
            }
        }
    }
    found
}

/// The identifiers that follow `prefix` in the code, comments left out.
fn names_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(move |line| {
        line.match_indices(prefix).map(|(at, _)| {
            let rest = line.get(at + prefix.len()..).unwrap_or_default();
            rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
        })
    })
}

#[test]
fn rooms_import_one_way() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (room, path, text) in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else { continue };
        for name in names_after(&text, "crate::").filter(|name| !name.is_empty()) {
            seen += 1;
            if !allowed.contains(&name) {
                wrong.push(format!("{}: crate::{name}", path.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_at_home() {
    let mut wrong = Vec::new();
    for (room, path, text) in sources() {
        for (library, homes) in HOMES {
            let names = text.lines().any(|line| {
                !line.trim_start().starts_with("//")
                    && (line.contains(&format!("{library}::")) || line.contains(&format!("use {library}")))
            });
            if names && !homes.contains(&room.as_str()) {
                wrong.push(format!("{}: {library}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
