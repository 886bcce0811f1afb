//! Sends a file to a [`Digest`](crate::server::Digest) server.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::ClientError;
use super::segment::largest_sent;
use crate::big_file::BigFile;
use crate::host::Host;

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Name of the server's host.
    pub backend: String,
    /// SHA-256 of what it received, in hexadecimal.
    pub sha256: String,
    /// The largest segment that was sent, in bytes of payload (TCP_INFO's `tcpi_snd_mss`), at the end.
    pub segment: u32,
}

/// Sends the file to `to`, on a connection of its own.
///
/// # Errors
/// [`ClientError::Exchange`] when any step takes longer than `timeout`, [`ClientError::Answer`] for an answer that is none.
pub fn upload(host: &Host, to: SocketAddr, file: &BigFile, timeout: Duration) -> Result<Upload, ClientError> {
    let sent = host.enter(|| exchange(to, file, timeout))?;
    let (answer, segment) = sent.map_err(|source| ClientError::Exchange {
        doing: "send to",
        to,
        source,
    })?;
    match answer.split_once(' ') {
        Some((backend, sha256)) => Ok(Upload {
            backend: backend.to_owned(),
            sha256: sha256.to_owned(),
            segment,
        }),
        None => Err(ClientError::Answer {
            from: to,
            what: format!("`{answer}` has no checksum in it"),
        }),
    }
}

fn exchange(to: SocketAddr, file: &BigFile, timeout: Duration) -> io::Result<(String, u32)> {
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut file = File::open(&file.path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => stream.write_all(&buffer[..length])?,
        }
    }
    let segment = largest_sent(&stream)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok((answer, segment))
}
