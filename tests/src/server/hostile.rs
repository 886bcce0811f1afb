//! A TCP server that does to its clients what no server should.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::ServerError;
use super::background::Background;
use super::hold::bind;
use crate::host::Host;

const GIGABYTE: u64 = 1 << 30;

/// What it does to whoever has asked something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malice {
    /// It never answers.
    Silence,
    /// It answers with a gigabyte over HTTP.
    Gigabyte,
    /// It answers with a gigabyte without a line's end.
    Flood,
    /// It sends the client to itself again, over HTTP.
    Redirect,
    /// It resets the connection.
    Reset,
}

/// Stops when dropped, and its connections with it.
#[derive(Debug)]
pub struct Hostile {
    tally: Arc<Tally>,
    _background: Background,
}

#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    sent: AtomicU64,
}

impl Hostile {
    /// Listens at this address of `host`.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when it is not the host's, or taken.
    pub fn start(host: &Host, address: SocketAddr, malice: Malice) -> Result<Self, ServerError> {
        let listener = bind(host, address)?;
        let tally = Arc::new(Tally::default());
        let counted = Arc::clone(&tally);
        let serve = async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((stream, _)) = listener.accept().await {
                let tally = Arc::clone(&counted);
                tally.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    // That the client has gone is what is hoped for.
                    let _ = treat(stream, malice, &tally).await;
                });
            }
        };
        let background =
            Background::start(format!("hostile-{}", host.name()), serve).map_err(ServerError::Thread)?;
        Ok(Self {
            tally,
            _background: background,
        })
    }

    /// Connections that it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.tally.connections.load(Ordering::Relaxed)
    }

    /// Bytes that it got rid of: what clients took, and what their kernels hold.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.tally.sent.load(Ordering::Relaxed)
    }
}

async fn treat(mut stream: TcpStream, malice: Malice, tally: &Tally) -> io::Result<()> {
    let mut asked = [0; 4096];
    if malice == Malice::Flood {
        return flood(&mut stream, tally).await;
    }
    let _ = stream.read(&mut asked).await?;
    match malice {
        Malice::Silence => while stream.read(&mut asked).await? > 0 {},
        Malice::Gigabyte => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            flood(&mut stream, tally).await?;
        }
        Malice::Flood => {}
        Malice::Redirect => {
            let head = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
        }
        Malice::Reset => stream.set_zero_linger()?,
    }
    Ok(())
}

async fn flood(stream: &mut TcpStream, tally: &Tally) -> io::Result<()> {
    let part = [b'x'; 65_536];
    let mut left = GIGABYTE;
    while left > 0 {
        let length = stream.write(&part).await? as u64;
        tally.sent.fetch_add(length, Ordering::Relaxed);
        left = left.saturating_sub(length);
    }
    Ok(())
}
