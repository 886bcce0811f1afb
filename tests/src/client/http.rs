//! HTTP/1.1 requests, one a connection, without a library between the test and the wire.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::ClientError;
use super::segment::largest_received;
use crate::big_file::hex;
use crate::host::Host;

/// The longest head of a response, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// The longest body that [`get`] keeps, in bytes.
const LONGEST_BODY: usize = 16 << 20;

/// A response, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The `X-Backend` header, empty where there is none.
    pub backend: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A large response, of which only the checksum is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The status code.
    pub status: u16,
    /// The `X-Backend` header, empty where there is none.
    pub backend: String,
    /// Length of the body in bytes.
    pub bytes: u64,
    /// SHA-256 of the body, in hexadecimal.
    pub sha256: String,
    /// The largest segment received, in bytes of payload (TCP_INFO's `tcpi_rcv_mss`).
    pub segment: u32,
    /// From the request to the last byte.
    pub took: Duration,
}

/// Fetches `path` from `to`, on a connection of its own.
///
/// # Errors
/// [`ClientError::Exchange`] when any step takes longer than `timeout`, [`ClientError::Answer`] for what is no HTTP.
pub fn get(host: &Host, to: SocketAddr, path: &str, timeout: Duration) -> Result<Response, ClientError> {
    let mut body = Vec::new();
    let fetched = fetch(host, to, path, timeout, |part| {
        body.extend_from_slice(part);
        body.len() <= LONGEST_BODY
    })?;
    Ok(Response {
        status: fetched.head.status,
        backend: fetched.backend(),
        body,
    })
}

/// Fetches `path` from `to` and checksums what comes, to be used for a response of any length.
///
/// # Errors
/// As [`get`].
pub fn download(host: &Host, to: SocketAddr, path: &str, timeout: Duration) -> Result<Download, ClientError> {
    let start = Instant::now();
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let fetched = fetch(host, to, path, timeout, |part| {
        hash.update(part);
        bytes += part.len() as u64;
        true
    })?;
    Ok(Download {
        status: fetched.head.status,
        backend: fetched.backend(),
        bytes,
        sha256: hex(&hash.finalize()),
        segment: fetched.segment,
        took: start.elapsed(),
    })
}

struct Fetched {
    head: Head,
    segment: u32,
}

impl Fetched {
    fn backend(&self) -> String {
        self.head.field("x-backend").unwrap_or_default().to_owned()
    }
}

/// `take` gets the body piece by piece, and says whether it wants more.
fn fetch(
    host: &Host,
    to: SocketAddr,
    path: &str,
    timeout: Duration,
    take: impl FnMut(&[u8]) -> bool + Send,
) -> Result<Fetched, ClientError> {
    let fetched = host.enter(|| exchange(to, path, timeout, take))?;
    fetched.map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => ClientError::Answer {
            from: to,
            what: source.to_string(),
        },
        _ => ClientError::Exchange {
            doing: "fetch from",
            to,
            source,
        },
    })
}

fn exchange(
    to: SocketAddr,
    path: &str,
    timeout: Duration,
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<Fetched> {
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut buffer = vec![0; 1 << 18];
    let mut filled = 0;
    let head = loop {
        filled += read_some(&mut stream, &mut buffer[filled..])?;
        if let Some(head) = Head::parse(&buffer[..filled])? {
            break head;
        }
    };
    let mut left = head.content_length();
    let mut part = head.length..filled;
    while left.is_none_or(|left| part.len() < left) {
        if !take(&buffer[part.clone()]) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the body is too long to keep",
            ));
        }
        left = left.map(|left| left - part.len());
        part = 0..stream.read(&mut buffer)?;
        if part.is_empty() {
            break;
        }
    }
    match left {
        Some(left) if part.len() < left => return Err(io::ErrorKind::UnexpectedEof.into()),
        Some(left) if part.len() > left => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more than announced"));
        }
        _ => take(&buffer[part]),
    };
    Ok(Fetched {
        head,
        segment: largest_received(&stream)?,
    })
}

fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}

/// The head of a response (RFC 9112, section 2.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// Length of the head in bytes, with the empty line that ends it.
    pub(super) length: usize,
}

impl Head {
    /// Reads a head; `None` while it is not complete.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() < LONGEST_HEAD {
                Ok(None)
            } else {
                Err(invalid("a head without end"))
            };
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("a head that is no text"))?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status_line.and_then(|line| line.split(' ').next()?.parse().ok());
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Some(Self {
            status: status.ok_or_else(|| invalid("no HTTP/1.1 status"))?,
            fields: lines.filter_map(field).collect(),
            length: end + 4,
        }))
    }

    /// A field's value; the name in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// Length of the body in bytes; `None` where only the end of the connection tells.
    pub(super) fn content_length(&self) -> Option<usize> {
        self.field("content-length")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_with_its_fields() {
        let text = b"HTTP/1.1 404 Not Found\r\nX-Backend:  web1 \r\nContent-Length: 12\r\n\r\nbody";
        let head = Head::parse(text).unwrap().unwrap();
        assert_eq!(head.status, 404);
        assert_eq!(head.field("x-backend"), Some("web1"));
        assert_eq!(head.content_length(), Some(12));
        assert_eq!(&text[head.length..], b"body");
    }

    #[test]
    fn half_a_head_is_waited_for_and_nonsense_refused() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nX-Back").unwrap(), None);
        for nonsense in [
            b"SSH-2.0-x\r\n\r\n".to_vec(),
            b"HTTP/1.1 \xff\r\n\r\n".to_vec(),
            vec![b'x'; LONGEST_HEAD],
        ] {
            assert_eq!(
                Head::parse(&nonsense).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
    }
}
