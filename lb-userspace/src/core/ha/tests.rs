mod hooks;

use std::net::IpAddr;

use lb_common::wire::vrrp::{GROUP_V4, GROUP_V6, HOP_LIMIT, Interval, MAX_LENGTH};

use super::*;
use crate::core::{
    model::{Announce, Failback, Hooks, OnDuplicate},
    vrrp::{Cause, YIELD},
};

const MS: Duration = Duration::from_millis(1);
const START: Duration = Duration::from_secs(1000);
const V4: &str = "192.0.2.10";
const V6: &str = "2001:db8::10";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Priority 128: `Active_Down_Interval` is 350 ms.
pub(super) fn instance(name: &str, vrid: u8, vips: &[&str]) -> Instance {
    Instance {
        name: name.to_owned(),
        vrid,
        interface: "eth0".to_owned(),
        priority: 128,
        vips: vips.iter().map(|vip| ip(vip)).collect(),
        advert_interval: 100 * MS,
        failback: Failback::Immediate,
        failback_delay: Duration::ZERO,
        group: None,
        virtual_mac: false,
        peers: Vec::new(),
        announce: Announce::default(),
        on_duplicate: OnDuplicate::Announce,
        track: Vec::new(),
        hooks: Hooks::default(),
    }
}

fn interface(host: u8) -> Interface {
    Interface {
        up: true,
        v4: Some([192, 0, 2, host].into()),
        v6: Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into())),
    }
}

/// A member, what it put out, and its clock.
struct Stage {
    member: Member,
    now: Duration,
    /// What was advertised: VRID, family and priority.
    adverts: Vec<(u8, Family, u8)>,
    announced: Vec<(String, Range<usize>)>,
    lease: Duration,
    events: Vec<Event>,
    runs: Vec<Run>,
}

impl Stage {
    /// Director `host`, whose interface is up.
    fn new(host: u8, instances: &[Instance]) -> Self {
        let mut stage = Self {
            member: Member::new(),
            now: START,
            adverts: Vec::new(),
            announced: Vec::new(),
            lease: Duration::ZERO,
            events: Vec::new(),
            runs: Vec::new(),
        };
        stage.handle(Input::Configured(instances));
        stage.set("eth0", interface(host));
        stage
    }

    fn set(&mut self, name: &str, state: Interface) {
        self.handle(Input::Interface { name, state });
    }

