//! It answers an echo request.
//!
//! One raw socket for each family hears every echo reply that reaches the machine; each waits for the one with its number.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU16, Ordering},
    },
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, socket,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
};

use super::runner::Found;

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// Bytes of an ICMP echo message before its data.
const HEADER: usize = 8;

/// Sends echo requests, and hands out the replies.
#[derive(Debug, Default)]
pub(super) struct Pinger {
    v4: Mutex<Weak<Ear>>,
    v6: Mutex<Weak<Ear>>,
    next: AtomicU16,
}

/// Identifier and sequence number, and the cookie in the data.
type Number = (u16, u16, u64);

/// A raw socket, and who waits for what.
#[derive(Debug)]
struct Ear {
    socket: AsyncFd<OwnedFd>,
    v4: bool,
    waiting: Mutex<BTreeMap<Number, oneshot::Sender<()>>>,
}

impl Pinger {
    pub(super) async fn probe(&self, address: IpAddr) -> Result<Found, String> {
        let ear = self
            .ear(address.is_ipv4())
            .map_err(|error| format!("no socket for echo requests: {error}"))?;
        let number = (
            std::process::id() as u16,
            self.next.fetch_add(1, Ordering::Relaxed),
            rand::random(),
        );
        let (told, tell) = oneshot::channel();
        ear.waiting().insert(number, told);
        let _waiter = Waiter {
            ear: Arc::clone(&ear),
            number,
        };
        ear.send(address, number)
            .map_err(|error| format!("cannot send an echo request: {error}"))?;
        tokio::select! {
            _ = tell => Ok(Found::WELL),
            error = ear.listen() => Err(error.to_string()),
        }
    }

    /// The socket, opened by the first that needs it and closed with the last.
    fn ear(&self, v4: bool) -> io::Result<Arc<Ear>> {
        let place = if v4 { &self.v4 } else { &self.v6 };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ear) = place.upgrade() {
            return Ok(ear);
        }
        let ear = Arc::new(Ear::open(v4)?);
        *place = Arc::downgrade(&ear);
        Ok(ear)
    }
}

/// Somebody who waits; forgotten when he goes.
struct Waiter {
    ear: Arc<Ear>,
    number: Number,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.ear.waiting().remove(&self.number);
    }
}

impl Ear {
    fn open(v4: bool) -> io::Result<Self> {
        let (family, protocol) = if v4 {
            (AddressFamily::Inet, SockProtocol::Icmp)
        } else {
            (AddressFamily::Inet6, SockProtocol::IcmpV6)
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(family, SockType::Raw, flags, protocol)?;
        // SAFETY: an owned descriptor is open, and the same, until it is dropped with what owns it.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self {
            socket: socket?,
            v4,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<Number, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, address: IpAddr, number: Number) -> io::Result<()> {
        let request = request(self.v4, number);
        let to = SockaddrStorage::from(SocketAddr::new(address, 0));
        sendto(self.socket.as_raw_fd(), &request, &to, MsgFlags::empty())?;
        Ok(())
    }

    /// Hands out replies until the socket fails. Whoever waits does this for all.
    async fn listen(&self) -> io::Error {
        let mut packet = [0; 512];
        loop {
            let mut ready = match self.socket.readable().await {
                Ok(ready) => ready,
                Err(error) => return error,
            };
            let read = ready.try_io(|socket| {
                recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()).map_err(io::Error::from)
            });
            match read {
                Err(_) => {}
                Ok(Ok(length)) => {
                    if let Some(number) = reply(self.v4, &packet[..length])
                        && let Some(told) = self.waiting().remove(&number)
                    {
                        let _ = told.send(());
                    }
                }
                Ok(Err(error)) => return error,
            }
        }
    }
}

/// An echo request (RFC 792, RFC 4443 section 4.1); the kernel fills in the checksum of IPv6.
fn request(v4: bool, (id, sequence, cookie): Number) -> [u8; HEADER + 8] {
    let mut request = [0; HEADER + 8];
    request[0] = if v4 { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
    request[4..6].copy_from_slice(&id.to_be_bytes());
    request[6..8].copy_from_slice(&sequence.to_be_bytes());
    request[8..].copy_from_slice(&cookie.to_be_bytes());
    if v4 {
        let words = request
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        let sum = (sum & 0xFFFF) + (sum >> 16);
        let sum = (sum & 0xFFFF) + (sum >> 16);
        request[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
    request
}

/// The number of an echo reply; IPv4 packets come with their header.
fn reply(v4: bool, packet: &[u8]) -> Option<Number> {
    let message = if v4 {
        let header = usize::from(packet.first()? & 0x0F) * 4;
        packet.get(header..)?
    } else {
        packet
    };
    let expected = if v4 { ECHO_REPLY_V4 } else { ECHO_REPLY_V6 };
    if *message.first()? != expected {
        return None;
    }
    let number = |from: usize| Some(u16::from_be_bytes(message.get(from..from + 2)?.try_into().ok()?));
    let cookie = u64::from_be_bytes(message.get(HEADER..HEADER + 8)?.try_into().ok()?);
    Some((number(4)?, number(6)?, cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_from_everything_else() {
        let number = (7, 9, 0x0102_0304_0506_0708);
        let mut message = request(true, number).to_vec();
        let sum: u32 = message
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        assert_eq!((sum & 0xFFFF) + (sum >> 16), 0xFFFF, "the checksum");
        let packet = |message: &[u8]| [&[0x46; 1][..], &[0; 23], message].concat();
        assert_eq!(reply(true, &packet(&message)), None, "a request");
        message[0] = ECHO_REPLY_V4;
        assert_eq!(reply(true, &packet(&message)), Some(number));
        for length in 0..packet(&message).len() {
            assert_eq!(reply(true, &packet(&message)[..length]), None);
        }
        let mut message = request(false, number).to_vec();
        message[0] = ECHO_REPLY_V6;
        assert_eq!(reply(false, &message), Some(number));
    }
}
