//! It accepts a connection.

use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use super::{peer::Peer, runner::Found};

pub(super) async fn probe(peer: &Peer) -> Result<Found, String> {
    let stream = connect(peer).await?;
    // A reset instead of a farewell: nothing of it is left on either side. Thousands of these in a second would else fill
    // the table of sockets that wait for late packets.
    let _ = stream.set_zero_linger();
    Ok(Found::WELL)
}

/// A connection.
pub(super) async fn connect(peer: &Peer) -> Result<TcpStream, String> {
    let socket = if peer.at.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.map_err(|error| format!("no socket: {error}"))?;
    peer.prepare_tcp(&socket)?;
    socket.connect(peer.at).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => format!("cannot connect: {error}"),
    })
}

/// Half of the time there is, but not too little: when a datagram is sent once more.
pub(super) fn half(patience: Duration) -> Duration {
    (patience / 2).max(Duration::from_millis(1))
}
