//! A UDP client.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::ClientError;
use crate::host::Host;

/// A UDP flow: one local port, one server ([`UdpEcho`](crate::server::UdpEcho)).
#[derive(Debug)]
pub struct UdpFlow {
    socket: UdpSocket,
    to: SocketAddr,
}

impl UdpFlow {
    /// Opens a flow from `host` to `to`. An answer from any other address is not received.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] when no route leads there.
    pub fn open(host: &Host, to: SocketAddr) -> Result<Self, ClientError> {
        let opened: io::Result<UdpSocket> = host.enter(|| {
            let any: SocketAddr = if to.is_ipv4() {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (Ipv6Addr::UNSPECIFIED, 0).into()
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            Ok(socket)
        })?;
        let socket = opened.map_err(|source| ClientError::Exchange {
            doing: "open a flow to",
            to,
            source,
        })?;
        Ok(Self { socket, to })
    }

    /// Sends `payload` and waits for the answer to it; returns the name of the backend that gave it.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] when none comes within `timeout`.
    pub fn ask(&self, payload: &[u8], timeout: Duration) -> Result<String, ClientError> {
        self.exchange(payload, timeout)
            .map_err(|source| ClientError::Exchange {
                doing: "ask",
                to: self.to,
                source,
            })
    }

    fn exchange(&self, payload: &[u8], timeout: Duration) -> io::Result<String> {
        self.socket.send(payload)?;
        let deadline = Instant::now() + timeout;
        let mut answer = vec![0; usize::from(u16::MAX)];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            let length = match self.socket.recv(&mut answer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                received => received?,
            };
            // An answer to an earlier question may still come.
            if let Some(name) = answer[..length]
                .strip_suffix(payload)
                .and_then(|head| head.strip_suffix(b" "))
            {
                return Ok(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
}
