//! Schedulers by which destinations keep their backends, against their definition in `docs/scheduling.md`.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
};

use lb_common::abi::MOST_REPLICAS;
use lb_tests::prog_run::{INGRESS, Rig, SIZES, one_service};
use lb_userspace::{
    core::{
        model::{Frontend, Protocol},
        plan::Desired,
        schedule::{Scheduler, Scheduling},
    },
    datapath::MapSizes,
};

use crate::packets::*;

const CONNECTIONS: u32 = 10_000;
const ROOMY: MapSizes = MapSizes {
    flows_v4: 65_536,
    ..SIZES
};
const DESTINATIONS: u32 = 12;

fn destination(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(VIP4) + n)
}

fn service(scheduler: Scheduler, weights: &[u32]) -> Desired {
    let frontends: Vec<Frontend> = (0..DESTINATIONS)
        .map(|n| Frontend {
            vip: IpAddr::V4(destination(n)),
            port: 80,
            protocol: Protocol::Tcp,
        })
        .collect();
    let mut desired = one_service(&frontends, weights.len() as u8, INGRESS);
    desired.services[0].scheduling = Scheduling::new(scheduler, 251);
    for (backend, &weight) in desired.services[0].backends.iter_mut().zip(weights) {
        backend.weight = weight;
    }
    desired
}

fn send(rig: &mut Rig, destination: u32, client: u32, flags: u8) -> usize {
    let segment = syn4(
        Ipv4Addr::from(0xC633_0000 + client),
        self::destination(destination),
    );
    let sent = rig.send(&with(segment, L4_OF_V4 + 13, &[flags]));
    usize::from(sent.expect("the kernel takes it").expect("there are backends")) - 1
}

/// Backends and destinations as the definition has them.
struct Definition {
    most: usize,
    /// Weight, active connections, those that are over.
    backends: Vec<(u32, u32, u32)>,
    /// What each destination has, the oldest first.
    assigned: BTreeMap<u32, Vec<usize>>,
    moves: u32,
}

impl Definition {
    fn busy(&self, n: usize) -> bool {
        self.backends[n].1 > self.backends[n].0
    }

    fn has_room(&self, n: usize) -> bool {
        self.backends[n].1 * 2 < self.backends[n].0
    }

    fn least(&self) -> usize {
        let cost = |n: usize| {
            let (weight, active, inactive) = self.backends[n];
            f64::from(active * 256 + inactive) / f64::from(weight)
        };
        (1..self.backends.len()).fold(0, |best, n| if cost(n) < cost(best) { n } else { best })
    }

    fn choose(&mut self, destination: u32) -> usize {
        let own = self.assigned.get(&destination).cloned().unwrap_or_default();
        if let Some(&idle) = own.iter().find(|&&n| !self.busy(n)) {
            return idle;
        }
        let least = self.least();
        if !own.is_empty() && !self.has_room(least) {
            return own[0];
        }
        let own = self.assigned.entry(destination).or_default();
        if own.len() == self.most {
            // One that has a single backend leaves it; more it does not get.
            if self.most > 1 {
                return least;
            }
            own.clear();
        }
        self.moves += u32::from(!own.is_empty() || self.most == 1);
        own.push(least);
        least
    }
}

/// Ten thousand connections to destinations that are not asked for alike, of which backends serve so many of each hundred.
fn follows_its_definition(scheduler: Scheduler, most: usize, weights: &[u32], speeds: &[u32]) -> Definition {
    let mut rig = Rig::new(&ROOMY).expect("the tests of the program need root");
    rig.configure(&service(scheduler, weights))
        .expect("the service fits");
    let mut definition = Definition {
        most,
        backends: weights.iter().map(|&weight| (weight, 0, 0)).collect(),
        assigned: BTreeMap::new(),
        moves: 0,
    };
    let mut open = vec![VecDeque::new(); weights.len()];
    for n in 0..CONNECTIONS {
        // The first of them gets half of it, the next half of the rest, and so on.
        let destination = (n.wrapping_mul(0x9E37_79B9) | 1 << (DESTINATIONS - 1)).trailing_zeros();
        let expected = definition.choose(destination);
        let chosen = send(&mut rig, destination, n, SYN);
        assert_eq!(
            chosen, expected,
            "{scheduler}, connection {n} to {destination}: {:?}, {:?}",
            definition.backends, definition.assigned
        );
        definition.backends[chosen].1 += 1;
        open[chosen].push_back((destination, n));
        for (backend, &speed) in speeds.iter().enumerate() {
            if n * speed / 100 != (n + 1) * speed / 100
                && let Some((destination, client)) = open[backend].pop_front()
            {
                assert_eq!(send(&mut rig, destination, client, RST), backend);
                definition.backends[backend].1 -= 1;
                definition.backends[backend].2 += 1;
            }
        }
    }
    definition
}

#[test]
fn a_destination_leaves_a_busy_backend() {
    let ended = follows_its_definition(Scheduler::Lblc, 1, &[100, 200, 150, 100], &[30, 25, 20, 10]);
    assert!(ended.moves > DESTINATIONS, "some moved: {}", ended.moves);
    // Nobody is busy: everybody stays where he was put first.
    let calm = follows_its_definition(Scheduler::Lblc, 1, &[20_000, 20_000, 20_000], &[0, 0, 0]);
    assert_eq!(calm.moves, DESTINATIONS);
}

#[test]
fn a_destination_gets_more_than_one_backend_when_those_it_has_are_busy() {
    let most = MOST_REPLICAS as usize;
    let weights = [60, 100, 80, 60, 40, 40];
    let ended = follows_its_definition(Scheduler::Lblcr, most, &weights, &[20, 20, 20, 10, 10, 10]);
    let sizes: Vec<usize> = ended.assigned.values().map(Vec::len).collect();
    assert!(sizes.contains(&most), "{sizes:?}");
    assert!(
        ended.assigned[&0].len() > 1,
        "what everybody asks for: {:?}",
        ended.assigned
    );
}

#[test]
fn a_destination_leaves_a_backend_that_is_drained() {
    let mut desired = service(Scheduler::Lblc, &[1000, 1000]);
    let mut rig = Rig::new(&ROOMY).expect("the tests of the program need root");
    rig.configure(&desired).expect("the service fits");
    let first = send(&mut rig, 3, 1, SYN);
    (2..20).for_each(|client| assert_eq!(send(&mut rig, 3, client, SYN), first));
    desired.services[0].backends[first].weight = 0;
    rig.configure(&desired).expect("it fits");
    let next = send(&mut rig, 3, 20, SYN);
    assert_ne!(next, first);
    assert_eq!(send(&mut rig, 3, 2, ACK), first, "connections stay");
    desired.services[0].backends[first].weight = 1000;
    rig.configure(&desired).expect("it fits");
    assert_eq!(send(&mut rig, 3, 21, SYN), next, "it has another home now");
}
