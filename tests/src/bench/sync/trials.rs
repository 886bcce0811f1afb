//! Two directors on a network that loses much, and on one that is full of garbage.

use std::{
    net::{SocketAddr, UdpSocket},
    num::NonZeroU8,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_common::wire::seal::{Channel, HEADER, Session};
use lb_userspace::core::{
    model::DEFAULT_SYNC_PORT,
    seal::{Authentication, Key, KeyId, Keyring, SECRET, SEED, Sealer},
};
use serde::Serialize;

use super::{
    PATIENCE,
    director::{CLUSTER, Director},
    wire::{self, Late, TURN},
};
use crate::Host;

/// Of a thousand datagrams, how many are lost on the way to each.
const LOST: u32 = 200;
/// For how long.
const LOSING: Duration = Duration::from_secs(10);
/// Datagrams of garbage a second.
const GARBAGE: u64 = 100_000;
/// Different ones that are sent in turn.
const KINDS: usize = 512;

/// A network that loses much, for a while.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Loss {
    /// Of a thousand datagrams, how many are lost on the way to each director.
    pub lost_per_mille: u32,
    /// Connections that began meanwhile.
    pub connections: u32,
    /// Of these, how many the other director did not know when the loss ended.
    pub missing: usize,
    /// Seconds after that until it knew all.
    pub equal_after: f64,
    /// Updates that were repeated.
    pub repeated: u64,
    /// Connections that were found by comparing tables.
    pub compared: u64,
}

/// Garbage to the port of sync: noise, and datagrams of the right form that are sealed with another key.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Garbage {
    /// Datagrams of it a second that were sent.
    pub sent: f64,
    /// Of these, how many the other director read and refused; the system dropped the others.
    pub refused: f64,
    /// How late connections were known all the same.
    pub late: Late,
}

/// Connections begin at this pace while datagrams are lost.
pub(super) fn losing((a, b): (&Host, &Host), pace: u32) -> Result<Loss> {
    let flows = (f64::from(pace) * LOSING.as_secs_f64()) as u32;
    let (mut from, mut to) = (wire::courier(a)?, wire::courier(b)?);
    let (mut first, mut second) = (Director::new("a", flows), Director::new("b", flows));
    let tables = [first.table(), second.table()];
    let in_sync = AtomicUsize::new(0);
    let (barrier, is_over, begun) = (Barrier::new(3), AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let teller = scope.spawn(|| -> Result<u64> {
            let met = wire::meet(&mut first, &mut from, &in_sync);
            barrier.wait();
            met?;
            let start = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                let due = ((start.elapsed().as_secs_f64() * f64::from(pace)) as u32).min(flows);
                let before = begun.load(Ordering::Relaxed);
                if due > before {
                    first.begin(before..due);
                    begun.store(due, Ordering::Relaxed);
                }
                wire::turn(&mut first, &mut from);
                thread::sleep(TURN);
            }
            Ok(first.node.counters().repeated)
        });
        let taker = scope.spawn(|| -> Result<u64> {
            let met = wire::meet(&mut second, &mut to, &in_sync);
            barrier.wait();
            met?;
            while !is_over.load(Ordering::Relaxed) {
                wire::turn(&mut second, &mut to);
                thread::sleep(Duration::from_micros(100));
            }
            Ok(second.node.counters().repaired.new)
        });
        barrier.wait();
        let watched = (|| {
            let lossy = [a.lose("eth0", LOST)?, b.lose("eth0", LOST)?];
            thread::sleep(LOSING);
            drop(lossy);
            let ended = Instant::now();
            while begun.load(Ordering::Relaxed) < flows {
                ensure!(ended.elapsed() < PATIENCE, "the connections do not begin");
                thread::sleep(TURN);
            }
            let differs = |n: &u32| tables[0].target(*n) != tables[1].target(*n);
            let mut missing: Vec<u32> = (0..flows).filter(differs).collect();
            let at_first = missing.len();
            while !missing.is_empty() {
                ensure!(
                    ended.elapsed() < PATIENCE,
                    "{} connections stay unknown",
                    missing.len()
                );
                thread::sleep(TURN);
                missing.retain(differs);
            }
            Ok((at_first, ended.elapsed()))
        })();
        is_over.store(true, Ordering::Relaxed);
        let repeated = teller.join().expect("no panic")?;
        let compared = taker.join().expect("no panic")?;
        let (missing, took) = watched?;
        Ok(Loss {
            lost_per_mille: LOST,
            connections: flows,
            missing,
            equal_after: took.as_secs_f64(),
            repeated,
            compared,
        })
    })
}

/// Connections begin at this pace while a third host sends garbage to the second one.
pub(super) fn under_garbage((a, b): (&Host, &Host), noisy: &Host, pace: u32, steady: u32) -> Result<Garbage> {
    let address = b.ipv4().context("an IPv4 address")?;
    let to = SocketAddr::from((address, DEFAULT_SYNC_PORT));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| noisy.enter(|| send_garbage(to, &is_over))?);
        let ran = wire::run((a, b), steady, Some(pace));
        is_over.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("no panic")?;
        let ran = ran?;
        Ok(Garbage {
            sent,
            refused: ran.refused as f64 / ran.took.as_secs_f64(),
            late: wire::late(&ran.began, &ran.knew),
        })
    })
}

/// How many a second were sent.
fn send_garbage(to: SocketAddr, is_over: &AtomicBool) -> Result<f64> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let garbage = garbage();
    let (start, mut sent) = (Instant::now(), 0_u64);
    while !is_over.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * GARBAGE as f64) as u64;
        // No more at once than that, where it was held up: or else it would be a burst, and not a rate.
        for _ in 0..due.saturating_sub(sent).min(GARBAGE / 1000) {
            // What the network does not take is gone, as it would be on a wire.
            let _ = socket.send_to(&garbage[sent as usize % KINDS], to);
            sent += 1;
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(sent as f64 / start.elapsed().as_secs_f64())
}

/// Every other one is of the right form, sealed with a key of the right number that is another one: it has to be opened to be
/// refused.
fn garbage() -> Vec<Vec<u8>> {
    let keys = vec![Key::new(KeyId(NonZeroU8::MIN), &[8; SECRET], &[9; SEED])];
    let keyring = Keyring::new(CLUSTER, "noise", keys, Authentication::Enforce).expect("one key");
    let session = Session { epoch: 1, salt: 3 };
    let mut sealer = Sealer::new(Arc::new(keyring), Channel::Sync, session);
    let mut noise = 1_u64;
    let datagram = |number: usize| {
        let length = HEADER + number * 7 % 1400;
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        })
        .take(length)
        .collect();
        if number.is_multiple_of(2) {
            sealer.seal(&mut bytes);
        }
        bytes
    };
    (0..KINDS).map(datagram).collect()
}
