//! Two directors on a network of the lab, each in a thread of its own, that do what the daemon's sync thread does.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::{
    core::model::{Audience, DEFAULT_BULK_RATE, DEFAULT_SYNC_GROUP, DEFAULT_SYNC_PORT, SyncPath},
    daemon::sync::Courier,
    net::sync::SyncSocket,
};
use serde::Serialize;

use super::{
    AT_ONCE, Options, PATIENCE,
    director::{DATAGRAM, Director, LINK},
    trials::{self, Garbage, Loss},
};
use crate::{Host, Lab};

/// Between two looks at the journal, as the daemon has it.
pub(super) const TURN: Duration = Duration::from_millis(1);
/// For how long lateness is measured.
const STEADY: Duration = Duration::from_secs(4);

/// What came over the wire.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Wire {
    /// Datagrams a second that bare sockets send and receive.
    pub bare: f64,
    /// Connections in a datagram.
    pub connections_each: f64,
    /// Connections a second, as fast as it goes.
    pub rate: f64,
    /// Milliseconds from when a connection began to when the other director knew it, at the pace of the options.
    pub late: Late,
    /// While much is lost.
    pub loss: Loss,
    /// While somebody sends garbage.
    pub garbage: Garbage,
}

/// How late connections were known.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Late {
    /// Half of them no later.
    pub median: f64,
    /// 99 of 100 no later.
    pub p99: f64,
    /// The last one.
    pub most: f64,
}

/// What was known when: connections, and since the start.
type Course = Vec<(u64, Duration)>;

/// Connections that began on one director and came to be known on the other.
pub(super) struct Ran {
    pub(super) began: Course,
    pub(super) knew: Course,
    /// Datagrams that the second director refused.
    pub(super) refused: u64,
    /// How long it took.
    pub(super) took: Duration,
}

/// `bytes` are those that a connection takes on the wire.
pub(super) fn measure(options: &Options, bytes: f64) -> Result<Wire> {
    let lab = Lab::new("bench-sync")?;
    let switch = lab.switch("private")?;
    let hosts: Vec<Host> = (1..=3)
        .map(|number| {
            let host = lab.host(&format!("lb{number}"))?;
            host.connect(&switch, &[&format!("10.9.0.{number}/24")])?;
            Ok(host)
        })
        .collect::<Result<_>>()?;
    let [a, b, noisy] = &hosts[..] else {
        unreachable!("three hosts")
    };
    let rapid = run((a, b), options.flows, None)?;
    let (known, took) = *rapid.knew.last().context("nothing arrived")?;
    let steady = (f64::from(options.pace) * STEADY.as_secs_f64()) as u32;
    let calm = run((a, b), steady, Some(options.pace))?;
    Ok(Wire {
        bare: bare((a, b))?,
        connections_each: LINK as f64 / bytes,
        rate: known as f64 / took.as_secs_f64(),
        late: late(&calm.began, &calm.knew),
        loss: trials::losing((a, b), options.pace)?,
        garbage: trials::under_garbage((a, b), noisy, options.pace, steady)?,
    })
}

fn path() -> SyncPath {
    SyncPath {
        interface: "eth0".to_owned(),
        audience: Audience::Group(DEFAULT_SYNC_GROUP),
        port: DEFAULT_SYNC_PORT,
        ttl: 1,
        bulk_rate: DEFAULT_BULK_RATE,
    }
}

pub(super) fn courier(host: &Host) -> Result<Courier> {
    let (courier, error) = host.enter(|| Courier::new(path()))?;
    match error {
        Some(error) => Err(error.into()),
        None => Ok(courier),
    }
}

/// One turn of a director's thread.
pub(super) fn turn(director: &mut Director, courier: &mut Courier) {
    let now = director.now();
    courier.receive(&mut director.node, &mut director.replica, now);
    let now = director.work();
    courier.send(&mut director.node, &mut director.replica, now);
}

