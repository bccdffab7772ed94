//! Object stores over HTTP: S3 and compatible ones, Google and Azure. One client per bucket or container.
//!
//! Folders are common prefixes up to a slash. A key is the path of its artifact, without any encoding, so it
//! is the key that the client library would have written. The clouds differ in how a client is made (`s3`,
//! `google`, `azure`); uploads are in `upload`, errors in `failure`.

mod aws_profile;
mod azure;
mod blocks;
mod failure;
mod google;
mod http;
mod lists;
mod presign;
mod region;
mod s3;
#[cfg(test)]
pub(super) mod testing;
mod upload;

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::signer::Signer;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, HeaderMap, ObjectMeta, ObjectStore, RetryConfig,
};
use percent_encoding::percent_decode_str;

pub use presign::{Part, PartUrl, PresignedDownload, PresignedUpload};
pub(super) use upload::ObjectUpload;
pub(super) use upload::Uploads;

use super::{ArtifactPath, Entry, Stat};
use crate::config::Environment;
use crate::domain::artifact_uri::UriParts;
use crate::domain::{Error, Result};
use failure::misconfigured;

/// The read timeout of a request to a store.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is sent to a client at once, at most.
const FRAME_BYTES: usize = 256 * 1024;

/// The vendor. It decides what stock can do with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Google,
    /// `wasbs:`
    AzureBlobs,
    /// `abfss:`
    AzureLake,
}

/// A bucket or container.
pub(super) struct Objects {
    kind: Kind,
    /// As in `s3://bucket`, for messages and logs.
    name: String,
    store: Arc<dyn ObjectStore>,
    /// The same bucket; what goes through here is sent with the headers of new objects.
    writer: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
    /// As `writer`.
    multipart_writer: Arc<dyn MultipartStore>,
    signer: Arc<dyn Signer>,
    /// Headers of new objects: encryption, ACL, storage class.
    upload_headers: HeaderMap,
    uploads: Arc<Uploads>,
}

impl fmt::Debug for Objects {
    /// Redacts credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.name).finish()
    }
}

/// Says whether a URI scheme is that of an object store.
pub(super) fn is_object_scheme(scheme: &str) -> bool {
    matches!(scheme, "s3" | "gs" | "wasbs" | "abfss")
}

/// Returns the path of an object store URI in its bucket.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` if it climbs.
pub(super) fn path(parts: &UriParts<'_>) -> Result<ArtifactPath> {
    match parts.scheme.as_str() {
        "abfss" => ArtifactPath::literal(&percent_decode_str(parts.path).decode_utf8_lossy()),
        _ => ArtifactPath::literal(parts.path),
    }
}

/// Makes the client for the bucket of a URI.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a URI that names no bucket; `INTERNAL_ERROR` if the environment's settings are wrong.
pub(super) fn open(
    parts: &UriParts<'_>,
    environment: &Environment,
    uploads: &Arc<Uploads>,
) -> Result<Objects> {
    let uploads = Arc::clone(uploads);
    match parts.scheme.as_str() {
        "s3" => s3::open(parts, environment, uploads),
        "gs" => google::open(parts, environment, uploads),
        _ => azure::open(parts, environment, uploads),
    }
}

/// Every client's timeouts. They limit silence and not the total, since files may be large and clients slow.
fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(READ_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_http1_only()
}

/// Retries transient errors, for some seconds: the waiting client has a timeout, too.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(4),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(20),
    }
}

fn key(path: &ArtifactPath) -> Result<Key> {
    Key::parse(path.as_str()).map_err(|e| Error::invalid("Invalid path").with_source(e))
}

fn no_such(path: &ArtifactPath) -> Error {
    Error::not_found(format!("No such artifact: '{path}'"))
}

fn is_folder(path: &ArtifactPath) -> Error {
    Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'"))
}

/// What a method of `object_store`'s traits returns.
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An object that was found.
#[derive(Debug)]
pub(super) struct Object {
    objects: Arc<Objects>,
    meta: ObjectMeta,
    /// The bytes, if they are coming already.
    body: Option<Body>,
}

/// What is coming of an object.
struct Body(BoxStream<'static, object_store::Result<Bytes>>);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

/// How much of a file the caller will want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: its body may be requested together with its metadata.
    All,
    /// A part, or perhaps nothing.
    Some,
}

