//! Each scheduler against its definition, over ten thousand connections: the backend that the program chose is the one that
//! the definition in `docs/scheduling.md` names, written down here once more and as plainly as can be.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
};

use lb_common::{
    abi::LoadCount,
    flow_table::Clock,
    hash::scale,
    packet::{FlowKey, FlowKey4},
};
use lb_tests::prog_run::{INGRESS, Rig, SIZES, backend_mac, on_link, one_service};
use lb_userspace::{
    core::{
        model::{Frontend, Protocol, Thresholds},
        plan::Desired,
        schedule::{HashField, Scheduler, Scheduling},
    },
    datapath::{Holders, MapSizes, census},
};

use crate::packets::*;

const CONNECTIONS: u32 = 10_000;

/// Room for all connections of a test at the same time: with fewer buckets, both of a connection's would be full now and then.
const ROOMY: MapSizes = MapSizes {
    flows_v4: 65_536,
    ..SIZES
};

const WEB: Frontend = Frontend {
    vip: IpAddr::V4(VIP4),
    port: 80,
    protocol: Protocol::Tcp,
};

/// The backends 10.0.0.1 and following with these weights.
fn service(scheduler: Scheduler, weights: &[u32]) -> Desired {
    let mut desired = one_service(&[WEB], weights.len() as u8, INGRESS);
    desired.services[0].scheduling = Scheduling::new(scheduler, 65_537);
    for (backend, &weight) in desired.services[0].backends.iter_mut().zip(weights) {
        backend.weight = weight;
    }
    desired
}

fn rig(desired: &Desired) -> Rig {
    let mut rig = Rig::new(&ROOMY).expect("the tests of the program need root");
    begin(&mut rig, desired);
    rig
}

/// Another service, of which nobody is a client yet: loading a program for each takes longer.
fn begin(rig: &mut Rig, desired: &Desired) {
    rig.configure(desired).expect("the service fits");
    rig.forget_flows();
}

fn client(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0xC633_0000 + n)
}

fn segment(client: Ipv4Addr, flags: u8) -> Vec<u8> {
    with(syn4(client, VIP4), L4_OF_V4 + 13, &[flags])
}

/// Sends a packet of this client; the index of the backend that it went to.
fn send(rig: &mut Rig, client: Ipv4Addr, flags: u8) -> Option<usize> {
    let sent = rig.send(&segment(client, flags)).expect("the kernel takes it");
    sent.map(|backend| usize::from(backend) - 1)
}

/// How many connections each backend got, of so many.
fn spread(rig: &mut Rig, connections: u32, backends: usize) -> Vec<u32> {
    let mut got = vec![0; backends];
    for n in 0..connections {
        got[send(rig, client(n), SYN).expect("there are backends")] += 1;
    }
    got
}

#[test]
fn round_robin_takes_turns_whatever_the_weights() {
    let mut rig = rig(&service(Scheduler::Rr, &[5, 0, 1, 300]));
    for n in 0..CONNECTIONS {
        let expected = [0, 2, 3][n as usize % 3];
        assert_eq!(send(&mut rig, client(n), SYN), Some(expected), "connection {n}");
    }
}

#[test]
fn weighted_round_robin_is_exact_over_each_round() {
    let weights = [100, 400, 200, 300];
    let mut rig = rig(&service(Scheduler::Wrr, &weights));
    for round in 0..CONNECTIONS / 10 {
        let mut got = [0; 4];
        for n in 0..10 {
            got[send(&mut rig, client(round * 10 + n), SYN).expect("there are backends")] += 1;
        }
        assert_eq!(got, [1, 4, 2, 3], "round {round}");
    }
}

/// What the hash of a flow of this client is over, where only some of its fields count.
fn hash(rig: &Rig, client: Ipv4Addr, fields: &[HashField]) -> u64 {
    let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let has = |field| fields.contains(&field);
    let key = FlowKey {
        source: if has(HashField::Source) {
            client.into()
        } else {
            none
        },
        source_port: if has(HashField::SourcePort) {
            CLIENT_PORT
        } else {
            0
        },
        destination: if has(HashField::Destination) {
            VIP4.into()
        } else {
            none
        },
        destination_port: if has(HashField::DestinationPort) { 80 } else { 0 },
        protocol: if has(HashField::DestinationPort) { 6 } else { 0 },
    };
    let key: FlowKey4 = key.to_v4().expect("of one family");
    key.hash(&rig.kernel.settings().schedule_seed)
}