/// Connections begin on the first host, as fast as they are told of or at this pace; what began and what the second one knew
/// when.
pub(super) fn run((a, b): (&Host, &Host), flows: u32, pace: Option<u32>) -> Result<Ran> {
    let (mut couriers, barrier, is_over) = (
        [courier(a)?, courier(b)?],
        Barrier::new(2),
        AtomicBool::new(false),
    );
    let [from, to] = &mut couriers;
    // Here, where the stack is large.
    let (first, second) = (Director::new("a", flows), Director::new("b", flows));
    let in_sync = &AtomicUsize::new(0);
    let (barrier, is_over) = (&barrier, &is_over);
    thread::scope(|scope| {
        let teller = scope.spawn(move || -> Result<Course> {
            let mut director = first;
            let met = meet(&mut director, from, in_sync);
            barrier.wait();
            met?;
            let start = Instant::now();
            let (mut course, mut begun) = (Course::new(), 0_u32);
            while !is_over.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                let due = pace.map_or(begun.saturating_add(AT_ONCE), |pace| {
                    (start.elapsed().as_secs_f64() * f64::from(pace)) as u32
                });
                let due = due.min(flows);
                // What the network does not take yet waits in the journal, and must not be overwritten there.
                if due > begun && !from.is_blocked() {
                    director.begin(begun..due);
                    begun = due;
                    course.push((begun.into(), start.elapsed()));
                }
                turn(&mut director, from);
                if pace.is_some() || begun == flows {
                    thread::sleep(TURN);
                }
            }
            Ok(course)
        });
        let mut director = second;
        let met = meet(&mut director, to, in_sync);
        barrier.wait();
        let refused = director.refused();
        let start = Instant::now();
        let mut course = Course::new();
        while met.is_ok() && director.taken_in() < flows.into() && start.elapsed() < PATIENCE {
            let before = director.taken_in();
            turn(&mut director, to);
            if director.taken_in() > before {
                course.push((director.taken_in(), start.elapsed()));
            } else {
                thread::sleep(Duration::from_micros(100));
            }
        }
        let known_after = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let began = teller.join().expect("no panic")?;
        met?;
        let known = director.taken_in();
        // A few took the place of others, which were fetched again.
        ensure!(
            known.abs_diff(flows.into()) * 1000 <= flows.into(),
            "of {flows} connections {known} arrived"
        );
        Ok(Ran {
            began,
            knew: course,
            refused: director.refused() - refused,
            took: known_after,
        })
    })
}

pub(super) fn meet(director: &mut Director, courier: &mut Courier, in_sync: &AtomicUsize) -> Result<()> {
    let (start, mut is_in_sync) = (Instant::now(), false);
    // Whoever is in sync first still has to answer the other.
    while in_sync.load(Ordering::Relaxed) < 2 {
        ensure!(start.elapsed() < PATIENCE, "the directors do not find each other");
        turn(director, courier);
        if director.is_in_sync() && !std::mem::replace(&mut is_in_sync, true) {
            in_sync.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(TURN);
    }
    Ok(())
}

/// Datagrams of the same length from one bare socket to another, for a second; how many arrived.
fn bare((a, b): (&Host, &Host)) -> Result<f64> {
    let open = |host: &Host| host.enter(|| SyncSocket::open(&path()));
    let (from, to) = (open(a)??, open(b)??);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let datagram = vec![0xA5; DATAGRAM];
            while !is_over.load(Ordering::Relaxed) {
                // What the network does not take is sent again.
                let _ = from.send(&datagram, from.everybody()[0]);
            }
        });
        let (start, mut count, mut buffer) = (Instant::now(), 0_u64, vec![0; 2048]);
        while start.elapsed() < Duration::from_secs(1) {
            count += u64::from(matches!(to.receive(&mut buffer), Ok(Some(_))));
        }
        is_over.store(true, Ordering::Relaxed);
        Ok(count as f64 / start.elapsed().as_secs_f64())
    })
}

/// How long after a connection began the other director knew it.
pub(super) fn late(began: &[(u64, Duration)], knew: &[(u64, Duration)]) -> Late {
    let mut all = Vec::new();
    let mut knew = knew.iter().peekable();
    let mut before = 0;
    for &(count, at) in began {
        while let Some(&&(known, when)) = knew.peek() {
            if known < count {
                knew.next();
                continue;
            }
            // All that began in this turn count as the last of them.
            all.extend((before..count).map(|_| when.saturating_sub(at).as_secs_f64() * 1000.0));
            break;
        }
        before = count;
    }
    all.sort_by(f64::total_cmp);
    let at = |share: f64| {
        all.get((all.len() as f64 * share) as usize)
            .or(all.last())
            .copied()
            .unwrap_or(f64::NAN)
    };
    Late {
        median: at(0.5),
        p99: at(0.99),
        most: at(1.0),
    }
}
