//! The other director already has every connection.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Answers, Crowd, Dial, Greeting},
    topology::{Pair, VIP4, VIP6},
    wait_for,
};
use serde_json::Value;

use crate::{
    roles::{PATIENCE, expect_role},
    translated::Translation,
};

/// Connections of each family that are held.
const HELD: usize = 400;
/// A connection that nobody knows any more is not answered, or is reset.
const ANSWER: Duration = Duration::from_secs(3);

/// Two directors of a cluster.
pub(crate) struct Cluster {
    pub(crate) pair: Pair,
    cluster: String,
    /// Connections of each family that are held.
    pub(crate) held: usize,
    pub(crate) failback: &'static str,
    /// Lines of the service: how packets reach the backends.
    pub(crate) method: &'static str,
    /// Or how they are translated, in services of one family each.
    pub(crate) translation: Option<Translation>,
}

impl Cluster {
    pub(crate) fn build(name: &str, clients: usize, backends: usize) -> Result<Self> {
        Self::with(Pair::build(name, clients, backends)?)
    }

    fn with(pair: Pair) -> Result<Self> {
        let cluster = Pair::cluster(&pair.make_key()?, "");
        Ok(Self {
            pair,
            cluster,
            held: HELD,
            failback: "never",
            method: "",
            translation: None,
        })
    }

    /// A director's configuration; the first backend has this weight.
    pub(crate) fn config(&self, director: usize, sync: &str, weight: u32) -> String {
        let priority = if director == 0 { 150 } else { 100 };
        let more = format!("advert_interval = \"50ms\"\nfailback = {:?}", self.failback);
        let front = Pair::front(priority, &more);
        let config = self
            .pair
            .config(director, &format!("{front}\n{}\n{sync}\n", self.cluster));
        if let Some(translation) = self.translation {
            return translation.config(&config, director, &self.pair, weight);
        }
        let service = "name = \"web\"\n";
        let config = config.replace(service, &format!("{service}{}\n", self.method));
        let first = format!("name = \"{}\"\n", self.pair.backends[0].name());
        config.replace(&first, &format!("{first}weight = {weight}\n"))
    }

    pub(crate) fn start(&self, director: usize, sync: &str, weight: u32) -> Result<Tandem> {
        Tandem::start(
            &self.pair.directors[director],
            &self.config(director, sync, weight),
        )
    }

    /// The director is dead to the network, and its daemon is dead.
    pub(crate) fn cut_power(&self, director: usize, tandem: &Tandem) -> Result<()> {
        self.pair.cut_off(director)?;
        tandem.process().kill()?;
        Ok(())
    }

    /// The director's machine starts anew: nothing is left in its tables.
    pub(crate) fn forget(&self, director: usize) -> Result<()> {
        let mut command = Tandem::command(&self.pair.directors[director])?;
        command.arg("--detach");
        let detached = Tandem::end_of(&self.pair.directors[director], command)?;
        ensure!(detached.code == Some(0), "{}", detached.said);
        Ok(())
    }

    /// Connections of both families through the VIPs.
    pub(crate) fn crowds(&self) -> Result<[Crowd; 2]> {
        let open = |to| -> Result<Crowd> {
            let mut dial = Dial::new(to, Greeting::Http);
            dial.timeout = ANSWER;
            let crowd = Crowd::open(&self.pair.clients[0], &dial, self.held)?;
            ensure!(crowd.len() == self.held, "{:?}", crowd.failures());
            Ok(crowd)
        };
        Ok([open((VIP4, 80).into())?, open((VIP6, 80).into())?])
    }
}

/// Multicast by the second network.
pub(crate) const SYNC: &str = "[sync]\ninterface = \"eth1\"";

fn state(tandem: &Tandem) -> Option<Value> {
    Some(tandem.ask(&["sync"]).ok()?["sync"].clone())
}

/// How many datagrams of sync were refused.
fn refused(state: &Value) -> u64 {
    let reasons = state["refused"].as_array().into_iter().flatten();
    reasons.filter_map(|reason| reason["count"].as_u64()).sum()
}

