//! One suite for every store: what a [`Folder`] promises, whatever is behind it.

use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::domain::{Error, ErrorCode};

fn disk() -> (TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::Disk(Disk::new(dir.path().join("root")));
    (dir, Folder { store, base: ArtifactPath::default() })
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

async fn put(folder: &Folder, at: &str, body: &[u8]) -> Result<()> {
    let mut upload = folder.upload(&path(at)).await?;
    for chunk in body.chunks(100_000) {
        upload.write(Bytes::copy_from_slice(chunk)).await?;
    }
    upload.finish().await
}

async fn get(folder: &Folder, at: &str, range: Range<u64>) -> Result<Vec<u8>> {
    let file = folder.open(&path(at)).await?;
    let frames: Vec<Bytes> = file.stream(range).try_collect().await.map_err(Error::internal)?;
    assert!(frames.iter().all(|frame| frame.len() <= 256 * 1024));
    Ok(frames.concat())
}

async fn names(folder: &Folder, at: &str) -> Vec<String> {
    let entries = folder.list(&path(at)).await.unwrap();
    entries
        .into_iter()
        .map(|e| if e.size_bytes.is_none() { format!("{}/", e.name) } else { e.name })
        .collect()
}

/// Every file and folder below `root`, hidden ones too.
fn all_files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in std::fs::read_dir(folder).unwrap() {
            let child = child.unwrap();
            found.push(child.path().strip_prefix(root).unwrap().to_string_lossy().into_owned());
            if child.file_type().unwrap().is_dir() {
                folders.push(child.path());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn what_was_put_is_got() {
    let (_dir, folder) = disk();
    let big: Vec<u8> = (0..3_000_001_u32).map(|i| (i % 251) as u8).collect();
    for (at, body) in [("empty", &b""[..]), ("a/b c/é.txt", b"hello"), ("日本/100%", b"x"), ("big", &big)]
    {
        put(&folder, at, body).await.unwrap();
        let size = folder.open(&path(at)).await.unwrap().stat.size_bytes;
        assert_eq!(size, body.len() as u64);
        assert_eq!(get(&folder, at, 0..size).await.unwrap(), body, "{at}");
    }
    assert_eq!(get(&folder, "big", 262_143..262_146).await.unwrap(), &big[262_143..262_146]);
    assert_eq!(get(&folder, "big", 5..2_000_000).await.unwrap(), &big[5..2_000_000]);
    assert_eq!(get(&folder, "big", 7..7).await.unwrap(), b"");
}

#[tokio::test]
async fn lists_are_sorted_and_flat() {
    let (_dir, folder) = disk();
    for at in ["b.txt", "a/x/deep", "a/y", "a b", "é", "B"] {
        put(&folder, at, b"12345").await.unwrap();
    }
    assert_eq!(names(&folder, "").await, ["B", "a/", "a b", "b.txt", "é"]);
    assert_eq!(names(&folder, "a").await, ["x/", "y"]);
    assert_eq!(names(&folder, "b.txt").await, [""; 0]);
    assert_eq!(names(&folder, "nosuch/deeper").await, [""; 0]);
    assert_eq!(names(&folder, "b.txt/below").await, [""; 0]);
    let sizes: Vec<_> = folder.list(&path("a")).await.unwrap().into_iter().map(|e| e.size_bytes).collect();
    assert_eq!(sizes, [None, Some(5)]);
}

#[tokio::test]
async fn a_base_is_the_root_of_what_is_seen() {
    let (_dir, folder) = disk();
    put(&folder, "1/r/artifacts/m/x", b"1").await.unwrap();
    let run = Folder { base: path("1/r/artifacts"), ..folder };
    assert_eq!(names(&run, "").await, ["m/"]);
    assert_eq!(get(&run, "m/x", 0..1).await.unwrap(), b"1");
    let error = run.open(&path("nosuch")).await.unwrap_err();
    assert_eq!(error.message, "No such artifact: '1/r/artifacts/nosuch'");
}

#[tokio::test]
async fn an_upload_is_invisible_until_it_is_finished() {
    let (dir, folder) = disk();
    put(&folder, "kept", b"old").await.unwrap();
    let mut upload = folder.upload(&path("new/folder/kept")).await.unwrap();
    let mut over = folder.upload(&path("kept")).await.unwrap();
    upload.write(Bytes::from(vec![1; 2_000_000])).await.unwrap();
    over.write(Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(names(&folder, "").await, ["kept"]);
    assert_eq!(names(&folder, "new").await, [""; 0]);
    assert_eq!(get(&folder, "kept", 0..3).await.unwrap(), b"old");
    let hidden = all_files(dir.path()).into_iter().find(|name| name.contains("uploading")).unwrap();
    let error = folder.open(&path(hidden.strip_prefix("root/").unwrap())).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);

    over.finish().await.unwrap();
    assert_eq!(get(&folder, "kept", 0..3).await.unwrap(), b"new");
    upload.finish().await.unwrap();
    assert_eq!(
        all_files(dir.path()),
        ["root", "root/kept", "root/new", "root/new/folder", "root/new/folder/kept"]
    );
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let (dir, folder) = disk();
    put(&folder, "kept", b"old").await.unwrap();
    for at in ["kept", "new/folder/x"] {
        let mut upload = folder.upload(&path(at)).await.unwrap();
        // large enough for a write to be under way when it is dropped
        upload.write(Bytes::from(vec![1; 8_000_000])).await.unwrap();
        drop(upload);
    }
    for _ in 0..200 {
        if all_files(dir.path()).len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(all_files(dir.path()), ["root", "root/kept"]);
    assert_eq!(get(&folder, "kept", 0..3).await.unwrap(), b"old");
}

#[tokio::test]
async fn deleting_takes_files_and_folders() {
    let (dir, folder) = disk();
    for at in ["a/b/c", "a/b/d", "a/e", "f"] {
        put(&folder, at, b"1").await.unwrap();
    }
    for at in ["a/b", "f", "nosuch", "a/e/below"] {
        folder.delete(&path(at)).await.unwrap();
    }
    assert_eq!(all_files(dir.path()), ["root", "root/a", "root/a/e"]);
    folder.delete(&path("a/e")).await.unwrap();
    assert_eq!(names(&folder, "").await, ["a/"]);
    assert_eq!(folder.delete(&path("")).await.unwrap_err().message, "Invalid path");
}

#[tokio::test]
async fn wrong_kinds_are_told_apart() {
    let (_dir, folder) = disk();
    put(&folder, "a/b", b"1").await.unwrap();
    let long = "x".repeat(300);
    for (at, code, message) in [
        ("nosuch", ErrorCode::ResourceDoesNotExist, "No such artifact: 'nosuch'"),
        ("a/b/c", ErrorCode::ResourceDoesNotExist, "No such artifact: 'a/b/c'"),
        ("a", ErrorCode::InvalidParameterValue, "Artifact path refers to a directory, not a file: 'a'"),
        ("", ErrorCode::InvalidParameterValue, "Artifact path refers to a directory, not a file: ''"),
    ] {
        let error = folder.open(&path(at)).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message));
    }
    for (at, message) in [
        ("a", "Artifact path refers to a directory, not a file: 'a'"),
        ("a/b/c", "A folder of the artifact path 'a/b/c' is a file."),
        ("a/b/c/d", "A folder of the artifact path 'a/b/c/d' is a file."),
        (&long, &format!("A name in the artifact path '{long}' is too long.")),
    ] {
        let error = put(&folder, at, b"2").await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidParameterValue, message));
    }
}

