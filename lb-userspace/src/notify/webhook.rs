//! A webhook: events as JSON by HTTP POST.

use std::{fs, path::Path, sync::Arc};

use http::{Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    core::event::{Batch, Record, Webhook},
    io::{http::exchange, one_line, tls},
};

/// Most bytes of an answer that are read, to quote it.
const MOST_ANSWER: usize = 1000;

/// The body of a request.
#[derive(Serialize)]
struct Body<'a> {
    /// Name of the director.
    director: &'a str,
    /// How many events were not told before these.
    lost: u64,
    events: Vec<&'a Record>,
}

/// Tells of the whole batch; any status from 200 to 299 is a success.
pub(super) async fn post(webhook: &Webhook, director: &str, batch: &Batch) -> Result<(), String> {
    let asked = timeout(webhook.timeout, ask(webhook, director, batch)).await;
    let url = &webhook.url;
    match asked {
        Ok(done) => done.map_err(|error| format!("{url}: {error}")),
        Err(_) => Err(format!(
            "{url}: no answer within {} s",
            webhook.timeout.as_secs_f64()
        )),
    }
}

async fn ask(webhook: &Webhook, director: &str, batch: &Batch) -> Result<(), String> {
    let url = &webhook.url;
    let body = Body {
        director,
        lost: batch.lost,
        events: batch.events.iter().map(|event| &**event).collect(),
    };
    let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    let authority = if url.host.contains(':') {
        format!("[{}]:{}", url.host, url.port)
    } else {
        format!("{}:{}", url.host, url.port)
    };
    let mut request = Request::post(&url.path)
        .header(header::HOST, &authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("tandemd/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &webhook.token_file {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", secret(path)?));
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((url.host.as_str(), url.port))
        .await
        .map_err(|error| error.to_string())?;
    let answer = if url.tls {
        let roots = tls::roots(webhook.ca_file.as_deref()).map_err(|error| error.to_string())?;
        let config = tls::client(roots).map_err(|error| error.to_string())?;
        let stream = tls::connect(Arc::clone(&config), &url.host, stream).await;
        exchange(stream.map_err(|error| error.to_string())?, request, MOST_ANSWER).await
    } else {
        exchange(stream, request, MOST_ANSWER).await
    };
    let answer = answer.map_err(|error| error.to_string())?;
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let said = one_line(&String::from_utf8_lossy(&answer.body));
    Err(format!("HTTP status {}: {said}", answer.status))
}

/// The first line of a file: a password, or a token. Read anew each time, so that it may be changed.
pub(super) fn secret(path: &Path) -> Result<String, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match text.lines().next() {
        Some(line) if !line.trim().is_empty() => Ok(line.trim().to_owned()),
        Some(_) | None => Err(format!("the first line of {} is empty", path.display())),
    }
}
