//! A real gRPC health service.

use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::{net::TcpListener, sync::watch};
use tonic::transport::server::TcpIncoming;
use tonic_health::{ServingStatus, server::health_reporter};

use super::{ServerError, background::Background};
use crate::host::Host;

/// Serves grpc.health.v1 for a service `web`; stops when dropped.
#[derive(Debug)]
pub struct GrpcHealth {
    serving: watch::Sender<bool>,
    _background: Background,
}

impl GrpcHealth {
    /// Listens on an address of `host`, and says SERVING.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when the address is not the host's, or taken.
    pub fn start(host: &Host, address: SocketAddr) -> Result<Self, ServerError> {
        let bound = host.enter(|| {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        let listener = bound.map_err(|source| ServerError::Listen {
            host: host.name().to_owned(),
            address,
            source,
        })?;
        let (serving, mut changes) = watch::channel(true);
        let serve = async move {
            let (reporter, service) = health_reporter();
            let report = async {
                loop {
                    let status = if *changes.borrow_and_update() {
                        ServingStatus::Serving
                    } else {
                        ServingStatus::NotServing
                    };
                    reporter.set_service_status("web", status).await;
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
            };
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return eprintln!("gRPC health: cannot listen: {error}"),
            };
            let server = tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener));
            tokio::select! {
                ended = server => eprintln!("gRPC health: {ended:?}"),
                () = report => {}
            }
        };
        let background =
            Background::start(format!("grpc-{}", host.name()), serve).map_err(ServerError::Thread)?;
        Ok(Self {
            serving,
            _background: background,
        })
    }

    /// Says SERVING from now on, or NOT_SERVING.
    pub fn set(&self, serving: bool) {
        self.serving.send_replace(serving);
    }
}
