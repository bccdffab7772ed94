//! The artifact proxy of another MLflow server as a store: a tracking server with `--no-serve-artifacts` beside one with
//! `--artifacts-only`. The other server is reached as the client library reaches it, with its variables
//! (`remote_client`).
//!
//! Upstream: `HttpArtifactRepository`, `MlflowArtifactsRepository`.

use std::fmt;
use std::future::ready;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf as _, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use super::objects::split;
use super::remote_client::Clients;
use super::{ArtifactPath, Entry, Stat, mime};
use crate::domain::{Error, ErrorCode, Result};

/// Where a server has its artifacts, below its API.
pub(super) const ROUTE: &str = "/mlflow-artifacts/artifacts";
/// The size limit of a listing.
const MAX_LISTING_BYTES: usize = 64 * 1024 * 1024;
/// The size limit of an error response.
const MAX_FAILURE_BYTES: usize = 16 * 1024;
/// The timeout for the other server to store a file it has received.
const KEEPING_TIME: Duration = Duration::from_mins(5);
/// URL-safe characters of a path.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Another server's artifacts.
#[derive(Clone)]
pub(super) struct Remote {
    clients: Arc<Clients>,
    /// Up to and with [`ROUTE`].
    address: Url,
}

impl fmt::Debug for Remote {
    /// Redacts credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.name()).finish()
    }
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    files: Vec<ListedFile>,
}

#[derive(Deserialize)]
struct ListedFile {
    path: String,
    #[serde(default)]
    is_dir: bool,
    file_size: Option<u64>,
}

/// The JSON of an error response: MLflow's, or its web framework's.
#[derive(Deserialize, Default)]
struct Failure {
    message: Option<String>,
    detail: Option<String>,
}

impl Remote {
    /// `address` ends in [`ROUTE`].
    pub(super) fn new(clients: Arc<Clients>, address: Url) -> Self {
        Self { clients, address }
    }

    /// Returns the server for messages and logs, without what it may be told as a password.
    fn name(&self) -> String {
        let host = self.address.host_str().unwrap_or_default();
        let port = self.address.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{host}{port}", self.address.scheme())
    }

    fn url(&self, path: &ArtifactPath) -> Url {
        let mut url = self.address.clone();
        if !path.is_root() {
            let path = utf8_percent_encode(path.as_str(), &PLAIN);
            url.set_path(&format!("{}/{path}", self.address.path()));
        }
        url
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.clients.reader.request(method, url).header(ACCEPT_ENCODING, "identity")
    }

    async fn send(&self, request: RequestBuilder, path: &ArtifactPath) -> Result<Response> {
        let response = request.send().await.map_err(|e| self.away(e))?;
        if response.status().is_success() { Ok(response) } else { Err(self.failure(response, path).await) }
    }

    fn away(&self, error: reqwest::Error) -> Error {
        let message = format!("The artifact server {} cannot be reached; try again later.", self.name());
        Error::unavailable(message).with_source(error.without_url())
    }

