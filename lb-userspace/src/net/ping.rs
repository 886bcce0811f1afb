//! Pings: whether a machine answers ICMP echo requests.

use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use lb_common::checksum;
use socket2::{Domain, Protocol, Socket, Type};

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
const LENGTH: usize = 16;

/// Sends an echo request out of an interface, and waits for the answer to it.
///
/// # Errors
/// When none comes in time, or it cannot be sent.
pub fn ping(to: IpAddr, interface: &str, patience: Duration) -> io::Result<()> {
    let (domain, protocol, kind, answer) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, ECHO_REQUEST_V4, ECHO_REPLY_V4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, ECHO_REQUEST_V6, ECHO_REPLY_V6),
    };
    let socket = Socket::new(domain, Type::RAW.cloexec(), Some(protocol))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let mark: [u8; 12] = rand::random();
    let mut request = [0; LENGTH];
    request[0] = kind;
    request[4..].copy_from_slice(&mark);
    // For IPv6 the kernel fills it in.
    if to.is_ipv4() {
        let words = request.as_chunks::<2>().0.iter();
        let sum: u64 = words.map(|word| u64::from(u16::from_be_bytes(*word))).sum();
        request[2..4].copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
    }
    socket.send(&request)?;
    let deadline = Instant::now() + patience;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer"));
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        // SAFETY: so many bytes were written.
        let packet = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
        // A raw IPv4 socket gives the IP header, too.
        let header = match to {
            IpAddr::V4(_) => packet.first().map_or(0, |first| usize::from(first & 0x0F) * 4),
            IpAddr::V6(_) => 0,
        };
        let message = packet.get(header..).unwrap_or_default();
        if message.first() == Some(&answer) && message.get(4..LENGTH) == Some(&mark[..]) {
            return Ok(());
        }
    }
}
