//! The slow-client timeout for request bodies (slowloris): trickling bytes would hold a connection and memory
//! for ever. Only time spent waiting for the client counts. It is the outermost middleware: the connection
//! must know when the head of each request was complete.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::Error as ActixError;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::{FutureExt as _, Stream};
use tokio::time::{Instant, Sleep, sleep_until};

/// The minimum rate, in bytes per second.
pub const LEAST_RATE: u32 = 1024;

/// Passes `request` on to `service`, in the server's turn. `patience` is the slow-client timeout of the body.
pub fn call<S>(
    patience: Duration,
    mut request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, ActixError>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = ActixError>,
{
    watch(&mut request, patience);
    // There is no connection in tests.
    let turn = request.conn_data::<Turn>().map(Turn::begin);
    service.call(request).inspect(move |_answer| drop(turn))
}

/// Adds the timeout to a body.
fn watch(request: &mut ServiceRequest, patience: Duration) {
    let (_, payload) = request.parts_mut();
    let body = payload.take();
    if !matches!(body, Payload::None) {
        *payload =
            Payload::Stream { payload: Box::pin(Watched { body, allowance: Allowance::new(patience) }) };
    }
}

/// The time left to wait for a client: a token bucket that its progress refills.
#[derive(Debug)]
pub struct Allowance {
    left: Duration,
    most: Duration,
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Allowance {
    /// Begins with `patience`.
    pub const fn new(patience: Duration) -> Self {
        Self { left: patience, most: patience, since: None, alarm: None }
    }

    /// Takes down that `bytes` were sent or read.
    pub fn advance(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            let waited = since.elapsed();
            self.left = self.left.saturating_sub(waited);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1) * bytes / LEAST_RATE;
        self.left = self.left.saturating_add(earned).min(self.most);
    }

    /// Is ready when the time budget is spent.
    pub fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let until = since + self.left;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.as_mut().poll(cx)
    }
}

/// Whose turn it is on a connection: the client's, which sends a request, or the server's, which answers it. The
/// connection reads it, and the layers around the handlers write it.
#[derive(Debug, Clone, Default)]
pub struct Turn(Rc<Turns>);

#[derive(Debug, Default)]
struct Turns {
    is_servers: Cell<bool>,
    count: Cell<u32>,
}

impl Turn {
    /// Begins the server's turn, which ends when the guard is dropped.
    pub fn begin(&self) -> ServersTurn {
        self.0.is_servers.set(true);
        self.0.count.set(self.0.count.get().wrapping_add(1));
        ServersTurn(self.clone())
    }

    /// Says whether it is the server's turn.
    pub fn is_servers(&self) -> bool {
        self.0.is_servers.get()
    }

    /// Returns how often it was the server's turn.
    pub fn count(&self) -> u32 {
        self.0.count.get()
    }
}

/// The server's turn.
#[derive(Debug)]
pub struct ServersTurn(Turn);

impl Drop for ServersTurn {
    fn drop(&mut self) {
        self.0.0.is_servers.set(false);
    }
}

/// A body with a timeout.
struct Watched {
    body: Payload,
    allowance: Allowance,
}

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(part))) => this.allowance.advance(part.len()),
            Poll::Ready(_) => {}
            Poll::Pending => {
                if this.allowance.poll_spent(cx).is_ready() {
                    return Poll::Ready(Some(Err(PayloadError::Io(io::Error::from(ErrorKind::TimedOut)))));
                }
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    #[actix_web::test]
    async fn patience_ends_and_grows_with_what_comes() {
        let mut allowance = Allowance::new(PATIENCE);
        let begin = Instant::now();
        poll_fn(|cx| allowance.poll_spent(cx)).await;
        assert!(begin.elapsed() >= PATIENCE);

        // What comes at once does not count as waiting; what was waited is gone.
        allowance.advance(5);
        assert!(allowance.left < PATIENCE);
        allowance.advance(usize::MAX);
        assert_eq!(allowance.left, PATIENCE);
    }

    #[actix_web::test]
    async fn a_body_that_stops_coming_is_an_error() {
        let parts = stream::iter([Ok(Bytes::from_static(b"part"))]).chain(stream::pending());
        let body: Payload = Payload::Stream { payload: Box::pin(parts) };
        let mut body = Watched { body, allowance: Allowance::new(PATIENCE) };
        assert_eq!(body.next().await.unwrap().unwrap(), "part");
        let error = body.next().await.unwrap().unwrap_err();
        assert!(matches!(error, PayloadError::Io(e) if e.kind() == ErrorKind::TimedOut));
    }
}