/// The slots of the service in force.
fn slots(rig: &Rig) -> Vec<u32> {
    let tables = &rig.kernel.tables;
    let schedule = tables.services[0].schedule();
    (schedule.base..schedule.base + schedule.length)
        .map(|slot| tables.slots[slot as usize / 16].slots[slot as usize % 16].load())
        .collect()
}

#[test]
fn whoever_hashes_takes_the_slot_of_the_hash() {
    use HashField::*;
    let weights = [100, 400, 200, 300];
    let mut rig = rig(&service(Scheduler::Maglev, &weights));
    for (scheduler, fields, exact) in [
        (Scheduler::Maglev, &HashField::ALL[..], 65_537),
        (Scheduler::Maglev, &[Source], 65_537),
        (Scheduler::Sh, &[Source], 10),
        (Scheduler::Sh, &[Source, SourcePort], 10),
        (Scheduler::Dh, &[Destination], 10),
    ] {
        let mut desired = service(scheduler, &weights);
        desired.services[0].scheduling.hash_on = fields.iter().copied().collect();
        begin(&mut rig, &desired);
        let slots = slots(&rig);
        assert_eq!(slots.len(), exact, "{scheduler} {fields:?}");
        let mut got = [0u32; 4];
        for n in 0..CONNECTIONS {
            let slot = scale(hash(&rig, client(n), fields), slots.len() as u32);
            let backend = send(&mut rig, client(n), SYN).expect("there are backends");
            assert_eq!(
                backend as u32, slots[slot as usize],
                "{scheduler} {fields:?}, connection {n}"
            );
            got[backend] += 1;
        }
        if fields.contains(&Source) {
            for (got, weight) in got.into_iter().zip(weights) {
                // Of 10 000 draws: five standard deviations at most.
                let share = weight * 10;
                assert!(
                    got.abs_diff(share) < 250,
                    "{scheduler} {fields:?}: {got} for {share}"
                );
            }
        } else {
            assert!(
                got.contains(&CONNECTIONS),
                "one destination, one backend: {got:?}"
            );
        }
    }
}

#[test]
fn failover_goes_to_the_heaviest() {
    let mut rig = rig(&service(Scheduler::Fo, &[10, 30, 20, 30]));
    assert_eq!(spread(&mut rig, CONNECTIONS, 4), [0, CONNECTIONS, 0, 0]);
    // In the middle of a connection that nobody knows, too.
    assert_eq!(send(&mut rig, client(CONNECTIONS), ACK), Some(1));
}

/// Takes a census as of a moment by which connections that were reset have expired, and no others.
fn forget_closed(rig: &mut Rig) {
    let now = rig.kernel.jiffies().expect("the clock") + u64::from(rig.kernel.clock().hz()) * 30;
    recount(rig, now);
}

/// What a census as of this moment counts.
fn recount(rig: &Rig, now: u64) -> Holders {
    let tables = &rig.kernel.tables;
    let clock = Clock {
        now,
        timeouts: &tables.timeouts[0],
    };
    let mut holders = Holders::new(tables.loads.len());
    census(
        &tables.flows_v4,
        &tables.translations_v4,
        &clock,
        &tables.loads,
        &mut holders,
    );
    holders
}

/// A backend as the definitions see it: weight, active, inactive.
type State = (u32, u32, u32);

/// The backend that the definition names.
fn defined(scheduler: Scheduler, backends: &[State]) -> Option<usize> {
    let overhead = |&(_, active, inactive): &State| f64::from(active * 256 + inactive);
    let delay = |&(weight, active, _): &State| (f64::from(active) + 1.0) / f64::from(weight);
    let least = |cost: &dyn Fn(&State) -> f64| {
        let mut best: Option<usize> = None;
        for (n, backend) in backends.iter().enumerate() {
            if best.is_none_or(|best| cost(backend) < cost(&backends[best])) {
                best = Some(n);
            }
        }
        best
    };
    match scheduler {
        Scheduler::Lc => least(&overhead),
        Scheduler::Wlc => least(&|backend| overhead(backend) / f64::from(backend.0)),
        Scheduler::Sed => least(&delay),
        Scheduler::Nq => {
            let idle = backends.iter().position(|&(_, active, _)| active == 0);
            idle.or_else(|| least(&delay))
        }
        Scheduler::Ovf => {
            let mut best: Option<usize> = None;
            for (n, &(weight, active, _)) in backends.iter().enumerate() {
                if active <= weight && best.is_none_or(|best| weight > backends[best].0) {
                    best = Some(n);
                }
            }
            best
        }
        _ => unreachable!("it does not go by load alone"),
    }
}

