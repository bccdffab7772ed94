//! The bytes behind artifact URIs: which store and which folder a URI means, and the stores themselves.
//!
//! [`Artifacts`] is built once from the settings. Handlers ask it for a [`Folder`]: the artifact proxy for
//! the whole destination, everything else for the folder of a run or model by its URI. A `Folder` lists,
//! opens, writes and deletes by [`ArtifactPath`], and never holds a file in memory.
//!
//! A store is the local disk (`disk`), a bucket behind HTTP (`objects`) or another MLflow server (`remote`).

mod disk;
mod local;
pub mod mime;
mod objects;
mod path;
mod remote;
mod remote_client;
mod sweep;
#[cfg(test)]
mod tests;
mod uri;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

pub use local::require_within;
pub use objects::{Part, PartUrl, PresignedDownload, PresignedUpload, Wanted};
pub use path::ArtifactPath;
pub use sweep::start_sweeping;
pub use uri::{Artifacts, Settings, default_root};

use crate::domain::{Error, ErrorCode, Result};
use disk::Disk;
use objects::{Kind, Objects};
use remote::{Remote, RemoteFile, RemoteUpload};

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in its folder.
    pub name: String,
    /// `None` for a folder.
    pub size_bytes: Option<u64>,
}

/// The metadata of a file.
#[derive(Debug, Clone)]
pub struct Stat {
    /// The length in bytes.
    pub size_bytes: u64,
    /// When it was written, if the store knows.
    pub modified: Option<SystemTime>,
    /// The entity tag (content version); without quotes.
    pub etag: String,
}

/// A place that holds artifacts.
#[derive(Debug, Clone)]
enum Store {
    Disk(Disk),
    Objects(Arc<Objects>),
    Remote(Remote),
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
            Store::Objects(objects) => objects.list(&path).await,
            Store::Remote(remote) => remote.list(&path).await,
        }
    }

    /// Opens a file for reading. `wanted` is a hint: a store behind HTTP needs one request instead of two if
    /// all of the file is wanted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is none; `INVALID_PARAMETER_VALUE` if it is a folder or a symlink leads
    /// out of the store; `PERMISSION_DENIED` if it cannot be read; `TEMPORARILY_UNAVAILABLE` if the store is away.
    pub async fn open(&self, path: &ArtifactPath, wanted: Wanted) -> Result<File> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => {
                disk.open(path).await.map(|(stat, file)| File { stat, source: Source::Disk(file) })
            }
            Store::Objects(objects) => {
                let (stat, object) = objects.open(&path, wanted).await?;
                Ok(File { stat, source: Source::Object(object) })
            }
            Store::Remote(remote) => {
                let (stat, file) = remote.open(&path).await?;
                Ok(File { stat, source: Source::Remote(file) })
            }
        }
    }

    /// Begins to write a file. Atomic: nothing is visible, not even new folders, until [`Upload::finish`]; if
    /// that is never called, nothing is left.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if a symlink leads out of the store or a name on the way is a file.
    pub async fn upload(&self, path: &ArtifactPath) -> Result<Upload> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => disk.upload(path).await.map(Upload::Disk),
            Store::Objects(objects) => objects.upload(path).map(Upload::Object),
            Store::Remote(remote) => remote.upload(path).map(Upload::Remote),
        }
    }

    /// Deletes a file, or a folder recursively; idempotent. Empty parent folders stay, as with stock.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for the root of the store or if a symlink leads out of it.
    pub async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        let path = self.base.join(path);
        match &self.store {
            Store::Disk(disk) => disk.delete(path).await,
            Store::Objects(objects) => objects.delete(&path).await,
            Store::Remote(remote) => remote.delete(&path).await,
        }
    }

    /// Says what clients may do with the store themselves.
    ///
    /// Upstream: which of `MultipartUploadMixin`, `MultipartDownloadMixin` and `PresignedUploadMixin` a repository has.
    pub fn direct(&self) -> Direct {
        let kind = match &self.store {
            Store::Disk(_) | Store::Remote(_) => None,
            Store::Objects(objects) => Some(objects.kind()),
        };
        Direct {
            uploads_in_parts: matches!(kind, Some(Kind::S3 | Kind::Google | Kind::AzureBlobs)),
            downloads: kind == Some(Kind::S3),
            uploads: kind == Some(Kind::S3),
        }
    }

    /// Makes a presigned URL for downloading a file.
    ///
    /// # Errors
    /// `NOT_IMPLEMENTED` for stores without [`Direct::downloads`]; otherwise as [`Folder::open`].
    pub async fn presign_download(&self, path: &ArtifactPath, ttl: Duration) -> Result<PresignedDownload> {
        self.objects(self.direct().downloads)?.presign_download(&self.base.join(path), ttl).await
    }

    /// Makes a presigned URL for uploading a file.
    ///
    /// # Errors
    /// `NOT_IMPLEMENTED` for stores without [`Direct::uploads`].
    pub async fn presign_upload(&self, path: &ArtifactPath, ttl: Duration) -> Result<PresignedUpload> {
        self.objects(self.direct().uploads)?.presign_upload(&self.base.join(path), ttl).await
    }

    /// Begins a multipart upload of `parts` parts by a client; returns its id, if the store gives one.
    ///
    /// # Errors
    /// `NOT_IMPLEMENTED` for stores without [`Direct::uploads_in_parts`]; `INVALID_PARAMETER_VALUE` for too many parts.
    pub async fn create_multipart(
        &self,
        path: &ArtifactPath,
        parts: i64,
    ) -> Result<(Option<String>, Vec<PartUrl>)> {
        self.objects(self.direct().uploads_in_parts)?.create_multipart(&self.base.join(path), parts).await
    }

    /// Completes a multipart upload, as a visible file.
    ///
    /// # Errors
    /// As [`Folder::create_multipart`]; `RESOURCE_DOES_NOT_EXIST` if there is no such upload,
    /// `INVALID_PARAMETER_VALUE` for parts that do not make a file.
    pub async fn complete_multipart(&self, path: &ArtifactPath, id: &str, parts: Vec<Part>) -> Result<()> {
        let objects = self.objects(self.direct().uploads_in_parts)?;
        objects.complete_multipart(&self.base.join(path), id, parts).await
    }

    /// Aborts a multipart upload.
    ///
    /// # Errors
    /// As [`Folder::create_multipart`]; `RESOURCE_DOES_NOT_EXIST` if there is no such upload.
    pub async fn abort_multipart(&self, path: &ArtifactPath, id: &str) -> Result<()> {
        self.objects(self.direct().uploads_in_parts)?.abort_multipart(&self.base.join(path), id).await
    }

    fn objects(&self, is_able: bool) -> Result<&Arc<Objects>> {
        match &self.store {
            Store::Objects(objects) if is_able => Ok(objects),
            _ => Err(Error::new(ErrorCode::NotImplemented, "The artifact store cannot do this.")),
        }
    }
}

