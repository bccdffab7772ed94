//! Request bodies held in memory: their size limit, their memory budget, and reading large ones off the HTTP
//! workers. Artifacts are streamed, and not handled here.

use std::io::ErrorKind;
use std::mem::take;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;

use super::memory::Share;
use super::state::App;
use crate::domain::validate::{Limits, check_outline};
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::outline::{self, Outline};

/// Bodies from this size on are read off the threads that answer requests.
const LARGE: usize = 256 * 1024;
/// Memory per byte of a body: the byte itself, and the strings of the parsed message.
const COPIES: usize = 2;
/// Memory of a value besides its text until the message is built: a tree node.
pub const VALUE_SIZE: usize = 128;
/// Reservations below this size are released once the body is parsed.
const SMALL: usize = 32 * 1024;
/// The first reservation for a body without `Content-Length`.
const FIRST_PART: usize = 16 * 1024;

/// A request body with its memory reservation.
pub struct Body {
    bytes: Bytes,
    share: Share,
    app: App,
    request: HttpRequest,
}

/// Keeps memory reserved for the lifetime of a request.
struct Held(#[expect(dead_code, reason = "it is there to be dropped")] Share);

impl FromRequest for Body {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(Self::receive(request, payload))
    }
}

impl Body {
    /// Receives a body. Memory is reserved before its first byte is read.
    ///
    /// # Errors
    /// 413 for one that is too long, 503 when memory is exhausted, 408 on a timeout.
    pub async fn receive(request: HttpRequest, payload: Payload) -> Result<Self> {
        let app = request.app_data::<App>().cloned().ok_or_else(|| Error::internal("no state"))?;
        let limit = app.config.body_timeout;
        timeout(limit, Self::collect(app, request, payload)).await.unwrap_or_else(|_e| Err(too_slow()))
    }

    async fn collect(app: App, request: HttpRequest, mut payload: Payload) -> Result<Self> {
        let declared = declared_length(&request);
        let limit = app.config.json_limit_bytes;
        if declared.is_some_and(|length| length > limit) {
            return Err(too_long(limit, ","));
        }
        let mut share = app.budget.take(declared.unwrap_or(FIRST_PART).saturating_mul(COPIES)).await?;
        let (mut single, mut whole) = (Bytes::new(), BytesMut::new());
        while let Some(part) = payload.next().await {
            let part = part.map_err(unreadable)?;
            if declared == Some(part.len()) {
                single = part;
                continue;
            }
            let length = whole.len() + part.len();
            if length > limit {
                return Err(too_long(limit, ","));
            }
            if length > whole.capacity() {
                let capacity = declared.unwrap_or(length.next_power_of_two()).max(length);
                // Both allocations coexist here.
                share.grow(capacity.saturating_mul(COPIES)).await?;
                whole.reserve(capacity - whole.len());
            }
            whole.extend_from_slice(&part);
        }
        let bytes = if whole.is_empty() { single } else { whole.freeze() };
        Ok(Self { bytes, share, app, request })
    }

    /// Returns what was received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the state of the server.
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Reserves `copies` times the length of the bytes and `more` bytes, in total.
    ///
    /// # Errors
    /// As [`Share::grow`].
    pub async fn take_memory(&mut self, copies: usize, more: usize) -> Result<()> {
        self.share.grow(self.bytes.len().saturating_mul(copies).saturating_add(more)).await
    }

    /// Does work with the bytes, off the HTTP workers when they are many.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it panics.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce(&[u8]) -> T + Send + 'static) -> Result<T> {
        if self.bytes.len() < LARGE { Ok(work(&self.bytes)) } else { self.work_heavily(work).await }
    }

    /// Does work with the bytes off the HTTP workers.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it panics.
    pub async fn work_heavily<T: Send + 'static>(
        &self,
        work: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T> {
        let bytes = self.bytes.clone();
        self.app.heavy.run(move || work(&bytes)).await
    }

    /// Moves the bytes into work, off the HTTP workers when they are many. Memory stays reserved until the
    /// request is answered, and as long as the work runs.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it panics.
    pub async fn consume<T: Send + 'static>(
        mut self,
        work: impl FnOnce(Bytes) -> T + Send + 'static,
    ) -> Result<T> {
        let (bytes, mut share) = (take(&mut self.bytes), take(&mut self.share));
        let done = if bytes.len() < LARGE {
            work(bytes)
        } else {
            let done;
            (done, share) = self.app.heavy.run(move || (work(bytes), share)).await?;
            done
        };
        if share.bytes() > SMALL {
            self.request.extensions_mut().insert(Held(share));
        }
        Ok(done)
    }

    /// Replaces the bytes by the decompressed ones.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes.into();
    }

    /// Hands the bytes to `read`, of JSON whose outline is within the limits; large ones off the HTTP workers. `names`
    /// are lists of its own limits, which `check` knows.
    ///
    /// # Errors
    /// What `check` and `read` say; `INVALID_PARAMETER_VALUE` for too many values.
    pub async fn read_json<T: Send + 'static>(
        mut self,
        names: &'static [&'static str],
        check: fn(&[usize]) -> Result<()>,
        read: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let limits = self.app.limits.clone();
        let outlined = self.work(move |bytes| outline_of(&limits, bytes, names, check)).await?;
        self.take_memory(COPIES, outlined?.saturating_mul(VALUE_SIZE)).await?;
        self.consume(move |bytes| read(&bytes)).await?
    }
}

/// A body of modest size that its handler parses itself.
pub struct Document(Bytes);

/// How many times shorter than other bodies documents must be, and how many times fewer values they may hold.
const DOCUMENT: usize = 8;

impl FromRequest for Document {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Body::from_request(request, payload);
        Box::pin(async move {
            let body = body.await?;
            let most = body.app.config.json_limit_bytes / DOCUMENT;
            if body.bytes.len() > most {
                return Err(too_long(most, ", an eighth of"));
            }
            let limits = Limits { elements: body.app.limits.elements / DOCUMENT, ..Limits::default() };
            outline_of(&limits, &body.bytes, &[], |_counts| Ok(()))?;
            body.consume(Self).await
        })
    }
}

impl Deref for Document {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn declared_length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the number of values; 0 for small bodies.
fn outline_of(
    limits: &Limits,
    bytes: &[u8],
    names: &[&str],
    check: fn(&[usize]) -> Result<()>,
) -> Result<usize> {
    if outline::is_small(bytes) {
        return Ok(0);
    }
    let outline = Outline::of(bytes, names);
    check(&outline.counts)?;
    check_outline(&outline, limits)?;
    Ok(outline.values)
}

fn too_long(limit: usize, of: &str) -> Error {
    Error::new(
        ErrorCode::RequestTooLarge,
        format!(
            "The body of the request is longer than {} MiB{of} what --json-limit (FERROFLOW_JSON_LIMIT) allows.",
            limit / (1024 * 1024)
        ),
    )
}

fn unreadable(error: PayloadError) -> Error {
    match error {
        PayloadError::Io(e) if e.kind() == ErrorKind::TimedOut => too_slow(),
        e => Error::invalid(format!("The request body cannot be read: {e}")),
    }
}

fn too_slow() -> Error {
    Error::new(
        ErrorCode::RequestTimeout,
        "The body of the request came too slowly. --slow-client-timeout (FERROFLOW_SLOW_CLIENT_TIMEOUT) and \
         --body-timeout (FERROFLOW_BODY_TIMEOUT) are the settings.",
    )
}
