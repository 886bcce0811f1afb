//! Metrics: on the socket, and over TCP for Prometheus.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::sleep,
};
use tracing::{info, warn};

use super::{
    query::{Query, Sources},
    routes::{ApiError, Daemon},
    server::{Bounds, serve_connection},
};
use crate::metrics::{Format, Snapshot, write};

/// Bounds towards strangers: scrapes are few, short, and soon done.
const BOUNDS: Bounds = Bounds {
    connections: 16,
    dumps: 0,
    followers: 0,
    header_bytes: 16 << 10,
    header_time: Duration::from_secs(2),
    read_time: Duration::from_secs(10),
    answer_time: Duration::from_secs(3),
};

/// Between two attempts to listen.
const RETRY: Duration = Duration::from_secs(2);

/// Answers `GET /metrics` on these addresses, and follows when they change, until it is dropped. An address that cannot
/// be had is tried again and again, and said once: a director balances without it.
pub async fn serve_metrics(mut addresses: watch::Receiver<Vec<SocketAddr>>, sources: Sources) -> Infallible {
    let routes = Router::new()
        .route("/metrics", get(scrape))
        .with_state(Daemon::new(sources, &BOUNDS));
    let places = Arc::new(Semaphore::new(BOUNDS.connections));
    let mut ports: BTreeMap<SocketAddr, Port> = BTreeMap::new();
    loop {
        let wanted = addresses.borrow_and_update().clone();
        ports.retain(|address, _| wanted.contains(address));
        for address in wanted {
            ports
                .entry(address)
                .or_insert_with(|| Port::open(address, routes.clone(), Arc::clone(&places)));
        }
        if addresses.changed().await.is_err() {
            // Nobody is left to change them.
            std::future::pending::<()>().await;
        }
    }
}

/// A listener and its connections; ends when it is dropped.
struct Port(JoinHandle<Infallible>);

impl Port {
    fn open(address: SocketAddr, routes: Router, places: Arc<Semaphore>) -> Self {
        Self(tokio::spawn(listen(address, routes, places)))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(address: SocketAddr, routes: Router, places: Arc<Semaphore>) -> Infallible {
    let mut said = false;
    let listener = loop {
        match bind(address) {
            Ok(listener) => break listener,
            Err(error) if !said => {
                warn!(%address, %error, "cannot listen for scrapes of metrics; trying again");
                said = true;
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    };
    info!(%address, "metrics are to be had");
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            // Nobody closes it.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, routes.clone(), BOUNDS, place));
            }
            // Too many open files: that passes.
            Err(_) => sleep(RETRY).await,
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    const BACKLOG: u32 = 16;
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Else a restart would have to wait for the connections of the daemon before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// `GET /metrics`.
pub(super) async fn scrape(State(daemon): State<Daemon>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    let snapshot = daemon.snapshot().await?;
    // With thousands of backends it takes milliseconds, which the daemon's loop has better uses for.
    let text = spawn_blocking(move || write(&snapshot, format)).await;
    let text = text.map_err(|_| ApiError::Stopping)?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

impl Daemon {
    /// What there is to tell. Its parts are a few microseconds apart.
    async fn snapshot(&self) -> Result<Snapshot, ApiError> {
        Ok(Snapshot {
            status: self.answer(Query::Status).await?,
            services: self.answer(Query::Services).await?,
            backends: self.answer(Query::Backends).await?,
            stats: self.answer(Query::Stats).await?,
            ha: self.answer(Query::Ha).await?,
            // A thread that has no time for the question must not cost all the rest.
            sync: self.answer(Query::Sync).await.unwrap_or_default(),
            orders: self.answer(Query::Orders).await?.len(),
            events: self.events.counts(),
            receivers: self.events.receivers(),
        })
    }
}