/// What clients may do directly, with presigned URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Direct {
    /// Multipart uploads.
    pub uploads_in_parts: bool,
    /// Downloads.
    pub downloads: bool,
    /// Uploads.
    pub uploads: bool,
}

/// A file that can be read.
#[derive(Debug)]
pub struct File {
    /// Its metadata.
    pub stat: Stat,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Disk(std::fs::File),
    Object(objects::Object),
    Remote(RemoteFile),
}

impl File {
    /// Streams the bytes of `range` in frames of 256 KiB at most. The next frame is read on demand, so a slow
    /// client holds one frame and no thread, and dropping the stream is cancellation.
    pub fn stream(self, range: Range<u64>) -> impl Stream<Item = std::io::Result<Bytes>> {
        match self.source {
            Source::Disk(file) => disk::stream(file, range).left_stream(),
            Source::Object(object) => object.stream(range).left_stream().right_stream(),
            Source::Remote(file) => file.stream(range).right_stream().right_stream(),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub enum Upload {
    /// On the local disk.
    Disk(disk::DiskUpload),
    /// In an object store.
    Object(objects::ObjectUpload),
    /// On another server.
    Remote(RemoteUpload),
}

impl Upload {
    /// Writes the next bytes, with backpressure: memory does not grow with the file.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::Disk(upload) => upload.write(bytes).await,
            Self::Object(upload) => upload.write(bytes).await,
            Self::Remote(upload) => upload.write(bytes).await,
        }
    }

    /// Makes the file visible, replacing an older one. On return it is durable.
    pub async fn finish(self) -> Result<()> {
        match self {
            Self::Disk(upload) => upload.finish().await,
            Self::Object(upload) => upload.finish().await,
            Self::Remote(upload) => upload.finish().await,
        }
    }
}
