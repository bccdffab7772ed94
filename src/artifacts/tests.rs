//! One suite for every store: what a [`Folder`] promises, whatever is behind it. Disk and memory are always asked; a
//! bucket of S3 is if `TEST_S3_BUCKET` names one (`compat-tests/support/s3.py` starts a server for a command).

use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::config::Environment;
use crate::domain::{Error, ErrorCode};

fn disk() -> (TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::Disk(Disk::new(dir.path().join("root")));
    (dir, Folder { store, base: ArtifactPath::default() })
}

/// An empty folder in each store, by the store's name. Folders live as long as their `TempDir`.
fn each_store() -> Vec<(&'static str, TempDir, Folder)> {
    let (dir, folder) = disk();
    let memory =
        Folder { store: Store::Objects(objects::testing::in_memory()), base: ArtifactPath::default() };
    let mut stores = vec![("disk", dir, folder), ("memory", tempfile::tempdir().unwrap(), memory)];
    if let Ok(bucket) = std::env::var("TEST_S3_BUCKET") {
        let settings = Settings {
            destination: format!("s3://{bucket}/{}", uuid::Uuid::new_v4()),
            default_root: String::new(),
            serve: true,
            allowed_schemes: Vec::new(),
            environment: std::env::vars().collect::<Environment>(),
        };
        let artifacts = Artifacts::new(&settings).unwrap();
        stores.push(("s3", tempfile::tempdir().unwrap(), artifacts.destination().unwrap().clone()));
    }
    stores
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
    let file = folder.open(&path(at), Wanted::Some).await?;
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
    // more than two parts of a multipart upload
    let big: Vec<u8> = (0..12_000_001_u32).map(|i| (i % 251) as u8).collect();
    let part = &big[..5 * 1024 * 1024];
    for (store, _dir, folder) in each_store() {
        for (at, body) in [
            ("empty", &b""[..]),
            ("a/b c/é.txt", b"hello"),
            ("日本/100%", b"x"),
            ("part", part),
            ("big", &big),
        ] {
            put(&folder, at, body).await.unwrap();
            for wanted in [Wanted::All, Wanted::Some] {
                let file = folder.open(&path(at), wanted).await.unwrap();
                let size = file.stat.size_bytes;
                assert_eq!(size, body.len() as u64, "{store}");
                let frames: Vec<Bytes> = file.stream(0..size).try_collect().await.unwrap();
                assert_eq!(frames.concat(), body, "{store} {at}");
            }
        }
        for (from, to) in [(262_143, 262_146), (5, 2_000_000), (7, 7), (11_999_999, 12_000_001)] {
            let range = u64::try_from(from).unwrap()..u64::try_from(to).unwrap();
            assert_eq!(get(&folder, "big", range).await.unwrap(), &big[from..to], "{store}");
        }
    }
}

/// Names are keys, and nothing in them is encoded.
#[tokio::test]
async fn odd_names_stay_as_they_are() {
    for (store, _dir, folder) in each_store() {
        let odd = [
            "!x",
            "(1)[2]{3}",
            "100%",
            "a b",
            "a#1",
            "a&b=c",
            "a'b",
            "a*b",
            "a+b",
            "a:b",
            "a;b",
            "a?b",
            "é",
            "日本",
        ];
        for name in odd {
            // no client can say '#', but what lies there already is shown
            let at = ArtifactPath::parse("odd").unwrap().join(&ArtifactPath::unchecked(name));
            let mut upload = folder.upload(&at).await.unwrap();
            upload.write(Bytes::copy_from_slice(name.as_bytes())).await.unwrap();
            upload.finish().await.unwrap();
            let file = folder.open(&at, Wanted::All).await.unwrap();
            let frames: Vec<Bytes> = file.stream(0..name.len() as u64).try_collect().await.unwrap();
            assert_eq!(frames.concat(), name.as_bytes(), "{store}");
        }
        assert_eq!(names(&folder, "odd").await, odd, "{store}");
    }
}

#[tokio::test]
async fn lists_are_sorted_and_flat() {
    for (store, _dir, folder) in each_store() {
        for at in ["b.txt", "a/x/deep", "a/y", "a b", "é", "B", "aa"] {
            put(&folder, at, b"12345").await.unwrap();
        }
        assert_eq!(names(&folder, "").await, ["B", "a/", "a b", "aa", "b.txt", "é"], "{store}");
        assert_eq!(names(&folder, "a").await, ["x/", "y"], "{store}");
        for nothing in ["b.txt", "nosuch/deeper", "b.txt/below"] {
            assert_eq!(names(&folder, nothing).await, [""; 0], "{store}");
        }
        let sizes: Vec<_> =
            folder.list(&path("a")).await.unwrap().into_iter().map(|e| e.size_bytes).collect();
        assert_eq!(sizes, [None, Some(5)], "{store}");
    }
}