    fn handle(&mut self, input: Input<'_>) {
        self.member.handle(input, self.now);
        while let Some(output) = self.member.poll_output() {
            match output {
                Output::Advertise { wire, priority } => {
                    let wire = self.member.wire(wire).expect("it wants to advertise");
                    self.adverts.push((wire.instance.vrid, wire.family, priority));
                }
                Output::Announce { wire, vips } => {
                    let wire = self.member.wire(wire).expect("it wants to announce");
                    self.announced
                        .push((format!("{} {}", wire.instance.name, wire.family), vips));
                }
                Output::Lease { until, .. } => self.lease = until,
                Output::Hold => {}
                Output::Run(run) => self.runs.push(run),
                Output::Beat { .. } => unreachable!("it works alone"),
                Output::Report(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, with a tick whenever one is asked for.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.member.next_deadline(self.now).filter(|at| *at <= end) {
            assert!(at >= self.now, "{at:?} is past");
            self.now = at;
            self.handle(Input::Tick { is_drained: true });
        }
        self.now = end;
    }

    /// Hears an advertisement of another director for the VIPs of one of its own instances.
    fn hear(&mut self, host: u8, vrid: u8, family: Family, priority: u8) {
        let other = Self::other(host, &self.member, vrid, priority);
        let wire = other.member.groups().flat_map(|group| group.wires());
        let (index, _) = wire
            .enumerate()
            .find(|(_, wire)| (wire.instance.vrid, wire.family) == (vrid, family))
            .expect("such a virtual router");
        let endpoints = match (interface(host), family) {
            (Interface { v4: Some(source), .. }, Family::V4) => Endpoints::V4 {
                source,
                destination: GROUP_V4,
            },
            (Interface { v6: Some(source), .. }, Family::V6) => Endpoints::V6 {
                source,
                destination: GROUP_V6,
            },
            _ => unreachable!("both families have addresses"),
        };
        let id = WireId {
            group: 0,
            wire: index as u16,
        };
        let mut buffer = [0; MAX_LENGTH];
        let message = other.member.advertisement(id, priority, &endpoints, &mut buffer);
        self.receive(message.expect("it can be written"), endpoints);
    }

    fn receive(&mut self, message: &[u8], endpoints: Endpoints) {
        self.handle(Input::Packet {
            interface: "eth0",
            packet: Packet {
                message,
                endpoints,
                hop_limit: HOP_LIMIT,
            },
        });
    }

    /// Another director with the same instance.
    fn other(host: u8, member: &Member, vrid: u8, priority: u8) -> Self {
        let mut instances = member.groups().flat_map(|group| group.instances());
        let instance = instances
            .find(|instance| instance.vrid == vrid)
            .expect("an instance");
        let priority = priority.max(1);
        Self::new(
            host,
            &[Instance {
                priority,
                group: None,
                ..instance.clone()
            }],
        )
    }

    fn role(&self) -> Role {
        self.group().role()
    }

    fn group(&self) -> GroupView<'_> {
        self.member.groups().next().expect("a group")
    }

    fn why(&self) -> String {
        self.group().last_change().expect("a change").why.to_string()
    }

    fn holds(&self) -> Vec<IpAddr> {
        self.member
            .holdings()
            .into_iter()
            .map(|place| place.vip)
            .collect()
    }

    fn active(host: u8, instances: &[Instance]) -> Self {
        let mut stage = Self::new(host, instances);
        stage.pass(400 * MS);
        assert_eq!(stage.role(), Role::Active);
        stage.adverts.clear();
        stage.announced.clear();
        stage.events.clear();
        stage
    }
}

#[test]
fn nothing_is_done_before_the_interface_is_fit() {
    let mut stage = Stage::new(2, &[instance("front", 51, &[V4, V6])]);
    for (state, reasons) in [
        (Interface::ABSENT, "eth0 is down or has no carrier"),
        (
            Interface {
                v4: None,
                ..interface(2)
            },
            "eth0 has no IPv4 address of its own to advertise from",
        ),
        (
            Interface {
                v6: None,
                ..interface(2)
            },
            "eth0 has no usable IPv6 link-local address to advertise from",
        ),
    ] {
        stage.set("eth0", state);
        assert_eq!(stage.role(), Role::Initialize);
        let unfit: Vec<_> = stage.group().unfit().iter().map(ToString::to_string).collect();
        assert_eq!(unfit, [reasons]);
        stage.pass(Duration::from_secs(9));
        assert_eq!(stage.adverts, []);
    }
    stage.set("eth0", interface(2));
    assert_eq!(stage.role(), Role::Backup);
    // One family's address is enough for an instance that has only that.
    let mut stage = Stage::new(2, &[instance("front", 51, &[V4])]);
    stage.set(
        "eth0",
        Interface {
            v6: None,
            ..interface(2)
        },
    );
    assert_eq!(stage.role(), Role::Backup);
}

#[test]
fn alone_it_takes_over_with_both_families_and_tells_the_link() {
    let mut stage = Stage::new(2, &[instance("front", 51, &[V4, V6])]);
    stage.pass(349 * MS);
    assert_eq!((stage.role(), stage.adverts.len()), (Role::Backup, 0));
    stage.pass(MS);
    assert_eq!(stage.role(), Role::Active);
    assert_eq!(stage.adverts, [(51, Family::V4, 128), (51, Family::V6, 128)]);
    assert_eq!(stage.holds(), [ip(V4), ip(V6)]);
    let announced = [("front IPv4".to_owned(), 0..1), ("front IPv6".to_owned(), 0..1)];
    assert_eq!(stage.announced, announced);
    assert_eq!(stage.why(), "no other director was heard");
    stage.pass(10_000 * MS);
    assert_eq!(stage.adverts.len(), 2 + 2 * 100);
    assert_eq!(stage.announced.len(), 2 * 5);
    assert_eq!(stage.events.len(), 2, "{:?}", stage.events);
}

#[test]
fn one_family_heard_is_enough_to_wait() {
    let mut stage = Stage::new(2, &[instance("front", 51, &[V4, V6])]);
    for _ in 0..30 {
        stage.pass(100 * MS);
        stage.hear(3, 51, Family::V6, 200);
    }
    assert_eq!(stage.role(), Role::Backup);
    stage.pass(351 * MS);
    assert_eq!(stage.role(), Role::Active);
    let heard = stage.group().last_change().map(|change| change.why.clone());
    assert!(
        matches!(
            heard,
            Some(Why::Vrrp {
                cause: Cause::NobodyHeard | Cause::Silent(_),
                ..
            })
        ),
        "{heard:?}"
    );
}

#[test]
fn a_greater_one_in_either_family_ends_both() {
    for (family, other) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let mut stage = Stage::active(2, &[instance("front", 51, &[V4, V6])]);
        stage.hear(3, 51, family, 200);
        assert_eq!(stage.role(), Role::Backup);
        assert_eq!(stage.holds(), [] as [IpAddr; 0]);
        // On the other the director says goodbye, so that nobody waits for it there.
        assert_eq!(stage.adverts, [(51, other, YIELD)]);
        assert!(
            stage.why().contains("has the higher priority, 200"),
            "{}",
            stage.why()
        );
        assert_eq!(stage.events.len(), 1);
    }
}

/// By its IPv4 address one of two equals wins, by its link-local address the other.
#[test]
fn equals_that_disagree_by_family_do_not_both_give_way() {
    let equal = |host, other_v6| {
        let mut stage = Stage::active(host, &[instance("front", 51, &[V4, V6])]);
        let v6 = interface(other_v6).v6;
        stage.set(
            "eth0",
            Interface {
                v6,
                ..interface(host)
            },
        );
        stage.pass(50 * MS);
        stage
    };
    // 192.0.2.3 with fe80::2 against 192.0.2.2 with fe80::3.
    let mut greater = equal(3, 2);
    greater.hear(2, 51, Family::V4, 128);
    greater.hear(3, 51, Family::V6, 128);
    assert_eq!(greater.role(), Role::Active);
    let mut lesser = equal(2, 3);
    lesser.hear(2, 51, Family::V6, 128);
    assert_eq!(lesser.role(), Role::Active);
    lesser.hear(3, 51, Family::V4, 128);
    assert_eq!(lesser.role(), Role::Backup);
}

#[test]
fn a_cut_link_ends_it_and_the_link_s_return_begins_anew() {
    let mut stage = Stage::active(2, &[instance("front", 51, &[V4])]);
    stage.set(
        "eth0",
        Interface {
            up: false,
            ..interface(2)
        },
    );
    assert_eq!(stage.role(), Role::Initialize);
    assert_eq!(stage.holds(), [] as [IpAddr; 0]);
    assert_eq!(stage.why(), "eth0 is down or has no carrier");
    stage.pass(Duration::from_secs(5));
    stage.set("eth0", interface(2));
    assert_eq!(stage.role(), Role::Backup);
    stage.pass(349 * MS);
    assert_eq!(stage.role(), Role::Backup);
    stage.pass(MS);
    assert_eq!(stage.role(), Role::Active);
}

#[test]
fn a_group_moves_as_one() {
    let outside = Instance {
        group: Some("gateway".to_owned()),
        ..instance("outside", 1, &[V4])
    };
    let inside = Instance {
        interface: "eth1".to_owned(),
        group: Some("gateway".to_owned()),
        ..instance("inside", 2, &["10.0.0.1"])
    };
    let mut stage = Stage::new(2, &[outside, inside]);
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.role(), Role::Initialize);
    stage.set("eth1", interface(2));
    stage.pass(400 * MS);
    assert_eq!((stage.role(), stage.holds().len()), (Role::Active, 2));
    stage.adverts.clear();
    stage.set("eth1", Interface::ABSENT);
    assert_eq!((stage.role(), stage.holds().len()), (Role::Initialize, 0));
    assert_eq!(stage.adverts, [(1, Family::V4, YIELD), (2, Family::V4, YIELD)]);
    assert_eq!(stage.why(), "eth1 is down or has no carrier");
}