/// Backends that serve at different speed.
struct Pool {
    rig: Rig,
    states: Vec<State>,
    /// Clients that are being served, the oldest first.
    open: Vec<VecDeque<u32>>,
    got: Vec<u32>,
}

impl Pool {
    fn new(scheduler: Scheduler, weights: &[u32]) -> Self {
        Self {
            rig: rig(&service(scheduler, weights)),
            states: weights.iter().map(|&weight| (weight, 0, 0)).collect(),
            open: vec![VecDeque::new(); weights.len()],
            got: vec![0; weights.len()],
        }
    }

    /// A connection is made; to whom.
    fn connect(&mut self, n: u32) -> Option<usize> {
        let backend = send(&mut self.rig, client(n), SYN)?;
        assert_eq!(send(&mut self.rig, client(n), ACK), Some(backend));
        self.open[backend].push_back(n);
        self.states[backend].1 += 1;
        self.got[backend] += 1;
        Some(backend)
    }

    /// The backend has served its oldest client.
    fn serve(&mut self, backend: usize) {
        if let Some(n) = self.open[backend].pop_front() {
            assert_eq!(send(&mut self.rig, client(n), RST), Some(backend));
            self.states[backend].1 -= 1;
            self.states[backend].2 += 1;
        }
    }

    /// Connections that are over are forgotten.
    fn forget(&mut self) {
        forget_closed(&mut self.rig);
        self.states.iter_mut().for_each(|state| state.2 = 0);
    }

    fn counts(&self) -> Vec<LoadCount> {
        let loads = &self.rig.kernel.tables.loads;
        (0..self.states.len()).map(|n| loads[n].counts()).collect()
    }

    fn expected_counts(&self) -> Vec<LoadCount> {
        let count = |&(_, active, inactive): &State| LoadCount { active, inactive };
        self.states.iter().map(count).collect()
    }
}

/// Ten thousand connections to backends that serve so many each of every hundred steps, with the program's choice beside the
/// definition's at each step.
fn follows_its_definition(scheduler: Scheduler, weights: &[u32], speeds: &[u32]) -> Vec<u32> {
    let mut pool = Pool::new(scheduler, weights);
    for n in 0..CONNECTIONS {
        let expected = defined(scheduler, &pool.states);
        assert_eq!(
            pool.connect(n),
            expected,
            "{scheduler}, connection {n}: {:?}",
            pool.states
        );
        for (backend, &speed) in speeds.iter().enumerate() {
            if n * speed / 100 != (n + 1) * speed / 100 {
                pool.serve(backend);
            }
        }
        if n % 500 == 499 {
            assert_eq!(pool.counts(), pool.expected_counts(), "{scheduler}, after {n}");
            pool.forget();
            assert_eq!(pool.counts(), pool.expected_counts(), "{scheduler}, after {n}");
        }
    }
    pool.got
}

#[test]
fn least_connections() {
    let got = follows_its_definition(Scheduler::Lc, &[100, 100, 100], &[60, 30, 15]);
    assert!(got.is_sorted_by(|a, b| a > b), "the faster, the more: {got:?}");
}

#[test]
fn weighted_least_connections() {
    let got = follows_its_definition(Scheduler::Wlc, &[100, 300, 200, 1], &[30, 30, 30, 30]);
    assert!(got[1] > got[0] && got[3] < got[0], "{got:?}");
    follows_its_definition(Scheduler::Wlc, &[1, 1, 65_535], &[5, 50, 40]);
}

#[test]
fn shortest_expected_delay() {
    follows_its_definition(Scheduler::Sed, &[1, 4, 2], &[20, 50, 30]);
    follows_its_definition(Scheduler::Sed, &[100, 300, 200], &[60, 30, 20]);
}

#[test]
fn never_queue() {
    follows_its_definition(Scheduler::Nq, &[1, 4, 2], &[20, 50, 30]);
    follows_its_definition(Scheduler::Nq, &[300, 100, 200], &[60, 30, 5]);
}

#[test]
fn overflow() {
    let got = follows_its_definition(Scheduler::Ovf, &[20, 40, 10_000], &[50, 30, 20]);
    assert!(got[2] == CONNECTIONS, "the heaviest has room for all: {got:?}");
    let got = follows_its_definition(Scheduler::Ovf, &[20, 40, 3_000, 60], &[30, 40, 10, 30]);
    assert!(got[2] > 3_000 && got[3] > 0 && got[1] > 0, "{got:?}");
}

