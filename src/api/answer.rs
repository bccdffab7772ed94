//! Large responses: serialized off the HTTP workers, in chunks that count against the memory budget until
//! they are sent.
//!
//! The handler leaves a large response as an [`Unwritten`] extension; the middleware around all handlers,
//! which may wait, serializes it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write};
use std::mem::{replace, take};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::web::Bytes;
use actix_web::{Error as ActixError, HttpMessage as _, HttpRequest, ResponseError as _};
use serde::Serialize;

use super::memory::Share;
use super::state::{App, AppState};
use crate::domain::{Error, Result};

/// Responses up to this size are serialized by the handler.
pub const LARGE: usize = 256 * 1024;
/// The size of the pieces of larger ones.
const PIECE: usize = 256 * 1024;
/// Searches for no more rows than this reserve no memory.
const FEW_ROWS: usize = 1000;
/// What a row takes until the answer is written.
const ROW_SIZE: usize = 4096;
/// The most rows that memory is reserved for.
const MANY_ROWS: usize = 50_000;

type Writing = Box<dyn FnOnce(Share) -> Result<Pieces> + Send>;

/// A response that is not serialized yet.
pub struct Unwritten(Writing);

impl Unwritten {
    /// Keeps a message whose JSON is too long to serialize at once.
    pub fn new(message: impl Serialize + Send + 'static, end: &'static [u8]) -> Self {
        Self::of(move |pieces| {
            serde_json::to_writer(&mut *pieces, &message)?;
            pieces.write_all(end)
        })
    }

    /// Keeps what writes an answer.
    pub fn of(write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static) -> Self {
        Self(Box::new(move |share| {
            let mut pieces = Pieces { share, ..Pieces::default() };
            write(&mut pieces).map_err(|e| match e.kind() {
                io::ErrorKind::OutOfMemory => {
                    Error::unavailable("The memory for answers is in use by other requests; try again.")
                }
                _ => Error::internal(e),
            })?;
            pieces.finish();
            Ok(pieces)
        }))
    }
}

/// Memory reserved for a response before its size is known.
struct Expected(Share);

/// Reserves memory for the response to a search for so many rows, before the query.
///
/// # Errors
/// `TEMPORARILY_UNAVAILABLE` when the memory is in use.
pub async fn expect_rows(app: &AppState, request: &HttpRequest, rows: usize) -> Result<()> {
    if rows <= FEW_ROWS {
        return Ok(());
    }
    // Most searches find less than they ask for, so the reservation is capped: asking for all must work.
    let most = app.config.memory_limit_bytes / 2;
    let share = app.budget.take((rows.min(MANY_ROWS) * ROW_SIZE).min(most)).await?;
    request.extensions_mut().insert(Expected(share));
    Ok(())
}

/// Passes `request` on to `service`, and serializes its response if left [`Unwritten`].
pub fn call<S>(
    app: &App,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, ActixError>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = ActixError>,
{
    let (app, answer) = (app.clone(), service.call(request));
    async move {
        let mut response = answer.await?;
        let unwritten = response.response_mut().extensions_mut().remove::<Unwritten>();
        match unwritten {
            Some(unwritten) => Ok(Box::pin(finish(&app, response, unwritten)).await),
            None => Ok(response),
        }
    }
}

async fn finish(
    app: &AppState,
    response: ServiceResponse<BoxBody>,
    Unwritten(writing): Unwritten,
) -> ServiceResponse<BoxBody> {
    let expected = response.request().extensions_mut().remove::<Expected>();
    let share = match expected {
        Some(Expected(share)) => Ok(share),
        None => app.budget.take(PIECE).await,
    };
    let written = match share {
        Ok(share) => app.heavy.run(move || writing(share)).await.and_then(|written| written),
        Err(e) => Err(e),
    };
    match written {
        Ok(pieces) => response.map_body(|_head, _empty| BoxBody::new(pieces)),
        Err(e) => response.into_response(e.error_response()),
    }
}

/// A written answer.
#[derive(Debug, Default)]
pub struct Pieces {
    whole: VecDeque<Bytes>,
    last: Vec<u8>,
    left: usize,
    used: usize,
    share: Share,
}

impl Pieces {
    /// Begins another piece.
    fn begin(&mut self) -> io::Result<()> {
        self.used += PIECE;
        let is_taken = self.used <= self.share.bytes() || self.share.try_add(PIECE);
        if !is_taken {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let full = replace(&mut self.last, Vec::with_capacity(PIECE));
        if !full.is_empty() {
            self.whole.push_back(full.into());
        }
        Ok(())
    }

    /// Ends the writing and releases memory reserved for more.
    fn finish(&mut self) {
        self.whole.push_back(take(&mut self.last).into());
        self.left = self.whole.iter().map(Bytes::len).sum();
        let unused = self.share.bytes().saturating_sub(self.used);
        self.share.shrink_by(unused);
    }
}

impl Write for Pieces {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() == self.last.capacity() {
            self.begin()?;
        }
        let room = self.last.capacity() - self.last.len();
        let fitting = bytes.get(..room).unwrap_or(bytes);
        self.last.extend_from_slice(fitting);
        Ok(fitting.len())
    }

    /// What is written is mostly a few bytes.
    #[inline]
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while bytes.len() > self.last.capacity() - self.last.len() {
            let written = self.write(bytes)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        self.last.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = self.whole.pop_front();
        if let Some(piece) = &next {
            self.left -= piece.len();
            // The connection has a copy of its own, which is small.
            self.share.shrink_by(PIECE);
        }
        Poll::Ready(next.map(Ok))
    }
}

/// Writes the beginning of an answer, up to [`LARGE`] bytes.
#[derive(Debug, Default)]
pub struct Beginning {
    /// What was written.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub is_full: bool,
}

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LARGE {
            self.is_full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::api::memory::Budget;

    #[actix_web::test]
    async fn pieces_are_the_whole_and_give_their_memory_back() {
        let budget = Budget::new(64 * 1024 * 1024);
        let text = "x".repeat(3 * PIECE);
        let Unwritten(writing) = Unwritten::new(text.clone(), b"\n");
        let pieces = writing(budget.take(10 * PIECE).await.unwrap()).unwrap();
        assert_eq!(pieces.size(), BodySize::Sized(3 * PIECE as u64 + 3));
        assert_eq!(pieces.share.bytes(), 4 * PIECE);
        assert_eq!(to_bytes(pieces).await.unwrap(), format!("\"{text}\"\n"));
        assert!(budget.take(60 * 1024 * 1024).await.is_ok());
    }

    #[actix_web::test]
    async fn an_answer_that_finds_no_memory_is_refused() {
        let budget = Budget::new(2 * PIECE);
        let Unwritten(writing) = Unwritten::new("x".repeat(3 * PIECE), b"");
        let error = writing(budget.take(0).await.unwrap()).unwrap_err();
        assert_eq!(error.code, crate::domain::ErrorCode::TemporarilyUnavailable);
    }
}
