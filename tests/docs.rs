//! The papers: their links and file names resolve, and `docs/configuration.md` has every setting.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The papers outside `docs`.
const PAPERS: [&str; 4] = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];

/// Folders whose files papers name in full.
const FOLDERS: [&str; 10] = [
    "benches/",
    "compat-tests/",
    "crates/",
    "docs/",
    "fuzz/",
    "migrations/",
    "proto/",
    "scripts/",
    "src/",
    "tests/",
];

/// Prefixes of variables that the program reads.
const VARIABLES: [&str; 9] = [
    "AWS_",
    "AZURE_",
    "FERROFLOW_",
    "GOOGLE_",
    "IDENTITY_",
    "MLFLOW_",
    "REQUESTS_CA_BUNDLE",
    "RUST_LOG",
    "STORAGE_EMULATOR_HOST",
];

/// False positives among variables in the code, each with what it is.
const NO_VARIABLES: [(&str, &str); 1] =
    [("MLFLOW_EXPERIMENT", "a kind of place that traces are in: a value of the protocol")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The files below `folder` with this suffix, as paths below the root.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every paper with its text.
fn papers() -> Vec<(PathBuf, String)> {
    let paths = PAPERS.iter().map(PathBuf::from).chain(files("docs", "md"));
    paths.map(|path| (path.clone(), read(path))).collect()
}

/// The text outside code blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The code spans.
fn code_spans(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

/// The link and image targets of a text.
fn links(text: &str) -> Vec<String> {
    // Code spans have no links.
    let prose: String = prose(text).split('`').step_by(2).collect();
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The anchors of a text's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text).lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let numbered = (1..).map(|n| format!("{name}-{n}"));
        let _ = std::iter::once(name.clone()).chain(numbered).any(|name| found.insert(name));
    }
    found
}

/// What is wrong with a link in `paper`, if anything is.
fn fault(paper: &Path, text: &str, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if paper.starts_with("docs") && file.starts_with("..") {
        return Some("leaves the book");
    }
    let target = if file.is_empty() { paper.to_owned() } else { paper.with_file_name(file) };
    if !file.is_empty() && !root().join(&target).exists() {
        return Some("no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    let names = if file.is_empty() { anchors(text) } else { anchors(&read(target)) };
    (!names.contains(anchor)).then_some("no such heading")
}

/// The broken links of a paper.
fn broken_links(paper: &Path, text: &str) -> Vec<String> {
    let links = links(text);
    let faults = links.iter().filter_map(|link| Some((link, fault(paper, text, link)?)));
    faults.map(|(link, fault)| format!("{}: {link}: {fault}", paper.display())).collect()
}

/// The missing files among those that a paper names in full.
fn missing_files(paper: &Path, text: &str) -> Vec<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let prose = prose(text);
    let named = code_spans(&prose).filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder)));
    let missing = named.filter(|span| span.chars().all(is_path) && !root().join(span).exists());
    missing.map(|span| format!("{}: {span}", paper.display())).collect()
}

/// Says whether a word is a flag, or looks like a variable.
fn is_setting(word: &str) -> bool {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_variable = VARIABLES.iter().any(|start| word.starts_with(start))
        && word.chars().all(is_name)
        && !word.ends_with('_');
    is_variable
        || word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The flags and variables that the program's help names.
fn settings_in_help() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for args in
        [&["--help"][..], &["server", "--help"], &["db", "upgrade", "--help"], &["db", "check", "--help"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_ferroflow")).args(args).env_clear().output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for line in help.lines().map(str::trim) {
            if line.starts_with('-') {
                found.extend(line.split([' ', ',']).filter(|word| word.starts_with("--")).map(str::to_owned));
            }
            let variables = line.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
            found.extend(variables.map(str::to_owned));
        }
    }
    found
}

/// The variables in string literals of the code.
fn variables_in_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files("src", "rs") {
        let text = read(path);
        found.extend(
            text.split('"').filter(|text| !text.starts_with('-') && is_setting(text)).map(str::to_owned),
        );
    }
    for (text, what) in NO_VARIABLES {
        assert!(found.remove(text), "{text} is no longer there, which is {what}");
    }
    found
}

/// The flags and variables that a paper names.
fn settings_in(paper: &str) -> BTreeSet<String> {
    let prose = prose(paper);
    let words = code_spans(&prose).flat_map(|span| span.split([' ', '=', ',']));
    words.filter(|word| is_setting(word)).map(str::to_owned).collect()
}

#[test]
fn links_lead_somewhere() {
    let papers = papers();
    let count: usize = papers.iter().map(|(_, text)| links(text).len()).sum();
    assert!(count > 50, "only {count} links were found");
    for (paper, text) in &papers {
        assert!(prose(text).matches('`').count().is_multiple_of(2), "{}: an odd backtick", paper.display());
    }
    let broken: Vec<_> = papers.iter().flat_map(|(paper, text)| broken_links(paper, text)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_that_are_named_are_there() {
    let missing: Vec<_> = papers().iter().flat_map(|(paper, text)| missing_files(paper, text)).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_book_has_every_page() {
    let summary: BTreeSet<_> = links(&read("docs/SUMMARY.md")).into_iter().collect();
    for page in files("docs", "md") {
        let name = page.strip_prefix("docs").unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(name), "docs/SUMMARY.md lacks {name}");
    }
}

#[test]
fn every_setting_is_written_down() {
    let mut known = settings_in_help();
    assert!(known.len() > 60, "only {} settings are in the help", known.len());
    known.extend(variables_in_code());
    let written = settings_in(&read("docs/configuration.md"));
    let missing: Vec<_> = known.difference(&written).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:?}");
    let stale: Vec<_> = written.difference(&known).collect();
    assert!(stale.is_empty(), "docs/configuration.md has {stale:?}, which the program does not know");
}

#[test]
fn what_is_wrong_is_found() {
    let text = "# A `b`, c\n## A b c\n[x](none.md) [x](#a-b-c) [x](#a-b-c-1) [x](#a-b-c-2) ![x](docs/limits.md)\n\
                [x](docs/limits.md#none) [x\ny](docs/limits.md#limits) `[x](none)` [x](https://none)\n\
                ```\n# D\n[x](none)\n```\n[x](#d)\n`src/none.rs` `src/lib.rs` `src/<none>.rs`";
    let paper = Path::new("PAPER.md");
    assert_eq!(
        broken_links(paper, text),
        [
            "PAPER.md: none.md: no such file",
            "PAPER.md: #a-b-c-2: no such heading",
            "PAPER.md: docs/limits.md#none: no such heading",
            "PAPER.md: #d: no such heading",
        ]
    );
    let page = Path::new("docs/page.md");
    assert_eq!(
        broken_links(page, "[x](../README.md) [x](limits.md)"),
        ["docs/page.md: ../README.md: leaves the book"]
    );
    assert_eq!(missing_files(paper, text), ["PAPER.md: src/none.rs"]);
    let written = settings_in("`--one two` `MLFLOW_THREE=4`, `MLFLOW_`\n```\n--five\n```\n`MLFLOW_six` `-s`");
    assert_eq!(written.iter().map(String::as_str).collect::<Vec<_>>(), ["--one", "MLFLOW_THREE"]);
}