/// Waits until the director has all that the other one has.
pub(crate) fn expect_in_sync(tandem: &Tandem) -> Result<()> {
    let mut last = None;
    wait_for(PATIENCE, "the director to be in sync", || {
        last = state(tandem);
        let Some(state) = &last else { return false };
        state["phase"] == "in_sync"
            && state["peers"][0]["with_us"] == true
            && state["peers"][0]["phase"] == "in_sync"
    })
    .with_context(|| format!("{last:?}\n{}", tandem.process().log()))?;
    Ok(())
}

/// Waits until the director knows this many established connections.
pub(crate) fn expect_flows(tandem: &Tandem, count: usize) -> Result<()> {
    let mut last = 0;
    wait_for(PATIENCE, format!("{count} connections to be known"), || {
        let flows = tandem.ask(&["flow", "--state", "established", "--count"]);
        last = flows.ok().and_then(|flows| flows["flows"].as_u64()).unwrap_or(0);
        last == count as u64
    })
    .with_context(|| format!("{last}"))?;
    Ok(())
}

pub(crate) fn ask(crowds: &mut [Crowd; 2]) -> Answers {
    let mut sum = Answers::default();
    for crowd in crowds {
        let answers = crowd.ask();
        sum.kept += answers.kept;
        sum.moved += answers.moved;
        sum.broken.extend(answers.broken);
    }
    sum
}

fn on_backend(crowds: &[Crowd; 2], backend: &str) -> u64 {
    crowds
        .iter()
        .map(|crowd| crowd.by_backend().get(backend).copied().unwrap_or(0))
        .sum()
}

/// Half of the connections are on a backend that nobody would choose any more when the Active loses its power; and again
/// when it has come back, and the other one does.
#[test]
fn every_connection_outlives_each_director_in_turn() -> Result<()> {
    let cluster = Cluster::build("sync-failover", 1, 2)?;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    expect_in_sync(&a)?;
    expect_in_sync(&b)?;
    let mut crowds = cluster.crowds()?;
    ensure!(on_backend(&crowds, "backend1") > HELD as u64 / 2);
    expect_flows(&b, 2 * HELD)?;
    for (director, tandem) in [&a, &b].into_iter().enumerate() {
        tandem.reload(&cluster.config(director, SYNC, 0))?;
    }
    println!("{}\n{}", a.show(&["sync"])?, b.show(&["sync"])?);

    cluster.cut_power(0, &a)?;
    expect_role(&b, "active")?;
    let answers = ask(&mut crowds);
    assert_eq!(answers.kept, 2 * HELD, "{answers:?}\n{}", b.show(&["sync"])?);

    cluster.forget(0)?;
    cluster.pair.reconnect(0)?;
    let a = cluster.start(0, SYNC, 0)?;
    expect_in_sync(&a)?;
    expect_flows(&a, 2 * HELD)?;
    expect_role(&a, "backup")?;
    println!("{}\n{}", a.show(&["sync"])?, b.show(&["sync"])?);
    cluster.cut_power(1, &b)?;
    expect_role(&a, "active")?;
    let answers = ask(&mut crowds);
    assert_eq!(answers.kept, 2 * HELD, "{answers:?}\n{}", a.show(&["sync"])?);
    Ok(())
}

/// What the test above would be worth if connections survived by themselves.
#[test]
fn without_sync_connections_are_lost() -> Result<()> {
    let cluster = Cluster::build("sync-off", 1, 2)?;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, "", 100)?;
    let b = cluster.start(1, "", 100)?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    let mut crowds = cluster.crowds()?;
    let doomed = on_backend(&crowds, "backend1");
    for (director, tandem) in [&a, &b].into_iter().enumerate() {
        tandem.reload(&cluster.config(director, "", 0))?;
    }
    cluster.cut_power(0, &a)?;
    expect_role(&b, "active")?;
    let answers = ask(&mut crowds);
    ensure!(
        answers.broken() > 0 && answers.kept + doomed as usize <= 2 * HELD,
        "of {doomed} all should be lost: {answers:?}"
    );
    Ok(())
}

