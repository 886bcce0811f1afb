//! The last act: two directors, and the Active dies.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::screen::Screen;
use crate::{
    Tandem,
    client::{Crowd, Dial, Greeting, Stream},
    server::UdpEcho,
    topology::{Pair, VIP4},
    wait::wait_for,
};

/// For what ought to happen within a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between advertisements, and between heartbeats.
const INTERVAL_MS: u64 = 10;
/// Connections that are there when it happens.
const HELD: usize = 1000;
/// Datagrams a second while VIPs are handed over, and while the Active dies.
const RATE: u32 = 20_000;
const STEADY: u32 = 2000;
/// Answers that come before the Active dies, and again after it: of half a second.
const ANSWERS: u64 = STEADY as u64 / 2;

/// What clients saw of the death of the Active.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Failover {
    /// The longest time in which a client that sent without a pause got no answer.
    pub gap_ms: f64,
    /// Connections that were open when it died.
    pub held: u64,
    /// Those that the other director knew of at that moment.
    pub known: u64,
    /// Those that went on with the same backend.
    pub kept: u64,
    /// Those that were reset, were not answered any more, or were answered by another backend.
    pub reset: u64,
}

/// What clients saw of a planned handover, there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Handover {
    /// Packets that were sent meanwhile.
    pub packets: u64,
    /// Those that neither director forwarded.
    pub lost_packets: u64,
}

/// Plays it.
///
/// # Errors
/// What the lab or a daemon cannot do, in a sentence.
pub fn run(screen: &mut Screen) -> Result<(Failover, Handover)> {
    screen.act("two directors: the VIPs are handed over and back at 20 000 packets a second");
    let pair = Pair::build("demo-pair", 1, 3).context("building the lab of the pair")?;
    let _servers = pair.serve_http_everywhere().context("starting nginx")?;
    let echoes = pair.backends.iter();
    let echoes = echoes.map(|backend| UdpEcho::start(backend, &[(VIP4, 53).into()]));
    let _echoes: Vec<_> = echoes.collect::<Result<_, _>>()?;
    let key = pair.make_key()?;
    let a = start(&pair, 0, 150, &key)?;
    let b = start(&pair, 1, 100, &key)?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    wait_for(PATIENCE, "the directors to hear each other", || {
        [&a, &b].iter().all(|director| {
            let view = director.ask(&["ha"]).unwrap_or_default();
            let sync = director.ask(&["sync"]).unwrap_or_default();
            view["peers"][0]["proven"] == true && sync["sync"]["peers"][0]["phase"] == "in_sync"
        })
    })?;

    let before = forwarded(&a)? + forwarded(&b)?;
    let stream = Stream::start(&pair.clients[0], (VIP4, 53).into(), RATE)?;
    for (giver, taker) in [(&a, &b), (&b, &a)] {
        giver.ask(&["ha", "handover"])?;
        expect_role(taker, "active")?;
        expect_role(giver, "backup")?;
    }
    let sent = stream.stop().sent;
    let handover = Handover {
        packets: sent,
        lost_packets: sent.saturating_sub(forwarded(&a)? + forwarded(&b)? - before),
    };

    screen.act("1000 connections are held; one of their backends is drained, on the Active alone");
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut crowd = Crowd::open(&pair.clients[0], &dial, HELD)?;
    let failed = crowd.failures().values().sum::<u64>();
    a.ask(&["backend", "drain", "backend1"])?;
    wait_for(
        PATIENCE,
        "the other director to know of the drain and the connections",
        || {
            let drained = b.ask(&["backend", "list", "backend1"]);
            drained.is_ok_and(|view| view[0]["state"] == "draining")
                && established(&b).is_ok_and(|known| known >= crowd.len() as u64)
        },
    )?;

    screen.act("the Active dies under traffic: all its cables are cut, and it is killed (-9)");
    let known = established(&b)?;
    let stream = Stream::start(&pair.clients[0], (VIP4, 53).into(), STEADY)?;
    expect_answers(&stream, ANSWERS)?;
    // The cables first: without its daemon a director still forwards.
    for cable in ["eth1", "eth0"] {
        pair.directors[0].interface(cable)?.unplug()?;
    }
    a.process().kill()?;
    expect_role(&b, "active")?;
    // Without an answer there is no telling how long there was none.
    expect_answers(&stream, ANSWERS)?;
    let passage = stream.stop();
    let answers = crowd.ask();
    let failover = Failover {
        gap_ms: passage.longest_silence.as_secs_f64() * 1000.0,
        held: HELD as u64,
        known,
        kept: answers.kept as u64,
        reset: failed + answers.moved as u64 + answers.broken(),
    };
    Ok((failover, handover))
}

fn start(pair: &Pair, director: usize, priority: u8, key: &Path) -> Result<Tandem> {
    let interval = format!("advert_interval = \"{INTERVAL_MS}ms\"\nfailback = \"never\"");
    let more = Pair::cluster(key, "[sync]\ninterface = \"eth1\"\n") + &Pair::front(priority, &interval);
    Tandem::start(&pair.directors[director], &pair.config(director, &more))
}

fn expect_role(director: &Tandem, role: &str) -> Result<()> {
    wait_for(PATIENCE, format!("a director to be {role}"), || {
        let view = director.ask(&["ha"]).unwrap_or_default();
        view["instances"][0]["role"] == role
    })?;
    Ok(())
}

/// Connections that the director knows of.
fn established(director: &Tandem) -> Result<u64> {
    let flows = director.ask(&["flow", "--state", "established", "--count"])?;
    flows["flows"].as_u64().context("no count of flows")
}

/// Packets of all services so far.
fn forwarded(director: &Tandem) -> Result<u64> {
    let backends = director.ask(&["backend"])?;
    let backends = backends.as_array().into_iter().flatten();
    Ok(backends.filter_map(|backend| backend["packets"].as_u64()).sum())
}

/// Waits for so many further answers.
fn expect_answers(stream: &Stream, count: u64) -> Result<()> {
    let enough = stream.answered() + count;
    wait_for(PATIENCE, format!("{count} further answers"), || {
        stream.answered() >= enough
    })?;
    Ok(())
}