#[test]
fn two_choices_are_drawn_by_weight_and_the_less_busy_wins() {
    // Nobody ends: so everybody is as busy for his weight as the others, far better than by drawing alone.
    let weights = [100, 400, 200, 300];
    let mut rig = rig(&service(Scheduler::Twos, &weights));
    let got = spread(&mut rig, CONNECTIONS, 4);
    for (&got, weight) in got.iter().zip(weights) {
        let share = weight * 10;
        // Five standard deviations of independent draws would be 150 and more.
        assert!(got.abs_diff(share) < 40, "{got} for {share}");
    }
    // One that ends nothing is avoided by whoever has the choice.
    let mut pool = Pool::new(Scheduler::Twos, &[1, 1, 1, 1]);
    for n in 0..CONNECTIONS {
        pool.connect(n);
        if n >= 400 {
            (1..4).for_each(|backend| pool.serve(backend));
        }
    }
    assert!(pool.got[0] < CONNECTIONS / 4, "{:?}", pool.got);
    assert_eq!(pool.counts(), pool.expected_counts());
}

/// The backends that packets of these clients get to.
fn seats(rig: &mut Rig, clients: u32, flags: u8) -> Vec<Option<usize>> {
    (0..clients).map(|n| send(rig, client(n), flags)).collect()
}

/// Two directors that do not know a connection send it to the same backend, whatever the scheduler, and one that keeps no
/// entry for it sends all of its packets there.
#[test]
fn connections_that_nobody_knows_stay_together() {
    let weights = [100, 400, 200, 300];
    let mut rig = rig(&service(Scheduler::Rr, &weights));
    for &scheduler in Scheduler::ALL {
        begin(&mut rig, &service(scheduler, &weights));
        let first = seats(&mut rig, 100, ACK);
        rig.forget_flows();
        assert_eq!(seats(&mut rig, 100, ACK), first, "{scheduler}");
        rig.forget_flows();
        assert_eq!(seats(&mut rig, 100, RST), first, "{scheduler}");
    }
}

fn limited(scheduler: Scheduler, uppers: &[u32]) -> Desired {
    let mut desired = service(scheduler, &vec![100; uppers.len()]);
    for (backend, &upper) in desired.services[0].backends.iter_mut().zip(uppers) {
        backend.thresholds = Thresholds { upper, lower: 0 };
    }
    desired
}

#[test]
fn nobody_gets_more_than_his_threshold() {
    let mut rig = rig(&limited(Scheduler::Rr, &[1, 1, 1]));
    for &scheduler in Scheduler::ALL {
        let mut desired = limited(scheduler, &[10, 20, 30]);
        desired.services[0].scheduling.fallback = scheduler.hashes();
        begin(&mut rig, &desired);
        let mut got = [0; 3];
        for n in 0..100 {
            match send(&mut rig, client(n), SYN) {
                Some(backend) => got[backend] += 1,
                None => assert!(n >= 60, "{scheduler}: there was room for connection {n}"),
            }
        }
        assert_eq!(got, [10, 20, 30], "{scheduler}");
        let refused = rig.run(&segment(client(200), SYN)).expect("the kernel takes it");
        assert_eq!(
            refused.counted,
            BTreeMap::from([("reason.all_full".to_owned(), 1)])
        );
        // Known connections are not refused.
        assert!(
            seats(&mut rig, 60, ACK).iter().all(Option::is_some),
            "{scheduler}"
        );
    }
}

#[test]
fn without_fallback_a_hash_that_meets_a_full_backend_is_refused() {
    for scheduler in [Scheduler::Maglev, Scheduler::Sh] {
        let mut rig = rig(&service(scheduler, &[100; 3]));
        let seats = seats(&mut rig, 100, SYN);
        rig.forget_flows();
        rig.configure(&limited(scheduler, &[10, 0, 0]))
            .expect("the service fits");
        let mut to_first = 0;
        for (n, seat) in (0..).zip(seats) {
            to_first += u32::from(seat == Some(0));
            let expected = seat.filter(|&seat| seat != 0 || to_first <= 10);
            assert_eq!(
                send(&mut rig, client(n), SYN),
                expected,
                "{scheduler}, connection {n}"
            );
        }
        assert!(to_first > 10, "{scheduler}: nothing was shown");
    }
}

