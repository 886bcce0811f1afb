//! A UDP server that answers `NAME PAYLOAD`.

use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::ServerError;
use super::background::Background;
use crate::host::Host;

/// Answers each datagram with its host's name, a space and what it received; stops when dropped.
#[derive(Debug)]
pub struct UdpEcho {
    _background: Background,
}

impl UdpEcho {
    /// Listens on the given addresses of `host`. The answer comes from the address that was asked: name each VIP.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when one is not the host's, or taken.
    pub fn start(host: &Host, addresses: &[SocketAddr]) -> Result<Self, ServerError> {
        let sockets: Vec<StdSocket> = addresses
            .iter()
            .map(|address| bind(host, *address))
            .collect::<Result<_, _>>()?;
        let name: Arc<str> = host.name().into();
        let serve = async move {
            for socket in sockets {
                let name = Arc::clone(&name);
                tokio::spawn(async move {
                    let Err(error) = answer(socket, &name).await;
                    eprintln!("UDP echo on {name}: {error}");
                });
            }
            std::future::pending::<()>().await;
        };
        let background =
            Background::start(format!("udp-{}", host.name()), serve).map_err(ServerError::Thread)?;
        Ok(Self {
            _background: background,
        })
    }
}

fn bind(host: &Host, address: SocketAddr) -> Result<StdSocket, ServerError> {
    let bound = host.enter(|| {
        let socket = StdSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    bound.map_err(|source| ServerError::Listen {
        host: host.name().to_owned(),
        address,
        source,
    })
}

async fn answer(socket: StdSocket, name: &str) -> io::Result<std::convert::Infallible> {
    let socket = UdpSocket::from_std(socket)?;
    let mut datagram = format!("{name} ").into_bytes();
    let head = datagram.len();
    datagram.resize(head + usize::from(u16::MAX), 0);
    loop {
        // An error is one datagram's: a client's closed port, or an answer too long to send.
        if let Ok((length, client)) = socket.recv_from(&mut datagram[head..]).await {
            let _ = socket.send_to(&datagram[..head + length], client).await;
        }
    }
}