/// A Backup takes over after three of the Active's intervals and a skew; by then the lease has ended by itself.
#[test]
fn a_lease_ends_three_intervals_after_the_last_advertisement_and_with_the_role() {
    let mut stage = Stage::active(2, &[instance("front", 51, &[V4, V6])]);
    for _ in 0..20 {
        stage.pass(37 * MS);
        let last = stage.now.as_millis() / 50 * 50;
        assert!(
            stage.lease > stage.now + 200 * MS && stage.lease <= stage.now + 300 * MS,
            "{last}"
        );
    }
    stage.hear(3, 51, Family::V4, 200);
    assert_eq!(stage.lease, Duration::ZERO);
    let mut stage = Stage::active(2, &[instance("front", 51, &[V4])]);
    stage.set("eth0", Interface::ABSENT);
    assert_eq!(stage.lease, Duration::ZERO);
}

#[test]
fn a_vip_that_somebody_else_claims_is_told_and_dealt_with_by_policy() {
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    for (policy, announced, role) in [
        (OnDuplicate::Announce, 1, Role::Active),
        (OnDuplicate::Ignore, 0, Role::Active),
        (OnDuplicate::Yield, 0, Role::Initialize),
    ] {
        let front = Instance {
            on_duplicate: policy,
            ..instance("front", 51, &[V4])
        };
        let mut stage = Stage::active(2, &[front]);
        stage.pass(Duration::from_secs(5));
        stage.announced.clear();
        let vip = ip(V4);
        stage.handle(Input::Claimed { vip, mac });
        let event = Event::Duplicate {
            group: "front".to_owned(),
            vip,
            mac,
        };
        assert_eq!(stage.events[0], event);
        assert_eq!(
            (stage.announced.len(), stage.role()),
            (announced, role),
            "{policy:?}"
        );
        // Another's VIP, and one's own while it is not held, are no business of this director.
        stage.events.clear();
        stage.handle(Input::Claimed { vip: ip(V6), mac });
        assert_eq!(stage.events, []);
        stage.pass(Duration::from_secs(61));
        assert_eq!(stage.role(), Role::Active);
    }
}

