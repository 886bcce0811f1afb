//! The backend says itself how it is.
//!
//! An agent that does not answer says nothing: whether the backend serves is what the other checks are for.

use http::{Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{peer::Peer, runner::Found, tcp};
use crate::{
    core::{
        backend::{Factor, Says},
        health::{Agent, AgentForm, Share},
    },
    io::{http::exchange, one_line},
};

/// Longest line, and longest JSON, in bytes.
const LONGEST: u64 = 4096;

pub(super) async fn probe(peer: &Peer, agent: &Agent) -> Result<Found, String> {
    let asked = match &agent.form {
        AgentForm::Line => line(peer).await,
        AgentForm::Http { path } => json(peer, path).await,
    };
    Ok(asked.unwrap_or_else(|error| Found {
        warning: Some(one_line(&format!("the agent: {error}"))),
        ..Found::WELL
    }))
}

async fn line(peer: &Peer) -> Result<Found, String> {
    let stream = BufReader::new(tcp::connect(peer).await?);
    let mut line = String::new();
    stream
        .take(LONGEST)
        .read_line(&mut line)
        .await
        .map_err(|error| error.to_string())?;
    parse(&line)
}

/// Words with blanks, commas or tabs in between, after HAProxy's agent checks; what follows `#` is for people.
fn parse(line: &str) -> Result<Found, String> {
    let words = line.split('#').next().unwrap_or_default();
    let words = words
        .split([' ', ',', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty());
    let mut found = Found::WELL;
    let mut any = false;
    for word in words {
        any = true;
        if let Some(percent) = word.strip_suffix('%') {
            let percent: u32 = percent
                .parse()
                .map_err(|_| format!("`{word}` is no part of a weight"))?;
            found.weight = part(percent.into());
            continue;
        }
        found.says = says(word).ok_or_else(|| format!("`{word}` is not understood"))?;
    }
    if any {
        Ok(found)
    } else {
        Err("it says nothing".to_owned())
    }
}

fn part(percent: f64) -> Share {
    Share::Part(Factor::permille(
        (percent * 10.0).clamp(0.0, f64::from(Factor::MOST)).round() as u32,
    ))
}

fn says(word: &str) -> Option<Says> {
    match word.to_ascii_lowercase().as_str() {
        "up" | "ready" => Some(Says::Up),
        "drain" => Some(Says::Drain),
        "down" | "maint" | "stopped" | "fail" | "failed" => Some(Says::Down),
        _ => None,
    }
}

/// What an agent says in JSON; what else it says is its own affair.
#[derive(Deserialize)]
struct Saying {
    /// Percent of the weight.
    weight: Option<f64>,
    state: Option<String>,
}

async fn json(peer: &Peer, path: &str) -> Result<Found, String> {
    let request = Request::get(path)
        .header(header::HOST, peer.at.to_string())
        .header(header::CONNECTION, "close");
    let request = request
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    let answer = exchange(tcp::connect(peer).await?, request, LONGEST as usize).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("HTTP status {}", answer.status));
    }
    let saying: Saying = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let state = saying.state.as_deref().unwrap_or("up");
    Ok(Found {
        says: says(state).ok_or_else(|| format!("the state `{state}` is not understood"))?,
        weight: saying.weight.map_or(Share::WHOLE, part),
        warning: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let found = |says, permille| {
            Ok(Found {
                says,
                weight: Share::Part(Factor::permille(permille)),
                warning: None,
            })
        };
        for (line, expected) in [
            ("75%\n", found(Says::Up, 750)),
            ("up 100%", found(Says::Up, 1000)),
            ("ready,50%\r\n", found(Says::Up, 500)),
            ("DRAIN", found(Says::Drain, 1000)),
            ("maint # for the night", found(Says::Down, 1000)),
            ("250%", found(Says::Up, 2500)),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
        for line in ["", "\n", "# 75%", "x%", "-5%", "tired"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
