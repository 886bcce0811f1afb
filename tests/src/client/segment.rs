//! How large the segments of a connection are.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, AsRawFd as _};

/// The largest segment received, in bytes of payload.
pub(super) fn largest_received(stream: &TcpStream) -> io::Result<u32> {
    info(stream).map(|info| info.tcpi_rcv_mss)
}

/// The largest segment that is sent at present, in bytes of payload.
pub(super) fn largest_sent(stream: &TcpStream) -> io::Result<u32> {
    info(stream).map(|info| info.tcpi_snd_mss)
}

fn info(stream: &TcpStream) -> io::Result<libc::tcp_info> {
    // SAFETY: a plain C struct; all zeroes is a valid value of it.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let fd = stream.as_fd().as_raw_fd();
    // SAFETY: the pointers lead to the two locals above, and the length is right.
    let done = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if done == 0 {
        Ok(info)
    } else {
        Err(io::Error::last_os_error())
    }
}