/// After a sleep others may be Active: it says goodbye before it reads what they say, and listens.
#[test]
fn who_slept_through_its_lease_is_a_backup_before_anything_else() {
    let mut stage = Stage::active(2, &[instance("front", 51, &[V4])]);
    stage.now += 249 * MS;
    stage.handle(Input::Tick { is_drained: true });
    assert_eq!(stage.role(), Role::Active);
    stage.adverts.clear();
    stage.now += 300 * MS;
    stage.hear(3, 51, Family::V4, 100);
    assert_eq!(stage.role(), Role::Backup);
    assert_eq!(stage.adverts, [(51, Family::V4, YIELD)]);
    let stalled = Event::Stalled {
        group: "front".to_owned(),
        duration: 300 * MS,
    };
    assert_eq!(stage.events[0], stalled);
    // Nobody took over: it is back soon, without waiting for three advertisements.
    stage.pass(150 * MS);
    assert_eq!(stage.role(), Role::Active);
    assert_eq!(stage.why(), "192.0.2.3 has the lower priority, 100");
}

/// What waits to be read may be the Active's word.
#[test]
fn who_has_not_read_everything_succeeds_nobody_and_still_advertises() {
    let mut stage = Stage::new(2, &[instance("front", 51, &[V4])]);
    stage.now += 5000 * MS;
    stage.handle(Input::Tick { is_drained: false });
    assert_eq!(stage.role(), Role::Backup);
    stage.handle(Input::Tick { is_drained: true });
    assert_eq!(stage.role(), Role::Active);
    stage.adverts.clear();
    stage.now += 100 * MS;
    stage.handle(Input::Tick { is_drained: false });
    assert_eq!(stage.adverts.len(), 1);
}

#[test]
fn stopping_says_goodbye() {
    let mut stage = Stage::active(2, &[instance("front", 51, &[V4, V6])]);
    stage.handle(Input::Stop);
    assert_eq!(stage.role(), Role::Initialize);
    assert_eq!(stage.adverts, [(51, Family::V4, YIELD), (51, Family::V6, YIELD)]);
    assert_eq!(stage.why(), "the daemon stops");
    assert_eq!(stage.member.next_deadline(stage.now), None);
}

#[test]
fn a_reload_keeps_the_role_where_the_virtual_routers_stay() {
    let front = instance("front", 51, &[V4]);
    let mut stage = Stage::active(2, std::slice::from_ref(&front));
    let changed = Instance {
        priority: 90,
        vips: vec![ip(V4), ip("192.0.2.11")],
        ..front.clone()
    };
    stage.handle(Input::Configured(&[changed]));
    assert_eq!(stage.role(), Role::Active);
    assert_eq!(stage.holds(), [ip(V4), ip("192.0.2.11")]);
    assert_eq!(stage.adverts, [(51, Family::V4, 90)]);
    assert_eq!(stage.announced.last(), Some(&("front IPv4".to_owned(), 0..2)));
    assert_eq!(stage.events, []);

    // Another VRID is another virtual router, and so is another set of families.
    for other in [
        Instance {
            vrid: 52,
            ..front.clone()
        },
        instance("front", 51, &[V4, V6]),
        Instance {
            interface: "eth1".to_owned(),
            ..front.clone()
        },
    ] {
        let mut stage = Stage::active(2, std::slice::from_ref(&front));
        stage.handle(Input::Configured(&[other]));
        assert_ne!(stage.role(), Role::Active);
        assert_eq!(stage.adverts, [(51, Family::V4, YIELD)]);
        assert_eq!(stage.holds(), [] as [IpAddr; 0]);
        stage.handle(Input::Tick { is_drained: true });
        assert_eq!(stage.member.groups().count(), 1);
    }

    let mut stage = Stage::active(2, std::slice::from_ref(&front));
    stage.handle(Input::Configured(&[]));
    assert_eq!(stage.adverts, [(51, Family::V4, YIELD)]);
    assert_eq!(stage.member.groups().count(), 0);
    assert_eq!(stage.member.next_deadline(stage.now), None);
}