/// Of what the directors say to each other, heartbeats as well, one datagram in five is lost for each of them.
#[test]
fn what_the_network_loses_comes_all_the_same() -> Result<()> {
    let mut cluster = Cluster::build("sync-loss", 1, 2)?;
    cluster.held = 300;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_role(&a, "active")?;
    expect_in_sync(&a)?;
    expect_in_sync(&b)?;
    let lossy = cluster
        .pair
        .directors
        .iter()
        .map(|director| director.lose("eth1", 200))
        .collect::<Result<Vec<_>, _>>()?;
    // One by one, so that each has a datagram of its own to lose; until one was lost.
    let mut crowds = Vec::new();
    cluster.held = 10;
    let loses = |b: &Tandem| state(b).is_some_and(|state| state["peers"][0]["repaired"].as_u64() > Some(0));
    while crowds.len() < 30 || crowds.len() < 49 && !loses(&b) {
        crowds.push(cluster.crowds()?);
    }
    let all = 20 * crowds.len();
    expect_flows(&b, all)?;
    ensure!(expect_role(&a, "active").is_ok(), "{}", a.show(&["ha"])?);
    let lossy_state = state(&b).context("it does not answer")?;
    drop(lossy);
    let ended = Instant::now();
    let mut said = String::new();
    wait_for(PATIENCE, "the tables to be equal", || {
        let verified = b
            .tandem(&["sync", "verify"])
            .and_then(|mut verify| Ok(verify.output()?));
        said = verified.map_or_else(
            |error| error.to_string(),
            |verified| String::from_utf8_lossy(&verified.stdout).into_owned(),
        );
        said.contains(&format!("a: the same, all {all} connections"))
    })
    .with_context(|| said.clone())?;
    let peer = &lossy_state["peers"][0];
    println!(
        "all {all} connections were known under loss, {} updates repeated; equal {:?} after it ended: {peer}",
        peer["repaired"],
        ended.elapsed()
    );
    ensure!(
        peer["repaired"].as_u64() > Some(0) || lossy_state["updates"]["new"] != all,
        "nothing was lost: {lossy_state}"
    );
    Ok(())
}

/// As many datagrams as a thread can send, of all lengths: noise, and some that begin as the real ones do.
fn flood(host: &Host, to: &[SocketAddr], is_over: &AtomicBool) -> Result<u64> {
    host.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let (mut sent, mut noise) = (0_u64, 1_u64);
        let mut datagram = vec![0; 1472];
        while !is_over.load(Ordering::Relaxed) {
            for byte in datagram.chunks_mut(8) {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(sent | 1);
                byte.copy_from_slice(&noise.to_be_bytes()[..byte.len()]);
            }
            if sent.is_multiple_of(2) {
                datagram[..4].copy_from_slice(b"Td\x01\x02");
            }
            let length = noise as usize % datagram.len();
            for address in to {
                // What the network does not take is not sent.
                sent += u64::from(socket.send_to(&datagram[..length], address).is_ok());
            }
        }
        Ok(sent)
    })?
}

/// Whoever reaches the network can make noise, and no more.
#[test]
fn garbage_keeps_nothing_true_out() -> Result<()> {
    let mut cluster = Cluster::with(Pair::with_directors("sync-garbage", 3, 1, 2)?)?;
    cluster.held = 300;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_role(&a, "active")?;
    expect_in_sync(&a)?;
    expect_in_sync(&b)?;
    let is_over = AtomicBool::new(false);
    // Of sync, and of heartbeats.
    let to = [
        "10.9.0.2:8848".parse()?,
        "10.9.0.3:8848".parse()?,
        "10.9.0.2:8847".parse()?,
        "10.9.0.3:8847".parse()?,
    ];
    let flooder = &cluster.pair.directors[2];
    let begun = Instant::now();
    let sent = thread::scope(|scope| -> Result<u64> {
        let flooding = scope.spawn(|| flood(flooder, &to, &is_over));
        let told = (|| {
            let _crowds = cluster.crowds()?;
            expect_flows(&b, 600)?;
            wait_for(PATIENCE, "a thousand of them to be refused", || {
                state(&b).is_some_and(|state| refused(&state) > 1000)
            })?;
            anyhow::Ok(())
        })();
        is_over.store(true, Ordering::Relaxed);
        let sent = flooding.join().expect("no panic")?;
        told.map(|()| sent)
    })?;
    let state = state(&b).context("it does not answer")?;
    let refused = refused(&state);
    ensure!(state["updates"]["new"] == 600, "{state}");
    println!(
        "{refused} datagrams were refused of {sent} to both, {:.0} a second; lag {} µs",
        sent as f64 / begun.elapsed().as_secs_f64(),
        state["peers"][0]["lag_microseconds"]
    );
    // Heartbeats got through, too: nobody took the other for dead.
    for director in [&a, &b] {
        let lost = director.ask(&["events", "--kind", "ha.peer_lost"])?;
        ensure!(lost.as_array().is_some_and(Vec::is_empty), "{lost}");
    }
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    Ok(())
}

