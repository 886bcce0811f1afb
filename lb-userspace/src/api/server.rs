//! HTTP on the socket. Everything is bounded: connections, what a request may be, and the time for each step.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::sleep,
};

use super::{ApiSocket, patience::Patient, peer::Peer, query::Sources, routes::routes};

/// Bounds of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at the same time; further ones wait.
    pub connections: usize,
    /// Dumps and counts of flows at the same time; each takes a thread.
    pub dumps: usize,
    /// Clients that follow events at the same time.
    pub followers: usize,
    /// Bytes of a request line and its headers together.
    pub header_bytes: usize,
    /// Time for a client to send its request.
    pub header_time: Duration,
    /// Time for a client to take the next piece of the answer. Long, since a dump may well stand in somebody's pager.
    pub read_time: Duration,
    /// Time for the daemon's loop to answer, or for a dump to begin.
    pub answer_time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            dumps: 8,
            followers: 32,
            header_bytes: 16 << 10,
            header_time: Duration::from_secs(2),
            read_time: Duration::from_secs(300),
            answer_time: Duration::from_secs(3),
        }
    }
}

/// Serves the API until it is dropped, and ends all connections then.
///
/// # Errors
/// When the runtime does not take the socket.
pub async fn serve(socket: ApiSocket, sources: Sources, bounds: Bounds) -> io::Result<Infallible> {
    let listener = socket.listener()?;
    let routes = routes(sources, &bounds);
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let stream = accept(&listener).await;
        let routes = routes.clone().layer(Extension(Peer::of(&stream)));
        connections.spawn(serve_connection(stream, routes, bounds, place));
    }
}

/// The next connection. What goes wrong here (too many open files) passes.
async fn accept(listener: &UnixListener) -> UnixStream {
    const PAUSE: Duration = Duration::from_millis(100);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one request, for as long as `_place` is taken.
pub(super) async fn serve_connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    routes: Router,
    bounds: Bounds,
    _place: OwnedSemaphorePermit,
) {
    let stream = TokioIo::new(Patient::new(stream, bounds.read_time));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_time)
        .max_buf_size(bounds.header_bytes)
        // One request a connection: none is kept that nobody uses.
        .keep_alive(false)
        .serve_connection(stream, TowerToHyperService::new(routes))
        .await;
    if let Err(error) = served {
        // A client that went away, or was too slow: its own affair.
        tracing::debug!(%error, "a connection to the API ended early");
    }
}
