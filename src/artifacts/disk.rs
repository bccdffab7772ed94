//! The store on the local file system, over `std::fs` directly: `object_store`'s own hides names such as
//! `a#1`, fails on control characters in names, follows symlinks out of its root and reads in small frames.
//!
//! Everything here is blocking I/O, on the runtime's blocking threads, one call at a time: a slow client
//! never holds one.

use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::stream;
use futures_util::{Stream, StreamExt as _};
use tokio::task::{JoinHandle, spawn_blocking};

use super::path::UPLOAD_PREFIX;
use super::{ArtifactPath, Entry, Stat};
use crate::domain::{Error, ErrorCode, Result};

/// The read buffer size.
const READ_FRAME_BYTES: u64 = 256 * 1024;
/// The write buffer size.
const WRITE_FRAME_BYTES: usize = 1024 * 1024;

/// A folder of the local file system as a store.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    place: Place,
}

/// A folder, and the folders that must contain it.
#[derive(Debug, Clone)]
struct Place {
    root: PathBuf,
    /// The folders that contain `root` by name, and must also with symlinks resolved.
    within: Vec<PathBuf>,
}

impl Disk {
    /// `root` need not exist; the first upload makes it.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { place: Place { root, within: Vec::new() } }
    }

    /// Refuses everything if the folder turns out to lie outside of `folder`.
    pub(super) fn keep_within(&mut self, folder: PathBuf) {
        self.place.within.push(folder);
    }

    /// Returns the folder.
    #[cfg(test)]
    pub(super) fn root(&self) -> &Path {
        &self.place.root
    }

    pub(super) async fn list(&self, path: ArtifactPath) -> Result<Vec<Entry>> {
        let place = self.place.clone();
        blocking(move || list(&place, &path)).await
    }

    pub(super) async fn open(&self, path: ArtifactPath) -> Result<(Stat, fs::File)> {
        let place = self.place.clone();
        blocking(move || open(&place, &path)).await
    }

    pub(super) async fn upload(&self, path: ArtifactPath) -> Result<DiskUpload> {
        let place = self.place.clone();
        blocking(move || DiskUpload::begin(&place, path)).await
    }

    pub(super) async fn delete(&self, path: ArtifactPath) -> Result<()> {
        let place = self.place.clone();
        blocking(move || delete(&place, &path)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(Error::internal)?
}

/// Returns where `path` lies with all symlinks resolved; a tail that does not exist is taken as it is.
///
/// A race (TOCTOU) between this check and the use of its result remains; who can put a symlink there has
/// access to the folder anyway. Upstream: `validate_path_within_directory`.
fn locate(place: &Place, path: &ArtifactPath) -> Result<PathBuf> {
    let root = &place.root;
    let Ok(real_root) = root.canonicalize() else {
        place.require_missing()?;
        return Ok(root.join(path.as_str()));
    };
    place.require_within(&real_root)?;
    let mut missing = Vec::new();
    let mut names: Vec<&str> = path.as_str().split('/').filter(|name| !name.is_empty()).collect();
    loop {
        let candidate: PathBuf = real_root.join(names.join("/"));
        if candidate.symlink_metadata().is_ok() {
            // a dangling symlink cannot be resolved: its target is unknown
            let mut found = candidate.canonicalize().map_err(|e| outside().with_source(e))?;
            if !found.starts_with(&real_root) {
                return Err(outside());
            }
            found.extend(missing.iter().rev());
            return Ok(found);
        }
        match names.pop() {
            Some(name) => missing.push(name),
            None => return Ok(root.join(path.as_str())),
        }
    }
}

impl Place {
    fn require_within(&self, real_root: &Path) -> Result<()> {
        let leads_out =
            |folder: &PathBuf| folder.canonicalize().is_ok_and(|real| !real_root.starts_with(real));
        if self.within.iter().any(leads_out) { Err(outside()) } else { Ok(()) }
    }

    /// Checks the part of the root that exists, before the rest is made.
    fn require_missing(&self) -> Result<()> {
        for folder in &self.within {
            let steps = self.root.ancestors().take_while(|step| step.starts_with(folder) && *step != folder);
            let Some(existing) = steps.into_iter().find(|step| step.symlink_metadata().is_ok()) else {
                continue;
            };
            let real = existing.canonicalize().map_err(|e| outside().with_source(e))?;
            if folder.canonicalize().is_ok_and(|folder| !real.starts_with(folder)) {
                return Err(outside());
            }
        }
        Ok(())
    }
}

fn outside() -> Error {
    Error::invalid("Invalid path: resolved path is outside the artifact directory")
}

fn no_such(path: &ArtifactPath) -> Error {
    Error::not_found(format!("No such artifact: '{path}'"))
}

fn is_folder(path: &ArtifactPath) -> Error {
    Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'"))
}

/// Tells apart what the file system says.
fn io_error(error: io::Error, path: &ArtifactPath) -> Error {
    let (code, message) = match error.kind() {
        ErrorKind::NotFound => return no_such(path).with_source(error),
        ErrorKind::IsADirectory => return is_folder(path).with_source(error),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            (ErrorCode::InvalidParameterValue, format!("A folder of the artifact path '{path}' is a file."))
        }
        ErrorKind::InvalidFilename => {
            (ErrorCode::InvalidParameterValue, format!("A name in the artifact path '{path}' is too long."))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (ErrorCode::PermissionDenied, format!("The server has no access to artifact '{path}'."))
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (ErrorCode::StorageFull, "The disk of the artifacts is full: nothing was written.".to_owned())
        }
        _ => return Error::internal(error),
    };
    Error::new(code, message).with_source(error)
}

