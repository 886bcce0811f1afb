//! One TCP connection to a server that tells its name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Dial, http};

/// The longest answer to a greeting, in bytes.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What a client says, and how it reads who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A line; the answer is a line with the name ([`HoldServer`](crate::server::HoldServer)).
    Line,
    /// `GET /` with keep-alive; the answer's header `X-Backend` has the name ([`Nginx`](crate::server::Nginx)).
    Http,
}

impl Greeting {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Line => b"hello\n",
            Self::Http => b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n",
        }
    }

    /// The name in an answer; `None` while it is not complete.
    fn name(self, answer: &[u8]) -> io::Result<Option<String>> {
        match self {
            Self::Line => Ok(answer
                .strip_suffix(b"\n")
                .map(|line| String::from_utf8_lossy(line).into_owned())),
            Self::Http => {
                let Some(head) = http::Head::parse(answer)? else {
                    return Ok(None);
                };
                if answer.len() < head.length + head.content_length().unwrap_or_default() {
                    return Ok(None);
                }
                let nameless = || io::Error::new(io::ErrorKind::InvalidData, "no X-Backend in the answer");
                head.field("x-backend")
                    .map(|name| Some(name.to_owned()))
                    .ok_or_else(nameless)
            }
        }
    }
}

/// An open connection, and who first answered on it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    greeting: Greeting,
    patience: Duration,
    pub(super) backend: String,
}

impl Connection {
    /// Connects and asks for the name, within the dial's timeout. `number` chooses among its source addresses.
    pub(super) async fn open(dial: &Dial, number: usize) -> io::Result<Self> {
        timeout(dial.timeout, async {
            let mut stream = connect(dial.to, dial.source(number)).await?;
            let backend = greet(&mut stream, dial.greeting).await?;
            Ok(Self {
                stream,
                greeting: dial.greeting,
                patience: dial.timeout,
                backend,
            })
        })
        .await?
    }

    /// Asks for the name again.
    pub(super) async fn ask(&mut self) -> io::Result<String> {
        timeout(self.patience, greet(&mut self.stream, self.greeting)).await?
    }
}

async fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}

async fn greet(stream: &mut TcpStream, greeting: Greeting) -> io::Result<String> {
    stream.write_all(greeting.text()).await?;
    let mut answer = Vec::new();
    let mut part = [0; 512];
    loop {
        let length = stream.read(&mut part).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&part[..length]);
        if let Some(name) = greeting.name(&answer)? {
            return Ok(name);
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an answer without end",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_once_the_answer_is_complete() {
        let http = b"HTTP/1.1 200 OK\r\nX-Backend: web1\r\nContent-Length: 5\r\n\r\nweb1\n".as_slice();
        let nameless = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".as_slice();
        for (greeting, answer, name) in [
            (Greeting::Line, b"".as_slice(), Some(None)),
            (Greeting::Line, b"web1", Some(None)),
            (Greeting::Line, b"web1\n", Some(Some("web1"))),
            (Greeting::Http, &http[..40], Some(None)),
            (Greeting::Http, &http[..http.len() - 1], Some(None)),
            (Greeting::Http, http, Some(Some("web1"))),
            (Greeting::Http, nameless, None),
        ] {
            let read = greeting.name(answer).ok();
            assert_eq!(read, name.map(|name| name.map(str::to_owned)), "{answer:?}");
        }
    }
}