#[test]
fn strangers_are_counted_and_not_obeyed() {
    let front = Instance {
        peers: vec![ip("192.0.2.3")],
        ..instance("front", 51, &[V4])
    };
    let mut stage = Stage::active(2, &[front]);
    stage.hear(4, 51, Family::V4, 200);
    assert_eq!(stage.role(), Role::Active);
    let refused = |stage: &Stage, refusal| {
        let wire = stage.group().wires().next().expect("a virtual router");
        (
            wire.router.counters().refused(refusal),
            stage.member.strangers().refused(refusal),
        )
    };
    assert_eq!(refused(&stage, Refusal::UnknownPeer), (1, 0));
    let source = Ipv4Addr::new(192, 0, 2, 3);
    let endpoints = Endpoints::V4 {
        source,
        destination: GROUP_V4,
    };
    stage.receive(&[0x31, 52, 1, 1, 0, 100, 0, 0, 192, 0, 2, 10], endpoints);
    stage.receive(&[0x31], endpoints);
    stage.receive(&[], endpoints);
    assert_eq!(refused(&stage, Refusal::Checksum), (0, 1));
    assert_eq!(refused(&stage, Refusal::Truncated), (0, 2));
    stage.hear(3, 51, Family::V4, 200);
    assert_eq!(stage.role(), Role::Backup);
}

#[test]
fn a_neighbour_with_version_2_is_spoken_of_once_and_not_obeyed() {
    const SENT: [u8; 20] = [
        0x21, 0x33, 0x96, 0x01, 0x00, 0x01, 0x86, 0xbf, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut stage = Stage::active(2, &[instance("front", 51, &[V4])]);
    let source = Ipv4Addr::new(192, 0, 2, 9);
    let endpoints = Endpoints::V4 {
        source,
        destination: GROUP_V4,
    };
    for _ in 0..5 {
        stage.receive(&SENT, endpoints);
    }
    let event = Event::Version2 {
        interface: "eth0".to_owned(),
        source: source.into(),
        vrid: 51,
    };
    assert_eq!(stage.events, [event]);
    assert_eq!(stage.role(), Role::Active);
    let wire = stage.group().wires().next().expect("a virtual router");
    assert_eq!(wire.router.counters().refused(Refusal::Version2), 5);
    // However many there are, they are not all remembered.
    for host in 0..=255 {
        let source = Ipv4Addr::new(192, 0, 3, host);
        let destination = GROUP_V4;
        stage.receive(&SENT, Endpoints::V4 { source, destination });
    }
    assert_eq!(stage.events.len(), MOST_REMINDED);
}

#[test]
fn other_configurations_are_spoken_of_once() {
    let mut stage = Stage::new(2, &[instance("front", 51, &[V4])]);
    let differs = |what| Event::Differs {
        instance: "front".to_owned(),
        source: ip("192.0.2.3"),
        what,
    };
    let endpoints = Endpoints::V4 {
        source: Ipv4Addr::new(192, 0, 2, 3),
        destination: GROUP_V4,
    };
    let advert = |vip, centiseconds| {
        let repr = Repr {
            vrid: 51,
            priority: 200,
            interval: Interval::from_centiseconds(centiseconds).expect("in range"),
            coverage: lb_common::wire::vrrp::Coverage::Message,
            addresses: lb_common::wire::vrrp::Addresses::V4(&[vip]),
        };
        let mut buffer = [0; 64];
        repr.emit(&endpoints, &mut buffer).expect("room").to_vec()
    };
    let (ours, others) = ([192, 0, 2, 10], [192, 0, 2, 11]);
    stage.events.clear();
    for (message, expected) in [
        (advert(ours, 10), vec![]),
        (advert(others, 10), vec![differs(Difference::Addresses)]),
        (advert(others, 10), vec![]),
        (advert(others, 20), vec![differs(Difference::Interval)]),
        (advert(ours, 10), vec![]),
        (
            advert(others, 20),
            vec![differs(Difference::Addresses), differs(Difference::Interval)],
        ),
    ] {
        stage.receive(&message, endpoints);
        assert_eq!(std::mem::take(&mut stage.events), expected);
    }
}
