//! A TCP server that answers each line with its name and keeps any number of connections open.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::ServerError;
use super::background::Background;
use crate::host::Host;

/// Answers lines with its host's name; stops when dropped, and its connections with it.
#[derive(Debug)]
pub struct HoldServer {
    open: Arc<AtomicUsize>,
    _background: Background,
}

impl HoldServer {
    /// Listens on the given addresses of `host`.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when one is not the host's, or taken.
    pub fn start(host: &Host, addresses: &[SocketAddr]) -> Result<Self, ServerError> {
        let listeners: Vec<StdListener> = addresses
            .iter()
            .map(|address| bind(host, *address))
            .collect::<Result<_, _>>()?;
        let answer: Arc<str> = format!("{}\n", host.name()).into();
        let open = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&open);
        let serve = async move {
            for listener in listeners {
                tokio::spawn(accept(listener, Arc::clone(&answer), Arc::clone(&counter)));
            }
            std::future::pending::<()>().await;
        };
        let background =
            Background::start(format!("hold-{}", host.name()), serve).map_err(ServerError::Thread)?;
        Ok(Self {
            open,
            _background: background,
        })
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

pub(super) fn bind(host: &Host, address: SocketAddr) -> Result<StdListener, ServerError> {
    let bound = host.enter(|| {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // Longer than the standard library's queue: clients come in bursts.
        listen(&listener, Backlog::MAXCONN)?;
        Ok(listener)
    })?;
    bound.map_err(|source| ServerError::Listen {
        host: host.name().to_owned(),
        address,
        source,
    })
}

async fn accept(listener: StdListener, answer: Arc<str>, open: Arc<AtomicUsize>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("hold server: cannot listen: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (answer, open) = (Arc::clone(&answer), Arc::clone(&open));
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::Relaxed);
                    // A client that vanishes is the client's affair.
                    let _ = converse(stream, &answer).await;
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: one must be closed first. Said once a second at most.
                eprintln!("hold server: cannot accept ({error}); trying again in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    let mut input = [0; 256];
    loop {
        let length = stream.read(&mut input).await?;
        if length == 0 {
            return Ok(());
        }
        let lines = input[..length].iter().filter(|byte| **byte == b'\n').count();
        stream.write_all(answer.repeat(lines).as_bytes()).await?;
    }
}
