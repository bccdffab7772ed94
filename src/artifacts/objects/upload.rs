//! Writing an object of unknown length: a small one with one request, a larger one as a multipart upload
//! whose parts are sent while the next is buffered. Memory is bounded for all uploads together, and
//! unfinished uploads are aborted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{Attribute, Attributes, PutMultipartOptions, PutOptions, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinSet;

use super::blocks::{Blocks, Collected};
use super::failure::Said;
use super::{Kind, Objects};
use crate::artifacts::{ArtifactPath, mime};
use crate::domain::Result;

/// S3's minimum part size, except for the last.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// After so many parts the part size grows, so that 10,000, S3's limit, are 268 GiB.
const PARTS_OF_A_SIZE: usize = 1000;
/// Concurrent parts of all uploads together. Each upload buffers one more.
const PARTS_AT_ONCE: usize = 3;

/// The retries of aborting an upload, with their backoff.
const ABORT_PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

/// How long to wait for parts in flight before aborting: a part that arrives later makes some stores have the
/// upload again. After this timeout the upload is aborted twice, as S3's documentation says.
const ARRIVAL: Duration = Duration::from_secs(5);

/// What the uploads of a server share.
pub(crate) struct Uploads {
    parts: Arc<Semaphore>,
    blocks: Arc<Blocks>,
    /// Runs the aborts: the thread of a connection may end at any time.
    runtime: Option<Handle>,
    open: AtomicUsize,
    closed: Notify,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uploads")
    }
}

impl Uploads {
    /// Abandoned uploads are aborted on the current runtime, if there is one.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            parts: Arc::new(Semaphore::new(PARTS_AT_ONCE)),
            blocks: Arc::default(),
            runtime: Handle::try_current().ok(),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
        })
    }

    /// Waits until all multipart uploads are completed or aborted.
    pub(crate) async fn settle(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Detaches work, so that cancellation cannot stop it.
    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime.clone().or_else(|| Handle::try_current().ok()) {
            drop(runtime.spawn(work));
        }
    }
}

/// A guard for an upload that may have to be aborted. While one lives, [`Uploads::settle`] waits.
#[derive(Debug)]
struct Open(Arc<Uploads>);

impl Open {
    fn new(uploads: &Arc<Uploads>) -> Self {
        uploads.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(uploads))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.closed.notify_waiters();
    }
}

/// Aborts an upload, once its parts in flight have arrived.
async fn abort(objects: &Objects, key: &Key, mut upload: Multipart) {
    let arrived = async {
        let mut all = true;
        while let Some(part) = upload.on_their_way.join_next().await {
            // the end of a connection's thread cancels its parts
            all &= part.is_ok();
        }
        all
    };
    let mut is_last = tokio::time::timeout(ARRIVAL, arrived).await.unwrap_or(false);
    upload.on_their_way.abort_all();
    let mut said = String::new();
    for pause in ABORT_PAUSES {
        tokio::time::sleep(pause).await;
        match objects.multipart.abort_multipart(key, &upload.id).await {
            Ok(()) if is_last => return,
            Ok(()) => is_last = true,
            // gone already
            Err(object_store::Error::NotFound { .. }) => return,
            Err(error) => said = Said::of(&error).text,
        }
    }
    tracing::warn!("an upload to {}/{key} was begun and cannot be taken back: {said}", objects.name);
}

/// An upload to an object store.
#[derive(Debug)]
pub struct ObjectUpload {
    objects: Arc<Objects>,
    key: Key,
    path: ArtifactPath,
    /// The buffer of the next part.
    pending: Collected,
    multipart: Option<Multipart>,
}

/// A multipart upload in progress.
#[derive(Debug)]
struct Multipart {
    _open: Open,
    id: String,
    sent: usize,
    on_their_way: JoinSet<object_store::Result<(usize, PartId)>>,
    stored: Vec<(usize, PartId)>,
}

impl ObjectUpload {
    pub(super) fn new(objects: Arc<Objects>, key: Key, path: ArtifactPath) -> Self {
        let pending = Collected::new(Arc::clone(&objects.uploads.blocks));
        Self { objects, key, path, pending, multipart: None }
    }