#[tokio::test]
async fn a_base_is_the_root_of_what_is_seen() {
    for (store, _dir, folder) in each_store() {
        put(&folder, "1/r/artifacts/m/x", b"1").await.unwrap();
        let run = Folder { base: folder.base.join(&path("1/r/artifacts")), ..folder };
        assert_eq!(names(&run, "").await, ["m/"], "{store}");
        assert_eq!(get(&run, "m/x", 0..1).await.unwrap(), b"1", "{store}");
        let error = run.open(&path("nosuch"), Wanted::All).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceDoesNotExist, "{store}");
        assert!(error.message.ends_with("1/r/artifacts/nosuch'"), "{store}: {}", error.message);
    }
}

#[tokio::test]
async fn uploads_show_when_they_are_finished() {
    for (store, _dir, folder) in each_store() {
        put(&folder, "kept", b"old").await.unwrap();
        let mut small = folder.upload(&path("kept")).await.unwrap();
        let mut large = folder.upload(&path("new/large")).await.unwrap();
        small.write(Bytes::from_static(b"new")).await.unwrap();
        large.write(Bytes::from(vec![1; 11_000_000])).await.unwrap();
        assert_eq!(names(&folder, "").await, ["kept"], "{store}");
        assert_eq!(get(&folder, "kept", 0..3).await.unwrap(), b"old", "{store}");
        small.finish().await.unwrap();
        drop(large);
        assert_eq!(get(&folder, "kept", 0..3).await.unwrap(), b"new", "{store}");
        assert_eq!(names(&folder, "new").await, [""; 0], "{store}");
    }
}

#[tokio::test]
async fn deleting_takes_a_file_or_all_below() {
    for (store, _dir, folder) in each_store() {
        for at in ["a/b/c", "a/b/d", "a/bc", "a/e", "f"] {
            put(&folder, at, b"1").await.unwrap();
        }
        for at in ["a/b", "f", "nosuch", "a/e/below"] {
            folder.delete(&path(at)).await.unwrap();
        }
        assert_eq!(names(&folder, "").await, ["a/"], "{store}");
        assert_eq!(names(&folder, "a/b").await, [""; 0], "{store}");
        let mut left = names(&folder, "a").await;
        // SeaweedFS goes on to list folders that are empty
        left.retain(|name| store != "s3" || name != "b/");
        assert_eq!(left, ["bc", "e"], "{store}");
        let root = Folder { base: ArtifactPath::default(), ..folder };
        assert_eq!(root.delete(&path("")).await.unwrap_err().message, "Invalid path", "{store}");
    }
}

#[tokio::test]
async fn a_folder_is_no_file() {
    for (store, _dir, folder) in each_store() {
        put(&folder, "a/b", b"1").await.unwrap();
        for (at, code) in [
            ("nosuch", ErrorCode::ResourceDoesNotExist),
            ("a/b/c", ErrorCode::ResourceDoesNotExist),
            ("a", ErrorCode::InvalidParameterValue),
            ("", ErrorCode::InvalidParameterValue),
        ] {
            for wanted in [Wanted::All, Wanted::Some] {
                let error = folder.open(&path(at), wanted).await.unwrap_err();
                assert_eq!(error.code, code, "{store} {at}");
            }
        }
    }
}

#[tokio::test]
async fn an_etag_changes_with_the_content() {
    for (store, _dir, folder) in each_store() {
        let etag = async || folder.open(&path("a"), Wanted::Some).await.unwrap().stat.etag;
        put(&folder, "a", b"1").await.unwrap();
        let before = etag().await;
        assert_eq!(etag().await, before, "{store}");
        put(&folder, "a", b"22").await.unwrap();
        assert_ne!(etag().await, before, "{store}");
    }
}

/// An answer with bytes of two files would look like a whole one.
#[tokio::test]
async fn a_file_that_is_replaced_is_not_mixed() {
    for (store, _dir, folder) in each_store().into_iter().filter(|(store, ..)| *store != "disk") {
        put(&folder, "x", &[1; 100]).await.unwrap();
        let file = folder.open(&path("x"), Wanted::Some).await.unwrap();
        put(&folder, "x", &[2; 100]).await.unwrap();
        let frames: std::io::Result<Vec<Bytes>> = file.stream(0..100).try_collect().await;
        assert!(frames.is_err(), "{store}");
    }
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
    let error = folder.open(&path(hidden.strip_prefix("root/").unwrap()), Wanted::Some).await.unwrap_err();
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
        // large enough for a write in flight when it is dropped
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
        let error = folder.open(&path(at), Wanted::Some).await.unwrap_err();
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
            folder.open(&at_path, Wanted::Some).await.map(drop).unwrap_err(),
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
    let error = folder.open(&path("pipe"), Wanted::Some).await.unwrap_err();
    assert_eq!(error.message, "Artifact is not a regular file: 'pipe'");
}

/// A file truncated during a read ends in an error: a short response would look whole.
#[tokio::test]
async fn disk_reports_a_file_that_shrinks() {
    let (dir, folder) = disk();
    put(&folder, "x", &[1; 100]).await.unwrap();
    let file = folder.open(&path("x"), Wanted::Some).await.unwrap();
    std::fs::write(dir.path().join("root/x"), b"short").unwrap();
    let frames: std::io::Result<Vec<Bytes>> = file.stream(0..100).try_collect().await;
    assert_eq!(frames.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}
