//! Connections, from accept to HTTP. Timeouts keep slow clients from holding on to resources:
//!
//! - before its first byte, a connection has the keep-alive timeout, then is closed without a response: load
//!   balancers connect ahead;
//! - the request head, once begun, has the timeout [`HEAD_TIME`];
//! - bodies are watched over by `api/middleware/pace.rs`;
//! - a response has a minimum read rate.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_server::GracefulShutdownSignal;
use actix_service::{ServiceFactoryExt as _, map_config};
use actix_web::dev::{AppConfig, ServiceFactory, fn_service};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::build_app;
use crate::api::middleware::pace::{Allowance, Turn};
use crate::api::state::AppState;

/// Timeout for the request head, from its first byte to its last.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Lingering close: how long to read on after refusing an incomplete request. If closed at once, many clients
/// would never see the response.
const LINGER: Duration = Duration::from_secs(5);
/// With so many pipelined requests, `actix_http` stops parsing its read buffer. If all are answered at one
/// go, nothing wakes it, and the buffered requests stay unanswered.
const PIPELINE: u32 = 16;
/// Bytes read between two requests before the connection yields to the others of its worker thread.
/// `actix_http` discards the rest of a refused body in a loop that ends only when the socket is empty: a fast
/// client would hold the event loop.
const FAIR_SHARE: usize = 32 * 1024;

/// Returns the connection service.
pub(super) fn service(
    state: &Data<AppState>,
    address: SocketAddr,
    stopping: &GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let config = &state.config;
    let (idle, patience) = (config.keep_alive.max(HEAD_TIME), config.slow_client_timeout);
    let (ends, stops) = (stopping.clone(), stopping.clone());
    let accept = fn_service(move |io: TcpStream| accept(io, idle, patience, ends.clone()));
    let http = HttpService::build()
        .keep_alive(config.keep_alive)
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(LINGER)
        // A half-closed connection counts as disconnected, as in nginx: its request is cancelled.
        .h1_allow_half_closed(false)
        .local_addr(address)
        .graceful_shutdown_signal(move || {
            let stops = stops.clone();
            async move { stops.notified().await }
        })
        .on_connect_ext(|connection: &Connection, data| {
            data.insert(connection.turn.clone());
        })
        .h1(map_config(build_app(state), |()| AppConfig::default()));
    accept.and_then(http)
}

/// Waits for the first byte.
async fn accept(
    io: TcpStream,
    idle: Duration,
    patience: Duration,
    stopping: GracefulShutdownSignal,
) -> Result<(Connection, Option<SocketAddr>), DispatchError> {
    io.set_nodelay(true)?;
    tokio::select! {
        ready = timeout(idle, io.readable()) => ready.map_err(|_e| DispatchError::DisconnectTimeout)??,
        () = stopping.notified() => return Err(DispatchError::DisconnectTimeout),
    }
    let peer = io.peer_addr().ok();
    Ok((Connection::new(io, patience), peer))
}

/// A connection with slow-client timeouts.
struct Connection {
    io: TcpStream,
    /// For the client to read.
    allowance: Allowance,
    /// Whose turn it is.
    turn: Turn,
    /// Number of the last request that the server began to answer.
    seen: u32,
    /// When the incomplete head began.
    head_since: Option<Instant>,
    /// Timer for the head's timeout; re-armed when it fires.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Bytes read between requests since the connection last yielded.
    taken: usize,
}

impl Connection {
    fn new(io: TcpStream, patience: Duration) -> Self {
        let (allowance, turn) = (Allowance::new(patience), Turn::default());
        Self { io, allowance, turn, seen: 0, head_since: None, alarm: None, taken: 0 }
    }

    /// Is ready once the request head times out.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.head_since else { return Poll::Pending };
        let until = since + HEAD_TIME;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let is_ours = this.turn.is_servers();
        if is_ours || this.turn.count() != this.seen {
            this.head_since = None;
            this.seen = this.turn.count();
        }
        if this.taken >= FAIR_SHARE {
            this.taken = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        this.taken = if is_ours || polled.is_pending() { 0 } else { this.taken + read };
        if !is_ours {
            match polled {
                Poll::Ready(_) => {
                    this.head_since.get_or_insert_with(Instant::now);
                }
                Poll::Pending if this.poll_late(cx).is_ready() => {
                    return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                }
                Poll::Pending => {}
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.io).poll_write(cx, buf);
        match &polled {
            Poll::Ready(Ok(written)) => {
                this.allowance.advance(*written);
                // The next poll begins with a read, which sets `seen`.
                if this.turn.count().wrapping_sub(this.seen) >= PIPELINE {
                    cx.waker().wake_by_ref();
                }
            }
            Poll::Pending if this.allowance.poll_spent(cx).is_ready() => {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream as Client};
    use std::task::Waker;

    use super::*;

    /// A connection whose client has sent `bytes`.
    fn connection(bytes: usize) -> (Connection, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (io, _) = listener.accept().unwrap();
        io.set_nonblocking(true).unwrap();
        client.write_all(&vec![0; bytes]).unwrap();
        (Connection::new(TcpStream::from_std(io).unwrap(), Duration::from_mins(1)), client)
    }

    /// Reads until the connection is pending, and returns how many bytes there were.
    async fn read_on(connection: &mut Connection) -> usize {
        connection.io.readable().await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut space, mut read) = (vec![0; 8 * 1024], 0);
        loop {
            let mut buf = ReadBuf::new(&mut space);
            if Pin::new(&mut *connection).poll_read(&mut cx, &mut buf).is_pending() {
                return read;
            }
            read += buf.filled().len();
        }
    }

    #[actix_web::test]
    async fn between_requests_a_client_that_sends_much_shares_the_event_loop() {
        let sent = 4 * FAIR_SHARE;
        let (mut connection, _client) = connection(sent);
        for _ in 0..4 {
            assert_eq!(read_on(&mut connection).await, FAIR_SHARE);
        }
    }

    #[actix_web::test]
    async fn a_body_is_read_without_a_break() {
        let sent = 4 * FAIR_SHARE;
        let (mut connection, _client) = connection(sent);
        let _turn = connection.turn.begin();
        assert_eq!(read_on(&mut connection).await, sent);
    }
}
