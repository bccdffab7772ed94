//! Garbage collection of uploads whose server was killed: orphaned temporary files under a reserved name.
//! Runs at startup and periodically.

use std::fs::{self, DirEntry, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use tracing::{debug, info, warn};

use super::path::UPLOAD_PREFIX;

/// The minimum age since the last write. The file lock of a server on another machine, or a stock one, may
/// not be visible; too short, and a slow client loses its upload.
const MIN_AGE: Duration = Duration::from_hours(1);
/// The pause after the first sweep: young files are old enough by then.
const FIRST_PAUSE: Duration = Duration::from_mins(70);
/// The pause between sweeps, each a full scan.
const PAUSE: Duration = Duration::from_hours(24);

/// What was removed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Swept {
    files: u64,
    bytes: u64,
}

/// Starts a thread that sweeps `roots`, now and periodically. It ends with the process.
pub fn start_sweeping(roots: Vec<PathBuf>) {
    let body = move || {
        let mut pause = FIRST_PAUSE;
        loop {
            for root in &roots {
                sweep_and_tell(root);
            }
            thread::sleep(pause);
            pause = PAUSE;
        }
    };
    if let Err(error) = thread::Builder::new().name("artifact-sweeper".into()).spawn(body) {
        warn!(%error, "uploads that were never finished are not removed");
    }
}

fn sweep_and_tell(root: &Path) {
    let swept = sweep(root, SystemTime::now() - MIN_AGE);
    if swept.files > 0 {
        info!(
            "removed {} uploads that were never finished, {} bytes, below {}",
            swept.files,
            swept.bytes,
            root.display()
        );
    }
}

/// Removes orphans below `root` that were last written before `latest`. Symlinks are not followed.
fn sweep(root: &Path, latest: SystemTime) -> Swept {
    let mut swept = Swept::default();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // what cannot be read, or has gone meanwhile, is not ours
        let Ok(children) = fs::read_dir(&folder) else { continue };
        for child in children.flatten() {
            match child.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(child.path()),
                Ok(kind) if kind.is_file() && is_leftover(&child, latest) => remove(&child, &mut swept),
                _ => {}
            }
        }
    }
    swept
}

fn is_leftover(child: &DirEntry, latest: SystemTime) -> bool {
    let is_upload = child.file_name().to_string_lossy().starts_with(UPLOAD_PREFIX);
    is_upload
        && child.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|written| written < latest)
        && !is_held(&child.path())
}

/// Says whether a server of ours holds its lock.
fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn remove(child: &DirEntry, swept: &mut Swept) {
    let bytes = child.metadata().map_or(0, |metadata| metadata.len());
    match fs::remove_file(child.path()) {
        Ok(()) => {
            swept.files += 1;
            swept.bytes += bytes;
        }
        Err(error) => debug!(%error, "cannot remove {}", child.path().display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_leftovers_that_nobody_holds_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let below = root.path().join("1/run/artifacts");
        fs::create_dir_all(&below).unwrap();
        let old = SystemTime::now() - Duration::from_hours(2);
        let put = |path: PathBuf, written: SystemTime| {
            let file = File::create(&path).unwrap();
            file.set_len(5).unwrap();
            file.set_modified(written).unwrap();
            file
        };
        let name = |text: &str| format!("{UPLOAD_PREFIX}{text}");
        put(below.join(name("old")), old);
        put(root.path().join(name("old")), old);
        put(below.join(name("young")), SystemTime::now());
        put(below.join("model.bin"), old);
        put(outside.path().join(name("elsewhere")), old);
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
        let held = put(below.join(name("held")), old);
        held.lock().unwrap();

        let swept = sweep(root.path(), SystemTime::now() - MIN_AGE);
        assert_eq!(swept, Swept { files: 2, bytes: 10 });
        let mut left: Vec<_> = fs::read_dir(&below).unwrap().map(|c| c.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [name("held"), name("young"), "model.bin".into()].map(std::ffi::OsString::from));
        assert!(outside.path().join(name("elsewhere")).exists());
        drop(held);
        assert_eq!(sweep(root.path(), SystemTime::now() - MIN_AGE).files, 1);
    }
}