    pub(in crate::artifacts) async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        loop {
            let missing = self.part_bytes() - self.pending.len();
            if bytes.len() < missing {
                self.pending.extend(&bytes);
                return Ok(());
            }
            // some stores take only parts of equal size
            self.pending.extend(&bytes.split_to(missing));
            self.send_part().await.map_err(|e| self.objects.upload_failure(&e, &self.path))?;
        }
    }

    pub(in crate::artifacts) async fn finish(mut self) -> Result<()> {
        let result = if self.multipart.is_some() { self.complete().await } else { self.put().await };
        result.map_err(|e| self.objects.upload_failure(&e, &self.path))
    }

    /// The size of the next part.
    fn part_bytes(&self) -> usize {
        PART_BYTES * (1 + self.multipart.as_ref().map_or(0, |m| m.sent) / PARTS_OF_A_SIZE)
    }

    /// The client library's headers of a new object. Differs: it also sets `Content-Encoding` for `a.gz`,
    /// which some clients then decompress on the way.
    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if !self.objects.upload_headers.contains_key("content-type") {
            attributes.insert(Attribute::ContentType, mime::guess(self.path.file_name()).into());
        }
        attributes
    }

    async fn put(&mut self) -> object_store::Result<()> {
        let options = PutOptions { attributes: self.attributes(), ..PutOptions::default() };
        let payload = PutPayload::from_iter(self.pending.take());
        self.objects.writer.put_opts(&self.key, payload, options).await.map(drop)
    }

    async fn send_part(&mut self) -> object_store::Result<()> {
        let payload = PutPayload::from_iter(self.pending.take());
        if self.multipart.is_none() {
            self.multipart = Some(self.create().await?);
        }
        let Some(multipart) = &mut self.multipart else { return Ok(()) };
        multipart.make_room(PARTS_AT_ONCE - 1).await?;
        let permit = Arc::clone(&self.objects.uploads.parts).acquire_owned().await;
        let (objects, key, id, number) =
            (Arc::clone(&self.objects), self.key.clone(), multipart.id.clone(), multipart.sent);
        multipart.sent += 1;
        multipart.on_their_way.spawn(async move {
            let _permit = permit;
            let part = objects.multipart.put_part(&key, &id, number, payload).await?;
            Ok((number, part))
        });
        Ok(())
    }

    /// Begins a multipart upload. The request outlives a disconnected client: nobody else would know what to
    /// abort.
    async fn create(&self) -> object_store::Result<Multipart> {
        let mut options = PutMultipartOptions::default();
        // Azure takes them with the last request only, which `object_store` does not offer
        if matches!(self.objects.kind, Kind::S3 | Kind::Google) {
            options.attributes = self.attributes();
        }
        let (objects, key) = (Arc::clone(&self.objects), self.key.clone());
        let open = Open::new(&objects.uploads);
        let (answer, answered) = oneshot::channel();
        self.objects.uploads.run(async move {
            let created = objects.multipart_writer.create_multipart_opts(&key, options).await;
            if let Err(Ok(upload)) = answer.send(created.map(|id| Multipart::new(open, id))) {
                abort(&objects, &key, upload).await;
            }
        });
        answered.await.unwrap_or_else(|e| Err(object_store::Error::Generic { store: "", source: e.into() }))
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if !self.pending.is_empty() {
            self.send_part().await?;
        }
        let Some(multipart) = &mut self.multipart else { return Ok(()) };
        multipart.make_room(0).await?;
        multipart.stored.sort_unstable_by_key(|(number, _)| *number);
        let parts = std::mem::take(&mut multipart.stored).into_iter().map(|(_, part)| part).collect();
        self.objects.multipart.complete_multipart(&self.key, &multipart.id, parts).await?;
        self.multipart = None;
        Ok(())
    }
}

impl Multipart {
    fn new(open: Open, id: String) -> Self {
        Self { _open: open, id, sent: 0, on_their_way: JoinSet::new(), stored: Vec::new() }
    }

    /// Waits until at most `left` parts are in flight.
    async fn make_room(&mut self, left: usize) -> object_store::Result<()> {
        while self.on_their_way.len() > left {
            if let Some(stored) = self.on_their_way.join_next().await {
                self.stored.push(stored??);
            }
        }
        Ok(())
    }
}

impl Drop for ObjectUpload {
    /// Aborts an unfinished upload: the store would keep its parts, and bill for them.
    fn drop(&mut self) {
        let Some(upload) = self.multipart.take() else { return };
        let (objects, key) = (Arc::clone(&self.objects), self.key.clone());
        self.objects.uploads.run(async move { abort(&objects, &key, upload).await });
    }
}
