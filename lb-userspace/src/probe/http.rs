//! It answers HTTP.

use std::net::IpAddr;

use http::{Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use regex::bytes::{Regex, RegexBuilder};
use sha2::{Digest as _, Sha256};

use super::{peer::Peer, runner::Found, tcp, thread::Cache, tls};
use crate::{
    core::health::{BodyMatch, Http},
    io::http::{Answer, exchange},
};

/// Most bytes of a body that are looked at.
const MOST_BODY: usize = 1 << 20;
/// Most bytes that a compiled regular expression may take.
const MOST_REGEX: usize = 1 << 20;

/// Regular expressions that are compiled already.
pub(super) type Bodies = Cache<String, Regex>;

pub(super) async fn probe(
    peer: &Peer,
    http: &Http,
    clients: &tls::Clients,
    bodies: &Bodies,
) -> Result<Found, String> {
    let mut request = Request::builder()
        .method(http.method.as_str())
        .uri(&http.path)
        .header(header::HOST, http.host.clone().unwrap_or_else(|| host(peer.name)))
        .header(header::USER_AGENT, concat!("tandem/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    for (name, value) in &http.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    // Without a rule for the body, its beginning need not be waited for.
    let most = if http.body.is_some() { MOST_BODY } else { 0 };
    let stream = tcp::connect(peer).await?;
    let (answer, warning) = match &http.tls {
        None => (exchange(stream, request, most).await, None),
        Some(tls) => {
            let (stream, warning) = clients.connect(peer, tls, &[], stream).await?;
            (exchange(stream, request, most).await, warning)
        }
    };
    let answer = answer.map_err(|error| format!("no HTTP answer: {error}"))?;
    judge(&answer, http, bodies)?;
    Ok(Found {
        warning,
        ..Found::WELL
    })
}

/// An address as a `Host` header has it.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn judge(answer: &Answer, http: &Http, bodies: &Bodies) -> Result<(), String> {
    let good = |&(from, to): &(u16, u16)| (from..=to).contains(&answer.status);
    if !http.statuses.iter().any(good) {
        return Err(format!("HTTP status {}", answer.status));
    }
    let good = match &http.body {
        None => true,
        Some(BodyMatch::Contains(text)) => memchr::memmem::find(&answer.body, text.as_bytes()).is_some(),
        Some(BodyMatch::Regex(text)) => bodies
            .get(text, || regex(text))
            .map_err(|error| format!("the regular expression: {error}"))?
            .is_match(&answer.body),
        Some(BodyMatch::Sha256(digest)) => Sha256::digest(&answer.body)[..] == digest[..],
    };
    if good {
        Ok(())
    } else {
        Err("the body is not what it should be".to_owned())
    }
}

/// A regular expression of bounded size.
pub(crate) fn regex(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(MOST_REGEX).build()
}