#[test]
fn a_full_backend_takes_connections_again_below_its_lower_threshold() {
    let mut desired = limited(Scheduler::Rr, &[10, 1000]);
    desired.services[0].backends[0].thresholds.lower = 5;
    let mut rig = rig(&desired);
    let mut own = Vec::new();
    for n in 0..40 {
        if send(&mut rig, client(n), SYN) == Some(0) {
            own.push(n);
        }
    }
    assert_eq!(own.len(), 10);
    for n in &own[..5] {
        send(&mut rig, client(*n), RST);
    }
    forget_closed(&mut rig);
    assert!(
        !seats_of_new(&mut rig, 100).contains(&0),
        "five are not fewer than five"
    );
    send(&mut rig, client(own[5]), RST);
    forget_closed(&mut rig);
    assert!(seats_of_new(&mut rig, 200).contains(&0), "four are");
}

/// The backends that ten new connections get to.
fn seats_of_new(rig: &mut Rig, from: u32) -> Vec<usize> {
    (from..from + 10)
        .filter_map(|n| send(rig, client(n), SYN))
        .collect()
}

#[test]
fn backups_help_out_when_all_others_are_full() {
    let mut rig = rig(&limited(Scheduler::Rr, &[1; 4]));
    for scheduler in [
        Scheduler::Maglev,
        Scheduler::Rr,
        Scheduler::Wlc,
        Scheduler::Twos,
        Scheduler::Fo,
    ] {
        let mut desired = limited(scheduler, &[5, 5, 5, 0]);
        desired.services[0].scheduling.fallback = scheduler.hashes();
        desired.services[0].backends[2].backup = true;
        desired.services[0].backends[3].backup = true;
        begin(&mut rig, &desired);
        let mut got = [0; 4];
        for n in 0..40 {
            got[send(&mut rig, client(n), SYN).expect("the last one has no limit")] += 1;
            if n == 9 {
                assert_eq!(got, [5, 5, 0, 0], "{scheduler}");
            }
        }
        assert_eq!((got[..3].to_vec(), got[3]), (vec![5, 5, 5], 25), "{scheduler}");
    }
}

/// A thousand backends: whoever is least busy is found, wherever in the list it stands.
#[test]
fn a_thousand_backends_are_no_obstacle() {
    let sizes = MapSizes {
        backends: 1024,
        ..ROOMY
    };
    let mut rig = Rig::new(&sizes).expect("the tests of the program need root");
    let mut desired = one_service(&[WEB], 1, INGRESS);
    let template = desired.services[0].backends[0];
    let address = |n: u32| IpAddr::from([10, 1, (n >> 8) as u8, n as u8]);
    desired.services[0].scheduling = Scheduling::new(Scheduler::Lc, 65_537);
    desired.services[0].backends = (0..1000)
        .map(|n| {
            let mut backend = template;
            backend.address = address(n);
            backend
        })
        .collect();
    desired.egress = (0..1000)
        .map(|n| (address(n), on_link(address(n), backend_mac(1), INGRESS)))
        .collect();
    rig.configure(&desired).expect("there is room");
    for n in 0..3000 {
        assert!(send(&mut rig, client(n), SYN).is_some());
    }
    let loads = &rig.kernel.tables.loads;
    assert!(
        (0..1000).all(|n| loads[n].counts().active == 3),
        "each got his third of them"
    );
}

/// Counts are those of the flow table, on any number of CPUs at once.
#[test]
fn counts_are_right_across_processors() {
    const EACH: u32 = 2_000;
    let mut rig = rig(&service(Scheduler::Wlc, &[1, 2, 3]));
    let processors = std::thread::available_parallelism().map_or(2, |n| n.get().max(2)) as u32;
    let handles: Vec<_> = (0..processors).map(|_| rig.handle().expect("a handle")).collect();
    std::thread::scope(|scope| {
        for (processor, handle) in (0..).zip(&handles) {
            scope.spawn(move || {
                for n in 0..EACH {
                    let client = client(processor * EACH + n);
                    for flags in [SYN, ACK, if n % 3 == 0 { RST } else { ACK }] {
                        handle.send(&segment(client, flags)).expect("the kernel takes it");
                    }
                }
            });
        }
    });
    let now = rig.kernel.jiffies().expect("the clock");
    let found = recount(&rig, now);
    assert_eq!(found.backends.iter().sum::<u32>(), processors * EACH);
    for n in 0..3 {
        assert_eq!(rig.kernel.tables.loads[n].counts(), found.loads[n], "backend {n}");
    }
}