    /// Maps an error response.
    async fn failure(&self, response: Response, path: &ArtifactPath) -> Error {
        let (status, name) = (response.status(), self.name());
        let body = read(response, MAX_FAILURE_BYTES).await.unwrap_or_default();
        let said = serde_json::from_slice::<Failure>(&body).unwrap_or_default();
        let said = said.message.or(said.detail).unwrap_or_default();
        let known = match status {
            StatusCode::NOT_FOUND => no_such(path),
            // stock has it so where it looks into a bucket
            StatusCode::INTERNAL_SERVER_ERROR if said.contains("No such artifact") => no_such(path),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                tracing::warn!("{name} refuses access to '{path}': {status} {said}");
                let message = format!("The server has no access to artifact '{path}' at {name}.");
                Error::new(ErrorCode::PermissionDenied, message)
            }
            StatusCode::BAD_REQUEST if !said.is_empty() => Error::invalid(said.clone()),
            StatusCode::INSUFFICIENT_STORAGE => {
                Error::new(ErrorCode::StorageFull, format!("The artifact server {name} has no room left."))
            }
            StatusCode::TOO_MANY_REQUESTS => self.busy(),
            status if status.is_server_error() => self.busy(),
            _ => Error::internal(""),
        };
        known.with_source(format!("{name}: {status} {said}"))
    }

    fn busy(&self) -> Error {
        Error::unavailable(format!("The artifact server {} cannot answer now; try again later.", self.name()))
    }

    /// Returns what lies directly in `path`, sorted by name.
    pub(super) async fn list(&self, path: &ArtifactPath) -> Result<Vec<Entry>> {
        let mut url = self.address.clone();
        url.query_pairs_mut().append_pair("path", path.as_str());
        let request = self.request(Method::GET, url);
        let response = match self.send(request, path).await {
            Err(e) if e.code == ErrorCode::ResourceDoesNotExist => return Ok(Vec::new()),
            response => response?,
        };
        let body = read(response, MAX_LISTING_BYTES).await.map_err(|e| self.busy().with_source(e))?;
        // captive portals answer with a page
        let listing: Listing = serde_json::from_slice(&body).map_err(|e| self.busy().with_source(e))?;
        let mut entries: Vec<Entry> = listing.files.iter().filter_map(entry).collect();
        if is_file_itself(&entries, path) {
            entries.clear();
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Requests a file; returns its metadata before its body.
    pub(super) async fn open(&self, path: &ArtifactPath) -> Result<(Stat, RemoteFile)> {
        if path.is_root() {
            return Err(is_folder(path));
        }
        let response = self.send(self.request(Method::GET, self.url(path)), path).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let modified = header(LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
        let etag = header(ETAG).map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        // stock sends no `Content-Length` for files from a bucket
        let size = match header(CONTENT_LENGTH).and_then(|length| length.parse().ok()) {
            Some(size) => size,
            None => self.listed_size(path).await?,
        };
        let seconds =
            modified.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
        let tag = etag.clone().unwrap_or_else(|| format!("{seconds:x}-{size:x}"));
        let stat = Stat { size_bytes: size, modified, etag: tag };
        Ok((stat, RemoteFile { remote: self.clone(), path: path.clone(), size, etag, response }))
    }

    async fn listed_size(&self, path: &ArtifactPath) -> Result<u64> {
        let entries = self.list(&path.parent()).await?;
        let found = entries.into_iter().find(|entry| entry.name == path.file_name());
        // an empty file is listed without a size, too, and so is a folder
        found.map(|entry| entry.size_bytes.unwrap_or(0)).ok_or_else(|| no_such(path))
    }

    /// Begins to send a file.
    pub(super) fn upload(&self, path: ArtifactPath) -> Result<RemoteUpload> {
        if path.is_root() {
            return Err(is_folder(&path));
        }
        let (frames, received) = mpsc::channel(2);
        let body = Body::wrap_stream(stream::try_unfold(received, |mut received| async {
            match received.recv().await {
                Some(Frame::Bytes(bytes)) => Ok(Some((bytes, received))),
                Some(Frame::End) => Ok(None),
                // cuts the connection, so that the other server does not take a part for the whole
                None => Err(io::Error::other("the upload was given up")),
            }
        }));
        let remote = self.clone();
        let sent = tokio::spawn(async move {
            let request = remote.clients.writer.put(remote.url(&path)).body(body);
            let request = request.header(CONTENT_TYPE, mime::guess(path.file_name()));
            remote.send(request, &path).await.map(drop)
        });
        Ok(RemoteUpload { frames, sent })
    }

    /// Deletes a file or a folder.
    pub(super) async fn delete(&self, path: &ArtifactPath) -> Result<()> {
        if path.is_root() {
            return Err(Error::invalid("Invalid path"));
        }
        match self.send(self.request(Method::DELETE, self.url(path)), path).await {
            Err(e) if e.code != ErrorCode::ResourceDoesNotExist => Err(e),
            _ => Ok(()),
        }
    }

    async fn read(&self, path: &ArtifactPath, range: Range<u64>, etag: Option<&str>) -> io::Result<Frames> {
        let asked = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let response = self.send(self.request(Method::GET, self.url(path)).header(RANGE, asked), path).await;
        let response = response.map_err(io::Error::other)?;
        let now = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        if etag.zip(now).is_some_and(|(before, now)| !now.contains(before)) {
            return Err(io::Error::other("the file was replaced while it was read"));
        }
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        let frames = response.bytes_stream().map_err(|e| io::Error::other(e.without_url()));
        Ok(if is_part { frames.boxed() } else { cut(frames, range).boxed() })
    }
}

type Frames = BoxStream<'static, io::Result<Bytes>>;

fn no_such(path: &ArtifactPath) -> Error {
    Error::not_found(format!("No such artifact: '{path}'"))
}

fn is_folder(path: &ArtifactPath) -> Error {
    Error::invalid(format!("Artifact path refers to a directory, not a file: '{path}'"))
}

/// Takes only the last name: a server may list names, or paths.
fn entry(file: &ListedFile) -> Option<Entry> {
    let name = file.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let is_name = !matches!(name.as_str(), "" | "." | "..");
    let size = (!file.is_dir).then(|| file.file_size.unwrap_or(0));
    is_name.then_some(Entry { name, size_bytes: size })
}

/// Says whether a listing of a file is that file. Upstream: `HttpArtifactRepository.list_artifacts`.
fn is_file_itself(entries: &[Entry], path: &ArtifactPath) -> bool {
    matches!(entries, [one] if one.size_bytes.is_some() && !path.is_root() && one.name == path.file_name())
}

/// Reads an answer up to a length.
async fn read(mut response: Response, limit: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(frame) = response.chunk().await.map_err(|e| io::Error::other(e.without_url()))? {
        if body.len() + frame.len() > limit {
            return Err(io::Error::other("the answer is too long"));
        }
        body.extend_from_slice(&frame);
    }
    Ok(body)
}

/// Cuts a range out of a whole file.
fn cut(
    frames: impl Stream<Item = io::Result<Bytes>> + Send,
    range: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let state = (range.start, range.end.saturating_sub(range.start));
    frames.scan(state, |(skip, left), frame| {
        if *left == 0 {
            return ready(None);
        }
        ready(Some(frame.map(|mut frame| {
            let skipped = usize::try_from(*skip).map_or(frame.len(), |skip| skip.min(frame.len()));
            frame.advance(skipped);
            *skip -= skipped as u64;
            frame.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= frame.len() as u64;
            frame
        })))
    })
}

/// A download from another server.
#[derive(Debug)]
pub(super) struct RemoteFile {
    remote: Remote,
    path: ArtifactPath,
    size: u64,
    etag: Option<String>,
    response: Response,
}

impl RemoteFile {
    /// See [`super::File::stream`].
    pub(super) fn stream(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> {
        let frames = async move {
            if range.is_empty() {
                return Ok(stream::empty().boxed());
            }
            if range == (0..self.size) {
                let frames = self.response.bytes_stream();
                return Ok(frames.map_err(|e| io::Error::other(e.without_url())).boxed());
            }
            drop(self.response);
            self.remote.read(&self.path, range, self.etag.as_deref()).await
        };
        stream::once(frames)
            .try_flatten()
            .map_ok(|frame| stream::iter(split(frame).map(Ok)))
            .try_flatten()
            .inspect_err(|e| tracing::warn!("an artifact could not be read to its end: {e}"))
    }
}

#[derive(Debug)]
enum Frame {
    Bytes(Bytes),
    End,
}

/// An upload to another server. Dropped early, it cuts the connection.
#[derive(Debug)]
pub struct RemoteUpload {
    frames: mpsc::Sender<Frame>,
    sent: JoinHandle<Result<()>>,
}

impl RemoteUpload {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self.frames.send(Frame::Bytes(bytes)).await {
            Ok(()) => Ok(()),
            Err(_closed) => self.answer().await,
        }
    }

    pub(super) async fn finish(mut self) -> Result<()> {
        // a closed channel means an early response
        drop(self.frames.send(Frame::End).await);
        self.answer().await
    }

    async fn answer(&mut self) -> Result<()> {
        let late =
            |e| Error::unavailable("The artifact server gives no answer; try again later.").with_source(e);
        tokio::time::timeout(KEEPING_TIME, &mut self.sent).await.map_err(late)?.map_err(Error::internal)?
    }
}