fn list(place: &Place, path: &ArtifactPath) -> Result<Vec<Entry>> {
    let folder = locate(place, path)?;
    let children = match fs::read_dir(&folder) {
        Ok(children) => children,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(io_error(e, path)),
    };
    let real_root = place.root.canonicalize().map_err(|e| io_error(e, path))?;
    let mut entries = Vec::new();
    for child in children {
        let child = child.map_err(|e| io_error(e, path))?;
        let name = child.file_name().to_string_lossy().into_owned();
        if !name.starts_with(UPLOAD_PREFIX) {
            entries.extend(entry(&real_root, &child, name));
        }
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Looks at one child; `None` if it has gone meanwhile or is a symlink that could not be opened either.
fn entry(real_root: &Path, child: &fs::DirEntry, name: String) -> Option<Entry> {
    let mut metadata = child.metadata().ok()?;
    if metadata.is_symlink() {
        let target = child.path().canonicalize().ok()?;
        if !target.starts_with(real_root) {
            return None;
        }
        metadata = target.metadata().ok()?;
    }
    Some(Entry { name, size_bytes: (!metadata.is_dir()).then_some(metadata.len()) })
}

fn open(place: &Place, path: &ArtifactPath) -> Result<(Stat, fs::File)> {
    let location = locate(place, path)?;
    if path.is_reserved() {
        return Err(no_such(path));
    }
    let metadata = match location.metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotADirectory => return Err(no_such(path)),
        Err(e) => return Err(io_error(e, path)),
    };
    if metadata.is_dir() {
        return Err(is_folder(path));
    }
    if !metadata.is_file() {
        // opening a FIFO would block
        return Err(Error::invalid(format!("Artifact is not a regular file: '{path}'")));
    }
    let file = fs::File::open(&location).map_err(|e| io_error(e, path))?;
    let stat = stat(&file.metadata().map_err(|e| io_error(e, path))?);
    Ok((stat, file))
}

fn stat(metadata: &fs::Metadata) -> Stat {
    let modified = metadata.modified().ok();
    let nanos = modified.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
    Stat { size_bytes: metadata.len(), modified, etag: format!("{nanos:x}-{:x}", metadata.len()) }
}

/// See [`super::File::stream`].
pub(super) fn stream(file: fs::File, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> {
    let frames = |first| {
        stream::try_unfold(first, |reading: Option<Reading>| async {
            let Some(reading) = reading else { return Ok(None) };
            let (frame, file, rest) = reading.await.map_err(io::Error::other)??;
            // prefetch while this one is sent
            Ok(Some((Bytes::from(frame), read_frame(file, rest))))
        })
    };
    stream::once(async { read_frame(file, range) }).flat_map(frames)
}

/// What gives the next frame, and then the file with what is left of the range.
type Reading = JoinHandle<io::Result<(Vec<u8>, fs::File, Range<u64>)>>;

/// Begins to read the first frame of a range, if there is any.
fn read_frame(file: fs::File, range: Range<u64>) -> Option<Reading> {
    if range.is_empty() {
        return None;
    }
    Some(spawn_blocking(move || {
        let wanted = READ_FRAME_BYTES.min(range.end - range.start);
        let mut frame = Vec::with_capacity(usize::try_from(wanted).map_err(io::Error::other)?);
        (&file).seek(SeekFrom::Start(range.start))?;
        (&file).take(wanted).read_to_end(&mut frame)?;
        if (frame.len() as u64) < wanted {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        Ok((frame, file, range.start + wanted..range.end))
    }))
}

fn delete(place: &Place, path: &ArtifactPath) -> Result<()> {
    if path.is_root() {
        return Err(Error::invalid("Invalid path"));
    }
    locate(place, path)?;
    // delete the symlink, not its target
    let location = place.root.join(path.as_str());
    let result = match location.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&location),
        Ok(_) => fs::remove_file(&location),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(io_error(e, path))
        }
        _ => Ok(()),
    }
}

