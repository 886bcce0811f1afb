//! A monitor over virtual time: backends that fail, flap, hang and come back, storms, configurations that change, a clock
//! that leaps. Each run is repeated by its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::core::backend::Says;

const SEEDS: u64 = 60;

const TIMING: Timing = Timing {
    interval: Duration::from_millis(2000),
    fast_interval: Duration::from_millis(2000),
    timeout: Duration::from_millis(500),
};
const JUDGE: Judge = Judge {
    rise: 2,
    fall: 3,
    damping: Duration::ZERO,
};

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Well,
    Refuses,
    Hangs,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % limit
    }
}

struct World {
    monitor: Monitor,
    now: Duration,
    servers: BTreeMap<IpAddr, (Server, Duration)>,
    /// When a probe that runs ends, and how.
    running: BTreeMap<u32, (Duration, Outcome)>,
    targets: BTreeMap<u32, IpAddr>,
    known: BTreeMap<WatchKey, Verdict>,
    runs: u64,
}

fn address(n: u64) -> IpAddr {
    IpAddr::from([10, 0, (n >> 8) as u8, n as u8])
}

fn key(service: &str, backend: IpAddr) -> WatchKey {
    WatchKey {
        service: service.into(),
        backend,
        check: 0,
    }
}

fn watch(backend: IpAddr, judge: Judge) -> Watch {
    Watch {
        target: Arc::new(ProbeTarget {
            address: backend,
            port: 80,
            route: None,
            probe: Probe::Tcp,
        }),
        timing: TIMING,
        judge,
        assumed: Verdict::Unknown,
    }
}

impl World {
    fn new(seed: u64, backends: u64) -> Self {
        Self {
            monitor: Monitor::new(seed),
            now: Duration::from_secs(1),
            servers: (0..backends)
                .map(|n| (address(n), (Server::Well, Duration::ZERO)))
                .collect(),
            running: BTreeMap::new(),
            targets: BTreeMap::new(),
            known: BTreeMap::new(),
            runs: 0,
        }
    }

    fn handle(&mut self, input: Input) {
        self.monitor.handle(input, self.now);
        while let Some(output) = self.monitor.poll_output() {
            match output {
                Output::Run {
                    probe,
                    target,
                    timeout,
                } => {
                    self.runs += 1;
                    let (server, _) = self.servers[&target.address];
                    let (takes, outcome) = match server {
                        Server::Well => (
                            Duration::from_millis(3),
                            Outcome::Success(Success {
                                took: Duration::from_millis(3),
                                says: Says::Up,
                                weight: Share::WHOLE,
                                warning: None,
                            }),
                        ),
                        Server::Refuses => (Duration::from_millis(1), Outcome::Failure("refused".to_owned())),
                        Server::Hangs => (timeout, Outcome::Failure("no answer".to_owned())),
                    };
                    let twice = self.running.insert(probe, (self.now + takes, outcome));
                    assert!(twice.is_none(), "one at a time");
                    self.targets.insert(probe, target.address);
                }
                Output::Cancel { probe } => {
                    assert!(
                        self.running.remove(&probe).is_some(),
                        "only what runs is cancelled"
                    );
                }
                Output::News { watch, report } => {
                    self.known.insert(watch, report.finding.verdict);
                }
            }
        }
    }

    /// Goes on to `end`, or to `leap` from where it is without looking in between.
    fn run_until(&mut self, end: Duration) {
        loop {
            let ends = self.running.values().map(|(at, _)| *at);
            let next = self.monitor.next_deadline().into_iter().chain(ends).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = self.now.max(end);
                return;
            };
            self.now = self.now.max(next);
            let ended: Vec<u32> = self
                .running
                .iter()
                .filter(|(_, (at, _))| *at <= self.now)
                .map(|(probe, _)| *probe)
                .collect();
            for probe in ended {
                let (_, outcome) = self.running.remove(&probe).expect("it runs");
                self.handle(Input::Ended { probe, outcome });
            }
            self.handle(Input::Tick);
        }
    }

    fn set(&mut self, backend: IpAddr, server: Server) {
        let now = self.now;
        let state = self.servers.get_mut(&backend).expect("a server");
        if state.0 != server {
            *state = (server, now);
        }
    }

    /// What has been the same for longer than detection may take is known.
    fn check(&self, seed: u64) {
        let bound = |judge: Judge| {
            TIMING.interval * judge.fall.max(judge.rise) + TIMING.timeout + Duration::from_millis(1)
        };
        for (watch, verdict) in &self.known {
            let Some(&(server, since)) = self.servers.get(&watch.backend) else {
                continue;
            };
            if self.now > since + bound(JUDGE) {
                let expected = if server == Server::Well {
                    Verdict::Up
                } else {
                    Verdict::Down
                };
                assert_eq!(
                    *verdict, expected,
                    "seed {seed}: {watch:?} at {:?}, {server:?} since {since:?}",
                    self.now
                );
            }
        }
    }
}

