//! The bytes behind artifact URIs: which store and which folder a URI means, and the stores themselves.
//!
//! [`Artifacts`] is built once from the settings. Handlers ask it for a [`Folder`]: the artifact proxy for
//! the whole destination, everything else for the folder of a run or model by its URI. A `Folder` lists,
//! opens, writes and deletes by [`ArtifactPath`], and never holds a file in memory.
//!
//! Other stores than the local disk become variants of `Store`.

mod disk;
mod local;
pub mod mime;
mod path;
#[cfg(test)]
mod tests;
mod uri;

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;

pub use local::require_within;
pub use path::ArtifactPath;
pub use uri::{Artifacts, Settings, default_root};

use crate::domain::Result;
use disk::Disk;

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in its folder.
    pub name: String,
    /// `None` for a folder.
    pub size_bytes: Option<u64>,
}

/// What is known of a file before it is read.
#[derive(Debug, Clone)]
pub struct Stat {
    /// The length in bytes.
    pub size_bytes: u64,
    /// When it was written, if the store knows.
    pub modified: Option<SystemTime>,
    /// Changes whenever the content does; without quotes.
    pub etag: String,
}

/// A place that holds artifacts.
#[derive(Debug, Clone)]
enum Store {
    Disk(Disk),
}

/// A folder in a store: what a run, a model or the artifact proxy sees as its root.
#[derive(Debug, Clone)]
pub struct Folder {
    store: Store,
    base: ArtifactPath,
}

impl Folder {
    /// Lists what lies directly in `path`, sorted by name; nothing if `path` is a file or does not exist.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if a symlink leads out of the store; `PERMISSION_DENIED` if it cannot be read.
    pub async fn list(&self, path: &ArtifactPath) -> Result<Vec<Entry>> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => disk.list(path).await,
        }
    }

    /// Opens a file for reading; not a byte of it is read yet.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is none; `INVALID_PARAMETER_VALUE` if it is a folder or a symlink leads
    /// out of the store; `PERMISSION_DENIED` if it cannot be read.
    pub async fn open(&self, path: &ArtifactPath) -> Result<File> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => {
                disk.open(path).await.map(|(stat, file)| File { stat, source: Source::Disk(file) })
            }
        }
    }

    /// Begins to write a file. Nobody sees it, not even new folders on its way, before [`Upload::finish`];
    /// if that is never called, nothing is left.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if a symlink leads out of the store or a name on the way is a file.
    pub async fn upload(&self, path: &ArtifactPath) -> Result<Upload> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => disk.upload(path).await.map(Upload::Disk),
        }
    }

    /// Deletes a file or a folder with all that is in it; that there is none is no error. Emptied folders
    /// above stay, as with stock.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for the root of the store or if a symlink leads out of it.
    pub async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => disk.delete(path).await,
        }
    }
}

/// A file that can be read.
#[derive(Debug)]
pub struct File {
    /// What is known of it.
    pub stat: Stat,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Disk(std::fs::File),
}

impl File {
    /// Streams the bytes of `range` in frames of 256 KiB. The next frame is read when it is asked for, so a
    /// slow reader holds one frame and no thread, and dropping the stream ends the reading.
    pub fn stream(self, range: Range<u64>) -> impl Stream<Item = std::io::Result<Bytes>> {
        match self.source {
            Source::Disk(file) => disk::stream(file, range),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub enum Upload {
    /// On the local disk.
    Disk(disk::DiskUpload),
}

impl Upload {
    /// Takes the next bytes. Waits while the store is behind, so that memory does not grow with the file.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::Disk(upload) => upload.write(bytes).await,
        }
    }

    /// Makes the file visible, in the place of one that may be there. When this returns, it is on disk.
    pub async fn finish(self) -> Result<()> {
        match self {
            Self::Disk(upload) => upload.finish().await,
        }
    }
}