/// An upload to a temporary file under a reserved name, in the deepest existing folder of its path, renamed
/// at the end. Dropped before, it deletes the file.
#[derive(Debug)]
pub struct DiskUpload {
    path: ArtifactPath,
    target: PathBuf,
    temporary: Temporary,
    /// The write buffer, and its length.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    file: Writing,
}

/// Who has the file: this upload or a blocking thread that is writing to it.
#[derive(Debug)]
enum Writing {
    Idle(fs::File),
    Busy(JoinHandle<io::Result<fs::File>>),
    Failed,
}

impl DiskUpload {
    fn begin(place: &Place, path: ArtifactPath) -> Result<Self> {
        if path.is_root() {
            return Err(is_folder(&path));
        }
        place.require_missing()?;
        fs::create_dir_all(&place.root).map_err(|e| io_error(e, &path))?;
        let target = locate(place, &path)?;
        match target.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => return Err(is_folder(&path)),
            Err(e) if e.kind() == ErrorKind::InvalidFilename => return Err(io_error(e, &path)),
            _ => {}
        }
        let folder = target.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok());
        let folder = folder.ok_or_else(|| no_such(&path))?;
        let name = format!("{UPLOAD_PREFIX}{}", uuid::Uuid::new_v4().simple());
        let temporary = folder.join(name);
        let file = fs::File::create_new(&temporary).map_err(|e| io_error(e, &path))?;
        // the lock tells the sweep that it is in use; not every file system has locks
        file.try_lock().ok();
        Ok(Self {
            path,
            target,
            temporary: Temporary(Some(temporary)),
            pending: Vec::new(),
            pending_bytes: 0,
            file: Writing::Idle(file),
        })
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes < WRITE_FRAME_BYTES {
            return Ok(());
        }
        let file = self.idle_file().await?;
        self.file = Writing::Busy(self.write_pending(file));
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<()> {
        let file = self.idle_file().await?;
        let written = self.write_pending(file).await.map_err(Error::internal)?;
        let file = written.map_err(|e| io_error(e, &self.path))?;
        blocking(move || {
            let result = file.sync_all().and_then(|()| self.temporary.publish(&self.target));
            result.map_err(|e| io_error(e, &self.path))
        })
        .await
    }

    /// Waits for the write that is under way, if there is one.
    async fn idle_file(&mut self) -> Result<fs::File> {
        match std::mem::replace(&mut self.file, Writing::Failed) {
            Writing::Idle(file) => Ok(file),
            Writing::Busy(writing) => {
                let written = writing.await.map_err(Error::internal)?;
                written.map_err(|e| io_error(e, &self.path))
            }
            Writing::Failed => Err(Error::internal("an upload went on after it had failed")),
        }
    }

    fn write_pending(&mut self, mut file: fs::File) -> JoinHandle<io::Result<fs::File>> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        spawn_blocking(move || {
            for bytes in pending {
                file.write_all(&bytes)?;
            }
            Ok(file)
        })
    }
}

/// A temporary file, deleted on drop unless it was published.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Temporary {
    /// Atomic rename to `target`: makes the parent folders, and fsyncs the directories.
    fn publish(&mut self, target: &Path) -> io::Result<()> {
        let (Some(temporary), Some(folder)) = (&self.0, target.parent()) else { return Ok(()) };
        fs::create_dir_all(folder)?;
        fs::rename(temporary, target)?;
        let staging = temporary.parent().map(Path::to_owned);
        self.0 = None;
        for folder in target.ancestors().skip(1) {
            fs::File::open(folder)?.sync_all()?;
            if Some(folder) == staging.as_deref() {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        let remove = move || {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, "cannot remove an upload that was given up: {}", path.display());
            }
        };
        // freeing the blocks of a large file takes a while
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