#[tokio::test]
async fn an_etag_changes_with_the_content() {
    let (_dir, folder) = disk();
    put(&folder, "a", b"1").await.unwrap();
    let before = folder.open(&path("a")).await.unwrap().stat.etag;
    assert_eq!(folder.open(&path("a")).await.unwrap().stat.etag, before);
    put(&folder, "a", b"22").await.unwrap();
    assert_ne!(folder.open(&path("a")).await.unwrap().stat.etag, before);
}

/// Names that `object_store`'s local store hides or fails on, put there by others.
#[cfg(unix)]
#[tokio::test]
async fn disk_lists_every_name() {
    let (dir, folder) = disk();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("emptied")).unwrap();
    for name in ["name#1", "line\nbreak", "tab\t", "per%20cent", "back\\slash"] {
        std::fs::write(root.join(name), b"1").unwrap();
    }
    assert_eq!(
        names(&folder, "").await,
        ["back\\slash", "emptied/", "line\nbreak", "name#1", "per%20cent", "tab\t"]
    );
}

#[cfg(unix)]
#[tokio::test]
async fn disk_does_not_follow_symlinks_out_of_its_root() {
    use std::os::unix::fs::symlink;

    let (dir, folder) = disk();
    put(&folder, "inside/x", b"1").await.unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), b"secret").unwrap();
    symlink(&outside, root.join("out")).unwrap();
    symlink(outside.join("secret"), root.join("leaf")).unwrap();
    symlink(outside.join("nosuch"), root.join("dangling")).unwrap();
    symlink(root.join("inside"), root.join("in")).unwrap();

    assert_eq!(names(&folder, "").await, ["in/", "inside/"]);
    assert_eq!(get(&folder, "in/x", 0..1).await.unwrap(), b"1");
    let message = "Invalid path: resolved path is outside the artifact directory";
    for at in ["out/secret", "leaf", "dangling", "out/new", "out"] {
        let at_path = path(at);
        for error in [
            folder.open(&at_path).await.map(drop).unwrap_err(),
            put(&folder, at, b"written").await.unwrap_err(),
            folder.delete(&at_path).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.code, error.message.as_str()),
                (ErrorCode::InvalidParameterValue, message),
                "{at}"
            );
        }
    }
    assert_eq!(folder.list(&path("out")).await.unwrap_err().message, message);
    assert_eq!(all_files(&outside), ["secret"]);
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
}

#[cfg(unix)]
#[tokio::test]
async fn disk_does_not_open_pipes() {
    let (dir, folder) = disk();
    put(&folder, "x", b"1").await.unwrap();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("root/pipe")).status().unwrap();
    assert!(made.success());
    let error = folder.open(&path("pipe")).await.unwrap_err();
    assert_eq!(error.message, "Artifact is not a regular file: 'pipe'");
}

/// A file that shrinks under a reader ends in an error: a short answer would look like a whole one.
#[tokio::test]
async fn disk_reports_a_file_that_shrinks() {
    let (dir, folder) = disk();
    put(&folder, "x", &[1; 100]).await.unwrap();
    let file = folder.open(&path("x")).await.unwrap();
    std::fs::write(dir.path().join("root/x"), b"short").unwrap();
    let frames: std::io::Result<Vec<Bytes>> = file.stream(0..100).try_collect().await;
    assert_eq!(frames.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}