impl Objects {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what lies directly in `path`, files and folders sorted by name.
    pub(super) async fn list(&self, path: &ArtifactPath) -> Result<Vec<Entry>> {
        let folder = key(path)?;
        let found =
            self.store.list_with_delimiter(Some(&folder)).await.map_err(|e| self.failure(&e, path))?;
        let folders = found.common_prefixes.iter().filter_map(|prefix| {
            prefix.filename().map(|name| Entry { name: name.to_owned(), size_bytes: None })
        });
        let mut entries: Vec<Entry> = folders.collect();
        let is_lake = matches!(self.kind, Kind::AzureBlobs | Kind::AzureLake);
        for object in &found.objects {
            // some tools mark a folder by an empty object that ends in a slash
            let is_marker = object.location == folder
                // and Azure's file systems mark each by an object of its name
                || is_lake && object.size == 0 && found.common_prefixes.contains(&object.location);
            if let Some(name) = object.location.filename().filter(|_| !is_marker) {
                entries.push(Entry { name: name.to_owned(), size_bytes: Some(object.size) });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(super) async fn open(
        self: &Arc<Self>,
        path: &ArtifactPath,
        wanted: Wanted,
    ) -> Result<(Stat, Object)> {
        if path.is_root() {
            return Err(is_folder(path));
        }
        if path.is_reserved() {
            return Err(no_such(path));
        }
        let options = GetOptions { head: wanted == Wanted::Some, ..GetOptions::default() };
        let found = match self.store.get_opts(&key(path)?, options).await {
            Ok(found) => found,
            Err(e) => return Err(self.why_not_open(e, path).await),
        };
        let meta = found.meta.clone();
        if meta.e_tag.is_none() && meta.last_modified.timestamp() == 0 {
            // no store sends such a response, but captive portals and proxies do
            return Err(self.away().with_source("the answer is no object"));
        }
        let body = (wanted == Wanted::All).then(|| Body(found.into_stream()));
        let stat = Stat {
            size_bytes: meta.size,
            modified: Some(SystemTime::from(meta.last_modified)),
            etag: etag(&meta),
        };
        Ok((stat, Object { objects: Arc::clone(self), meta, body }))
    }

    /// Tells a folder from nothing at all.
    async fn why_not_open(&self, error: object_store::Error, path: &ArtifactPath) -> Error {
        if !matches!(error, object_store::Error::NotFound { .. }) {
            return self.failure(&error, path);
        }
        let Ok(folder) = key(path) else { return no_such(path) };
        match self.store.list(Some(&folder)).next().await {
            Some(Ok(_)) => is_folder(path),
            Some(Err(e)) => self.failure(&e, path),
            None => self.failure(&error, path),
        }
    }

    pub(super) fn upload(self: &Arc<Self>, path: ArtifactPath) -> Result<ObjectUpload> {
        if path.is_root() {
            return Err(is_folder(&path));
        }
        Ok(ObjectUpload::new(Arc::clone(self), key(&path)?, path))
    }

    /// Deletes the object at `path` and all below it.
    pub(super) async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        if path.is_root() {
            return Err(Error::invalid("Invalid path"));
        }
        let folder = key(path)?;
        let below = self.store.list(Some(&folder)).map_ok(|meta| meta.location);
        // only S3's delete is idempotent
        let has_file = match self.kind {
            Kind::S3 => true,
            _ => match self.store.get_opts(&folder, GetOptions { head: true, ..GetOptions::default() }).await
            {
                Ok(_) => true,
                Err(object_store::Error::NotFound { .. }) => false,
                Err(e) => return Err(self.failure(&e, path)),
            },
        };
        let file = stream::iter(has_file.then_some(Ok(folder)));
        let mut deleted = self.store.delete_stream(file.chain(below).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failure(&e, path)),
            }
        }
        Ok(())
    }
}

/// Returns the entity tag; stores without one get length and date.
fn etag(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) => tag.trim_matches('"').to_owned(),
        None => format!("{:x}-{:x}", meta.last_modified.timestamp_millis(), meta.size),
    }
}

impl Object {
    /// See [`super::File::stream`]. If the object changes between its metadata and its body, the stream ends
    /// in an error: one response never mixes two files.
    pub(super) fn stream(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> {
        let frames = async move {
            match self.body {
                _ if range.is_empty() => Ok(stream::empty().boxed()),
                Some(body) if range == (0..self.meta.size) => Ok(body.0),
                _ => self.objects.read(&self.meta, range).await,
            }
        };
        stream::once(frames)
            .try_flatten()
            .map_ok(|frame| stream::iter(split(frame).map(Ok)))
            .try_flatten()
            .map_err(|e| failure::while_reading(&e))
    }
}

/// Cuts a frame into pieces that a slow client takes at a time.
pub(in crate::artifacts) fn split(mut frame: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = frame.len().min(FRAME_BYTES);
        (length > 0).then(|| frame.split_to(length))
    })
}

impl Objects {
    async fn read(
        &self,
        meta: &ObjectMeta,
        range: Range<u64>,
    ) -> object_store::Result<BoxStream<'static, object_store::Result<Bytes>>> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: meta.e_tag.clone(),
            ..GetOptions::default()
        };
        Ok(self.store.get_opts(&meta.location, options).await?.into_stream())
    }
}
