//! Its gRPC health service says SERVING (grpc.health.v1.Health/Check).

use std::net::SocketAddr;

use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{peer::Peer, runner::Found, tcp, tls};
use crate::core::health::Grpc;

/// Most bytes of an answer.
const MOST: usize = 64 << 10;
/// `ServingStatus` of grpc/health/v1/health.proto.
const STATUS: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

pub(super) async fn probe(peer: &Peer, grpc: &Grpc, clients: &tls::Clients) -> Result<Found, String> {
    let stream = tcp::connect(peer).await?;
    match &grpc.tls {
        None => {
            check(peer, grpc, stream).await?;
            Ok(Found::WELL)
        }
        Some(settings) => {
            let (stream, warning) = clients.connect(peer, settings, &[b"h2"], stream).await?;
            check(peer, grpc, stream).await?;
            Ok(Found {
                warning,
                ..Found::WELL
            })
        }
    }
}

async fn check(
    peer: &Peer,
    grpc: &Grpc,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), String> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| format!("no HTTP/2: {error}"))?;
    // What goes wrong there shows in the answer; it ends with the sender.
    tokio::spawn(connection);
    let scheme = if grpc.tls.is_some() { "https" } else { "http" };
    let request = Request::post(format!(
        "{scheme}://{}/grpc.health.v1.Health/Check",
        SocketAddr::new(peer.name, peer.at.port())
    ))
    .header(header::CONTENT_TYPE, "application/grpc")
    .header(header::TE, "trailers")
    .body(Full::new(Bytes::from(message(&grpc.service))))
    .map_err(|error| error.to_string())?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| format!("no gRPC answer: {error}"))?;
    let (head, body) = answer.into_parts();
    if head.status != 200 {
        return Err(format!("HTTP status {}", head.status.as_u16()));
    }
    let body = Limited::new(body, MOST)
        .collect()
        .await
        .map_err(|error| format!("no gRPC answer: {error}"))?;
    // A failure may have trailers alone, which are then in the head.
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    let code = trailers
        .get("grpc-status")
        .and_then(|code| code.to_str().ok())
        .unwrap_or("0");
    if code != "0" {
        let said = trailers
            .get("grpc-message")
            .and_then(|text| text.to_str().ok())
            .unwrap_or_default();
        return Err(format!("gRPC status {code} {said}"));
    }
    match status(&body.to_bytes()) {
        Some(1) => Ok(()),
        Some(status) => {
            let name = STATUS.get(status as usize).copied().unwrap_or("?");
            Err(format!("its health is {name}"))
        }
        None => Err("the gRPC answer cannot be read".to_owned()),
    }
}

/// `HealthCheckRequest { service }`: a length-prefixed message with field 1, a string.
fn message(service: &str) -> Vec<u8> {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(0x0a);
        varint(service.len() as u64, &mut field);
        field.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&(field.len() as u32).to_be_bytes());
    message.extend_from_slice(&field);
    message
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// `HealthCheckResponse { status }`: field 1, a number; without it, 0. An answer without any field is `UNKNOWN`.
fn status(message: &[u8]) -> Option<u64> {
    let (prefix, rest) = message.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?) as usize;
    let fields = rest.get(..length)?;
    match (prefix[0], fields) {
        (0, []) => Some(0),
        (0, [0x08, value, ..]) if *value < 0x80 => Some((*value).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_protobuf_has_them() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("web"), [0, 0, 0, 0, 5, 0x0a, 3, b'w', b'e', b'b']);
        for (answer, expected) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(2)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[0, 0, 0, 0, 2, 8], None),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(status(answer), expected, "{answer:?}");
        }
    }
}
