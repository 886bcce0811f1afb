//! It greets as a mail server does.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{peer::Peer, runner::Found, tcp};
use crate::core::health::Smtp;

/// Longest reply, in bytes: more than any server has to say.
const LONGEST: u64 = 64 << 10;

pub(super) async fn probe(peer: &Peer, smtp: &Smtp) -> Result<Found, String> {
    let mut stream = BufReader::new(tcp::connect(peer).await?);
    expect(&mut stream, "220", "the greeting").await?;
    say(&mut stream, &format!("EHLO {}\r\n", smtp.helo)).await?;
    expect(&mut stream, "250", "the answer to EHLO").await?;
    say(&mut stream, "QUIT\r\n").await?;
    expect(&mut stream, "221", "the answer to QUIT").await?;
    Ok(Found::WELL)
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str) -> Result<(), String> {
    stream
        .write_all(line.as_bytes())
        .await
        .map_err(|error| error.to_string())
}

/// A reply of one or more lines (RFC 5321 section 4.2) with this code.
async fn expect(stream: &mut BufReader<TcpStream>, code: &str, what: &str) -> Result<(), String> {
    let mut left = LONGEST;
    loop {
        let mut line = String::new();
        let length = (&mut *stream).take(left).read_line(&mut line).await;
        let length = length.map_err(|error| format!("{what}: {error}"))?;
        left -= length as u64;
        if !line.ends_with('\n') {
            return Err(format!("{what} breaks off, or has no end"));
        }
        match line.strip_prefix(code) {
            Some(rest) if rest.starts_with('-') => {}
            Some(_) => return Ok(()),
            None => return Err(format!("{what} is `{}`", line.trim())),
        }
    }
}