/// How many connections the director knows in this state.
fn known(tandem: &Tandem, state: &str) -> Option<u64> {
    tandem.ask(&["flow", "--state", state, "--count"]).ok()?["flows"].as_u64()
}

/// By reloads of both directors: at the first packet, never, and when connections are established.
#[test]
fn services_say_when_their_connections_are_told() -> Result<()> {
    let mut cluster = Cluster::build("sync-telling", 1, 2)?;
    cluster.held = 50;
    let all = 2 * cluster.held as u64;
    cluster.method = "sync = \"first-packet\"";
    let directors = [cluster.start(0, SYNC, 100)?, cluster.start(1, SYNC, 100)?];
    let [a, b] = &directors;
    expect_role(a, "active")?;
    expect_in_sync(a)?;
    expect_in_sync(b)?;
    // Nobody listens, so the directors see no more of a connection than its SYN.
    let mut dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    dial.timeout = ANSWER;
    ensure!(Crowd::open(&cluster.pair.clients[0], &dial, 5)?.len() == 0);
    wait_for(PATIENCE, "the half-open connections to be known", || {
        known(b, "syn_recv") == Some(5)
    })?;

    let reload = |cluster: &Cluster| -> Result<()> {
        for (director, tandem) in directors.iter().enumerate() {
            tandem.reload(&cluster.config(director, SYNC, 100))?;
        }
        Ok(())
    };
    cluster.method = "sync = \"off\"";
    reload(&cluster)?;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let _crowds = cluster.crowds()?;
    wait_for(PATIENCE, "the connections to be counted as untold", || {
        state(a).is_some_and(|state| state["untold"].as_u64() >= Some(all))
    })?;
    println!("{}", a.show(&["sync"])?);
    ensure!(known(b, "established") == Some(0));
    // Nor is anybody missed.
    let verified = a.show(&["sync", "verify"])?;
    ensure!(verified.contains("b: the same, all 0 connections"), "{verified}");

    cluster.method = "sync = \"established\"";
    reload(&cluster)?;
    expect_flows(b, 2 * cluster.held)
}

/// The Active dies, and all connections are known on the other director, which was told of them by this `[sync]` of each.
fn take_over(name: &str, sync: [&str; 2], to: &str) -> Result<()> {
    let mut cluster = Cluster::build(name, 1, 2)?;
    cluster.held = 150;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, sync[0], 100)?;
    let b = cluster.start(1, sync[1], 100)?;
    expect_role(&a, "active")?;
    expect_in_sync(&a)?;
    expect_in_sync(&b)?;
    let said = state(&a).context("it does not answer")?;
    ensure!(said["to"][0] == to, "{said}");
    let mut crowds = cluster.crowds()?;
    expect_flows(&b, 2 * cluster.held)?;
    for (director, tandem) in [&a, &b].into_iter().enumerate() {
        tandem.reload(&cluster.config(director, sync[director], 0))?;
    }
    cluster.cut_power(0, &a)?;
    expect_role(&b, "active")?;
    let answers = ask(&mut crowds);
    assert_eq!(
        answers.kept,
        2 * cluster.held,
        "{answers:?}\n{}",
        b.show(&["sync"])?
    );
    Ok(())
}

#[test]
fn connections_are_told_to_an_ipv6_group() -> Result<()> {
    let sync = "[sync]\ninterface = \"eth1\"\ngroup = \"ff02::5464\"";
    take_over("sync-group6", [sync; 2], "ff02::5464")
}

#[test]
fn connections_are_told_to_each_peer_where_there_is_no_multicast() -> Result<()> {
    let sync = [
        "[sync]\ninterface = \"eth1\"\npeers = [\"10.9.0.3\"]",
        "[sync]\ninterface = \"eth1\"\npeers = [\"10.9.0.2\"]",
    ];
    take_over("sync-peers", sync, "10.9.0.3")
}