#[test]
fn what_stays_as_it_is_is_known_within_the_bound() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let backends = 1 + random.below(30);
        let mut world = World::new(seed, backends);
        let all: BTreeMap<_, _> = (0..backends)
            .flat_map(|n| ["web", "api"].map(|service| (key(service, address(n)), watch(address(n), JUDGE))))
            .collect();
        world.handle(Input::Watch(all.clone()));
        world.run_until(Duration::from_secs(5));
        assert_eq!(
            world.monitor.targets() as u64,
            backends,
            "two services, one probe"
        );
        assert_eq!(world.known.len() as u64, 2 * backends, "all are known soon");
        for _ in 0..40 {
            match random.below(10) {
                // One changes.
                0..=5 => {
                    let server = [Server::Well, Server::Refuses, Server::Hangs][random.below(3) as usize];
                    world.set(address(random.below(backends)), server);
                }
                // A storm: all at once.
                6 => {
                    let server = if random.below(2) == 0 {
                        Server::Hangs
                    } else {
                        Server::Well
                    };
                    (0..backends).for_each(|n| world.set(address(n), server));
                }
                // Another configuration, and the old one again.
                7 => {
                    let some: BTreeMap<_, _> = all
                        .iter()
                        .filter(|_| random.below(2) == 0)
                        .map(|(key, watch)| (key.clone(), watch.clone()))
                        .collect();
                    world.known.retain(|key, _| some.contains_key(key));
                    world.handle(Input::Watch(some));
                    let end = world.now + Duration::from_millis(random.below(3000));
                    world.run_until(end);
                    world.handle(Input::Watch(all.clone()));
                    // Those that are new begin anew.
                    let now = world.now;
                    world.servers.values_mut().for_each(|(_, since)| *since = now);
                }
                // Nobody looked for a while.
                8 => {
                    world.now += Duration::from_secs(random.below(10_000));
                    let now = world.now;
                    world
                        .servers
                        .values_mut()
                        .for_each(|(_, since)| *since = now + Duration::from_secs(1));
                }
                _ => {}
            }
            let end = world.now + Duration::from_millis(random.below(9000));
            world.run_until(end);
            world.check(seed);
        }
        let end = world.now + Duration::from_secs(20);
        world.run_until(end);
        world.check(seed);
        assert_eq!(world.known.len() as u64, 2 * backends);
    }
}

/// The bound on detection is kept, and used: over many failures, the slowest comes near to it and none beyond.
#[test]
fn detection_takes_no_longer_than_interval_times_fall_and_a_timeout() {
    let bound = TIMING.interval * JUDGE.fall + TIMING.timeout;
    let mut slowest = Duration::ZERO;
    for seed in 0..SEEDS * 4 {
        let mut random = Random(seed);
        let mut world = World::new(seed, 1);
        world.handle(Input::Watch(BTreeMap::from([(
            key("web", address(0)),
            watch(address(0), JUDGE),
        )])));
        let failure = Duration::from_millis(8000 + random.below(4000));
        world.run_until(failure);
        world.set(address(0), Server::Hangs);
        while world.known[&key("web", address(0))] != Verdict::Down {
            let end = world.now + Duration::from_millis(10);
            world.run_until(end);
        }
        slowest = slowest.max(world.now - failure);
    }
    assert!(slowest <= bound + Duration::from_millis(10), "{slowest:?}");
    assert!(slowest > bound * 8 / 10, "{slowest:?}");
}

#[test]
fn who_watches_one_target_shares_its_probe_and_has_a_verdict_of_his_own() {
    let hasty = Judge { fall: 1, ..JUDGE };
    let mut world = World::new(1, 1);
    let mut quick = watch(address(0), hasty);
    quick.timing.interval = Duration::from_millis(1000);
    quick.timing.fast_interval = Duration::from_millis(1000);
    world.handle(Input::Watch(BTreeMap::from([
        (key("web", address(0)), watch(address(0), JUDGE)),
        (key("api", address(0)), quick),
    ])));
    world.run_until(Duration::from_secs(11));
    let known: BTreeSet<_> = world.known.values().copied().collect();
    assert_eq!(known, BTreeSet::from([Verdict::Up]));
    assert!(
        (9..=13).contains(&world.runs),
        "{} runs in ten seconds",
        world.runs
    );
    world.set(address(0), Server::Refuses);
    world.run_until(Duration::from_millis(12_100));
    assert_eq!(world.known[&key("api", address(0))], Verdict::Down);
    assert_eq!(world.known[&key("web", address(0))], Verdict::Up);
    world.run_until(Duration::from_secs(15));
    assert_eq!(world.known[&key("web", address(0))], Verdict::Down);
}

#[test]
fn what_was_known_before_a_reload_is_still_known() {
    let mut world = World::new(1, 2);
    let two = || BTreeMap::from([0, 1].map(|n| (key("web", address(n)), watch(address(n), JUDGE))));
    world.handle(Input::Watch(two()));
    world.run_until(Duration::from_secs(5));
    let (runs, known) = (world.runs, world.known.clone());
    for _ in 0..100 {
        world.handle(Input::Watch(two()));
    }
    assert_eq!((world.runs, &world.known), (runs, &known));
    // Another way to judge is another check.
    let mut other = two();
    for watch in other.values_mut() {
        watch.judge.rise = 5;
    }
    world.handle(Input::Watch(other));
    world.run_until(Duration::from_secs(8));
    assert_eq!(world.known, known);
}
