//! It answers a datagram, or at least nobody says that the port is closed.

use std::{io::ErrorKind, time::Duration};

use tokio::{net::UdpSocket, time::timeout};

use super::{
    peer::{Peer, any},
    runner::Found,
    tcp::half,
};
use crate::core::health::Udp;

/// How long an "unreachable" is waited for where no answer is asked for.
const SILENCE: Duration = Duration::from_millis(500);

pub(super) async fn probe(peer: &Peer, udp: &Udp, patience: Duration) -> Result<Found, String> {
    let Some(expected) = &udp.reply else {
        let silence = SILENCE.min(half(patience));
        return match timeout(silence, ask(peer, &udp.payload, patience, |_| true)).await {
            // Nobody complained.
            Err(_) | Ok(Ok(_)) => Ok(Found::WELL),
            Ok(Err(error)) => Err(error),
        };
    };
    let answer = ask(peer, &udp.payload, patience, |_| true).await?;
    if answer.starts_with(expected) {
        Ok(Found::WELL)
    } else {
        Err("the answer is not what it should be".to_owned())
    }
}

/// Sends a datagram, once more after half of the time, and returns the first answer that is meant for it.
pub(super) async fn ask(
    peer: &Peer,
    payload: &[u8],
    patience: Duration,
    is_answer: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => "the port is closed".to_owned(),
        _ => error.to_string(),
    };
    // Bound at once: by its port the way back is known.
    let socket = UdpSocket::bind(any(peer.at)).await.map_err(said)?;
    peer.prepare(&socket, |_| Ok(()))?;
    socket.connect(peer.at).await.map_err(said)?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    let mut listen = async || -> Result<Vec<u8>, String> {
        loop {
            let length = socket.recv(&mut answer).await.map_err(said)?;
            if is_answer(&answer[..length]) {
                return Ok(answer[..length].to_vec());
            }
        }
    };
    socket.send(payload).await.map_err(said)?;
    if let Ok(answer) = timeout(half(patience), listen()).await {
        return answer;
    }
    socket.send(payload).await.map_err(said)?;
    listen().await
}
