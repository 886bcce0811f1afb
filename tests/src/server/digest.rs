//! A TCP server that answers what it received with its checksum.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::ServerError;
use super::background::Background;
use crate::big_file::hex;
use crate::host::Host;

/// Reads each connection to its end and answers `NAME SHA-256`; stops when dropped.
#[derive(Debug)]
pub struct Digest {
    _background: Background,
}

impl Digest {
    /// Listens on the given addresses of `host`.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when one is not the host's, or taken.
    pub fn start(host: &Host, addresses: &[SocketAddr]) -> Result<Self, ServerError> {
        let listeners: Vec<StdListener> = addresses
            .iter()
            .map(|address| listen(host, *address))
            .collect::<Result<_, _>>()?;
        let name: Arc<str> = host.name().into();
        let serve = async move {
            for listener in listeners {
                let name = Arc::clone(&name);
                tokio::spawn(async move {
                    let Err(error) = accept(listener, &name).await;
                    eprintln!("digest server on {name}: {error}");
                });
            }
            std::future::pending::<()>().await;
        };
        let background =
            Background::start(format!("digest-{}", host.name()), serve).map_err(ServerError::Thread)?;
        Ok(Self {
            _background: background,
        })
    }
}

fn listen(host: &Host, address: SocketAddr) -> Result<StdListener, ServerError> {
    let bound = host.enter(|| {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    bound.map_err(|source| ServerError::Listen {
        host: host.name().to_owned(),
        address,
        source,
    })
}

async fn accept(listener: StdListener, name: &Arc<str>) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let name = Arc::clone(name);
        tokio::spawn(async move {
            // A connection that breaks is its client's to notice.
            let _ = answer(stream, &name).await;
        });
    }
}

async fn answer(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    let answer = format!("{name} {}", hex(&hash.finalize()));
    stream.write_all(answer.as_bytes()).await
}
