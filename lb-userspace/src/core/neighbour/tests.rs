use super::*;

const ETH: u32 = 2;
const OTHER: u32 = 3;
const SELF_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const NEW_MAC: Mac = Mac([2, 0, 0, 0, 0, 3]);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn backend() -> IpAddr {
    ip("10.0.0.11")
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn link(up: bool) -> Link {
    Link {
        ifindex: ETH,
        name: "eth0".into(),
        mac: Some(SELF_MAC),
        mtu: 1500,
        up,
    }
}

fn entry(nud: Nud, mac: Option<Mac>) -> Input {
    Input::Neighbour(Neighbour {
        ip: backend(),
        ifindex: ETH,
        nud,
        mac,
        kept: false,
    })
}

fn on_link(address: IpAddr) -> Input {
    Input::Route {
        ip: address,
        route: Route::Via {
            ifindex: ETH,
            gateway: None,
            source: None,
        },
    }
}

fn resolved(mac: Mac) -> Output {
    let hop = NextHop {
        ifindex: ETH,
        ifname: "eth0".into(),
        source_mac: SELF_MAC,
        dest_mac: mac,
        via: backend(),
        source: None,
        mtu: 1500,
    };
    Output::Changed {
        address: backend(),
        egress: Egress::Resolved(hop),
    }
}

fn unresolved(reason: Unresolved) -> Output {
    Output::Changed {
        address: backend(),
        egress: Egress::Unresolved(reason),
    }
}

fn not_answering() -> Output {
    unresolved(Unresolved::NotAnswering {
        via: backend(),
        interface: "eth0".into(),
    })
}

fn probe(kind: ProbeKind) -> Output {
    Output::Probe {
        ip: backend(),
        ifindex: ETH,
        kind,
    }
}

/// The machine with a clock.
struct Bench {
    machine: Neighbours,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        Self {
            machine: Neighbours::new(Timing::default()),
            now: ms(1000),
        }
    }

    /// With `backend()` reachable at `PEER_MAC`, and nothing left to poll.
    fn resolved() -> Self {
        let mut bench = Self::new();
        bench.feed(Input::Link(link(true)));
        bench.machine.set_targets(&[backend()]);
        bench.feed(on_link(backend()));
        let outputs = bench.feed(entry(Nud::Reachable, Some(PEER_MAC)));
        assert_eq!(outputs, [resolved(PEER_MAC)]);
        bench
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(input, self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    /// Lets time pass from deadline to deadline.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            outputs.extend(self.feed(Input::Tick));
        }
        self.now = end;
        outputs
    }
}

#[test]
fn every_state_and_event_has_its_row() {
    let timing = Timing::default();
    let now = ms(100_000);
    let early = now + ms(1);
    let by = now + timing.answer;
    let settled = now + timing.settle;
    let mac = PEER_MAC;
    let usable = State::Usable {
        mac,
        fixed: false,
        probing: false,
    };
    let states = [
        State::Dormant,
        State::Asked { until: early },
        usable,
        State::Failing { mac, until: early },
        State::Lost { mac, until: early },
        State::Failed,
        State::Addressless,
        State::TableFull,
    ];
    let [dormant, asked, _, failing, lost, failed, addressless, full] = states;
    let new = State::Usable {
        mac: NEW_MAC,
        fixed: true,
        probing: false,
    };
    let renewed = State::Asked { until: by };
    let missing = State::Lost { mac, until: by };
    let doubted = State::Failing { mac, until: settled };
    // Columns in the order of `states`.
    let table = [
        (
            Event::Answer {
                mac: NEW_MAC,
                fixed: true,
                probing: false,
            },
            [dormant, new, new, new, new, new, new, new],
        ),
        (
            Event::NoAddress,
            [
                dormant,
                addressless,
                addressless,
                addressless,
                addressless,
                addressless,
                addressless,
                addressless,
            ],
        ),
        (
            Event::Resolving,
            [dormant, asked, missing, failing, lost, failed, renewed, renewed],
        ),
        (
            Event::Failed,
            [dormant, failed, doubted, failing, failed, failed, failed, failed],
        ),
        (
            Event::Deleted,
            [dormant, asked, missing, missing, lost, failed, renewed, full],
        ),
        (
            Event::TableFull,
            [dormant, full, usable, failing, lost, full, full, full],
        ),
        (
            Event::Expired,
            [dormant, failed, usable, failed, failed, failed, addressless, full],
        ),
    ];
    for (event, expected) in table {
        for (state, expected) in states.into_iter().zip(expected) {
            assert_eq!(
                state.next(event, now, &timing),
                expected,
                "{state:?} on {event:?}"
            );
        }
    }
}

#[test]
fn a_new_target_is_shown_looked_up_and_probed() {
    let mut bench = Bench::new();
    bench.feed(Input::Link(link(true)));
    bench.machine.set_targets(&[backend()]);
    assert_eq!(
        bench.drain(),
        [
            Output::LookupRoute { ip: backend() },
            unresolved(Unresolved::NotYetResolved)
        ]
    );
    assert_eq!(bench.feed(on_link(backend())), [probe(ProbeKind::Resolve)]);
    assert_eq!(bench.feed(entry(Nud::Incomplete, None)), []);
    assert_eq!(
        bench.feed(entry(Nud::Reachable, Some(PEER_MAC))),
        [resolved(PEER_MAC)]
    );
    bench.machine.set_targets(&[backend()]);
    assert_eq!(bench.drain(), []);
}

#[test]
fn every_nud_state_means_what_the_kernel_means() {
    let lost = None;
    let rows = [
        (Nud::Reachable, Some(resolved(NEW_MAC))),
        (Nud::Stale, Some(resolved(NEW_MAC))),
        (Nud::Delay, Some(resolved(NEW_MAC))),
        (Nud::Probe, Some(resolved(NEW_MAC))),
        (Nud::NoArp, Some(resolved(NEW_MAC))),
        (Nud::Permanent, Some(resolved(NEW_MAC))),
        (Nud::None, lost.clone()),
        (Nud::Incomplete, lost.clone()),
        (Nud::Failed, lost),
    ];
    for (nud, expected) in rows {
        let outputs = Bench::resolved().feed(entry(nud, Some(NEW_MAC)));
        let changed: Vec<_> = outputs
            .into_iter()
            .filter(|output| matches!(output, Output::Changed { .. }))
            .collect();
        assert_eq!(changed, Vec::from_iter(expected), "{nud:?}");
    }
}

#[test]
fn a_mac_that_cannot_receive_unicast_is_no_mac() {
    let reason = Unresolved::NoLinkLayer {
        interface: "eth0".into(),
    };
    for mac in [
        None,
        Some(Mac([0; 6])),
        Some(Mac([1, 0, 0x5e, 0, 0, 1])),
        Some(Mac([0xff; 6])),
    ] {
        let outputs = Bench::resolved().feed(entry(Nud::Permanent, mac));
        assert_eq!(outputs, [unresolved(reason.clone())], "{mac:?}");
    }
}

#[test]
fn failed_takes_out_and_an_answer_brings_back() {
    let mut bench = Bench::resolved();
    assert_eq!(
        bench.feed(entry(Nud::Failed, None)),
        [],
        "not before it has settled"
    );
    assert_eq!(
        bench.pass(Timing::default().settle),
        [probe(ProbeKind::Resolve), not_answering()]
    );
    let asked = bench.pass(ms(20_000));
    assert_eq!(
        asked,
        vec![probe(ProbeKind::Resolve); 10],
        "asked again every two seconds"
    );
    assert_eq!(
        bench.feed(entry(Nud::Incomplete, None)),
        [],
        "asking is no answer"
    );
    assert_eq!(
        bench.feed(entry(Nud::Reachable, Some(PEER_MAC))),
        [resolved(PEER_MAC)]
    );
}

#[test]
fn a_flush_is_no_failure() {
    let mut bench = Bench::resolved();
    assert_eq!(bench.feed(entry(Nud::Failed, None)), []);
    let deleted = Input::NeighbourDeleted {
        ip: backend(),
        ifindex: ETH,
    };
    assert_eq!(bench.feed(deleted), [probe(ProbeKind::Resolve)]);
    assert_eq!(bench.feed(entry(Nud::Incomplete, None)), []);
    assert_eq!(bench.feed(entry(Nud::Reachable, Some(PEER_MAC))), []);
}

#[test]
fn garbage_collection_keeps_the_mac_until_the_question_is_over() {
    let mut bench = Bench::resolved();
    let deleted = Input::NeighbourDeleted {
        ip: backend(),
        ifindex: ETH,
    };
    assert_eq!(bench.feed(deleted), [probe(ProbeKind::Resolve)]);
    let outputs = bench.pass(Timing::default().answer);
    assert_eq!(outputs.last(), Some(&not_answering()));
    assert!(
        outputs
            .iter()
            .filter(|output| **output == probe(ProbeKind::Resolve))
            .count()
            >= 2,
        "{outputs:?}"
    );
}

#[test]
fn silence_takes_a_new_target_out_in_bounded_time() {
    let mut bench = Bench::new();
    bench.feed(Input::Link(link(true)));
    bench.machine.set_targets(&[backend()]);
    bench.feed(on_link(backend()));
    assert_eq!(
        bench.pass(Timing::default().answer).last(),
        Some(&not_answering())
    );
}

#[test]
fn a_changed_mac_is_taken_at_once() {
    let mut bench = Bench::resolved();
    assert_eq!(bench.feed(entry(Nud::Stale, Some(NEW_MAC))), [resolved(NEW_MAC)]);
}

#[test]
fn an_address_in_use_is_confirmed_every_period_but_not_while_the_kernel_does_it() {
    let mut bench = Bench::resolved();
    let refresh = Timing::default().refresh;
    assert_eq!(bench.pass(refresh * 4), vec![probe(ProbeKind::Confirm); 4]);
    assert_eq!(bench.feed(entry(Nud::Probe, Some(PEER_MAC))), []);
    assert_eq!(bench.pass(refresh * 2), []);
    assert_eq!(bench.feed(entry(Nud::Reachable, Some(PEER_MAC))), []);
    assert_eq!(bench.pass(refresh * 2), vec![probe(ProbeKind::Confirm); 2]);
}

#[test]
fn what_others_set_or_keep_is_left_alone() {
    let mut bench = Bench::resolved();
    bench.feed(entry(Nud::Permanent, Some(PEER_MAC)));
    assert_eq!(bench.pass(ms(60_000)), []);
    assert_eq!(bench.machine.next_deadline(), None);

    let mac = Some(PEER_MAC);
    let kept = Neighbour {
        ip: backend(),
        ifindex: ETH,
        nud: Nud::Reachable,
        mac,
        kept: true,
    };
    bench.feed(Input::Neighbour(kept));
    assert_eq!(bench.pass(ms(60_000)), []);
    bench.feed(Input::Neighbour(Neighbour {
        nud: Nud::Failed,
        ..kept
    }));
    assert_eq!(
        bench.pass(Timing::default().settle).last(),
        Some(&not_answering()),
        "its failure counts"
    );
}

#[test]
fn backends_behind_one_gateway_share_its_probe() {
    let mut bench = Bench::new();
    let gateway = ip("10.0.0.1");
    let backends: Vec<IpAddr> = (1..=50).map(|host| ip(&format!("192.0.2.{host}"))).collect();
    bench.feed(Input::Link(link(true)));
    bench.machine.set_targets(&backends);
    bench.drain();
    let mut outputs = Vec::new();
    for backend in &backends {
        let route = Route::Via {
            ifindex: ETH,
            gateway: Some(gateway),
            source: None,
        };
        outputs.extend(bench.feed(Input::Route { ip: *backend, route }));
    }
    assert_eq!(
        outputs,
        [Output::Probe {
            ip: gateway,
            ifindex: ETH,
            kind: ProbeKind::Resolve
        }]
    );
    let reachable = Neighbour {
        ip: gateway,
        ifindex: ETH,
        nud: Nud::Reachable,
        mac: Some(PEER_MAC),
        kept: false,
    };
    let outputs = bench.feed(Input::Neighbour(reachable));
    assert_eq!(outputs.len(), backends.len());
    for (backend, output) in backends.iter().zip(outputs) {
        let Output::Changed { address, egress } = output else {
            panic!("{output:?}")
        };
        assert_eq!(address, *backend);
        assert!(matches!(&egress, Egress::Resolved(hop) if hop.via == gateway && hop.dest_mac == PEER_MAC));
        assert_eq!(
            egress.on_link(address),
            Err(Unresolved::NotOnLink {
                gateway,
                interface: "eth0".into()
            }),
            "useless to direct routing"
        );
    }
    assert_eq!(bench.pass(Timing::default().refresh).len(), 1);
    bench.machine.set_targets(&backends[1..]);
    assert_eq!(bench.pass(Timing::default().refresh).len(), 1);
    bench.machine.set_targets(&[]);
    assert_eq!(bench.machine.next_deadline(), None, "nobody left to ask for");
}

#[test]
fn probes_of_many_hops_are_spread_over_the_period() {
    let mut bench = Bench::new();
    let backends: Vec<IpAddr> = (0..5000_u32)
        .map(|host| IpAddr::from((0x0a00_0000 + host).to_be_bytes()))
        .collect();
    bench.feed(Input::Link(link(true)));
    bench.machine.set_targets(&backends);
    for backend in &backends {
        bench.feed(on_link(*backend));
        let entry = Neighbour {
            ip: *backend,
            ifindex: ETH,
            nud: Nud::Reachable,
            mac: Some(PEER_MAC),
            kept: false,
        };
        bench.feed(Input::Neighbour(entry));
    }
    let slices: Vec<usize> = (0..10)
        .map(|_| bench.pass(Timing::default().refresh / 10).len())
        .collect();
    assert_eq!(slices.iter().sum::<usize>(), 5000);
    assert!(
        slices.iter().all(|count| (400..600).contains(count)),
        "{slices:?}"
    );
}

#[test]
fn interface_down_and_up() {
    let mut bench = Bench::resolved();
    let down = Unresolved::InterfaceDown {
        interface: "eth0".into(),
    };
    assert_eq!(bench.feed(Input::Link(link(false))), [unresolved(down)]);
    assert_eq!(bench.pass(ms(0)), [Output::LookupRoute { ip: backend() }]);
    assert_eq!(
        bench.feed(Input::Route {
            ip: backend(),
            route: Route::None
        }),
        [],
        "why is known better"
    );
    assert_eq!(bench.pass(ms(60_000)), [], "nothing is asked on a dead link");

    bench.feed(Input::Link(link(true)));
    assert_eq!(bench.pass(ms(0)), [Output::LookupRoute { ip: backend() }]);
    assert_eq!(
        bench.feed(on_link(backend())),
        [probe(ProbeKind::Resolve), unresolved(Unresolved::NotYetResolved)]
    );
    assert_eq!(
        bench.feed(entry(Nud::Reachable, Some(PEER_MAC))),
        [resolved(PEER_MAC)]
    );
}

#[test]
fn interface_gone_and_back_under_another_index() {
    let mut bench = Bench::resolved();
    let gone = Unresolved::InterfaceGone {
        interface: "eth0".into(),
    };
    assert_eq!(
        bench.feed(Input::LinkDeleted { ifindex: ETH }),
        [unresolved(gone)]
    );
    bench.pass(ms(0));
    assert_eq!(
        bench.feed(Input::Route {
            ip: backend(),
            route: Route::None
        }),
        []
    );

    bench.feed(Input::Link(Link {
        ifindex: OTHER,
        ..link(true)
    }));
    assert_eq!(bench.pass(ms(1000)), [Output::LookupRoute { ip: backend() }]);
    let route = Route::Via {
        ifindex: OTHER,
        gateway: None,
        source: None,
    };
    let outputs = bench.feed(Input::Route { ip: backend(), route });
    assert_eq!(
        outputs[0],
        Output::Probe {
            ip: backend(),
            ifindex: OTHER,
            kind: ProbeKind::Resolve
        }
    );
    assert_eq!(
        bench.feed(entry(Nud::Reachable, Some(PEER_MAC))),
        [],
        "the old interface's entry"
    );
}

#[test]
fn a_link_says_its_own_mac_name_and_mtu() {
    for changed in [
        Link {
            mac: Some(NEW_MAC),
            ..link(true)
        },
        Link {
            name: "wan".into(),
            ..link(true)
        },
        Link {
            mtu: 9000,
            ..link(true)
        },
    ] {
        let mut bench = Bench::resolved();
        let outputs = bench.feed(Input::Link(changed.clone()));
        let [
            Output::Changed {
                egress: Egress::Resolved(hop),
                ..
            },
        ] = &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!(
            (hop.source_mac, &hop.ifname, hop.mtu),
            (changed.mac.unwrap(), &changed.name, changed.mtu)
        );
        assert_eq!(bench.feed(Input::Link(changed)), [], "only on change");
    }
}

#[test]
fn routes_that_lead_nowhere_are_named() {
    let rows = [
        (Route::None, Unresolved::NoRoute),
        (Route::Local, Unresolved::Local),
        (Route::NotUnicast, Unresolved::NotUnicast),
    ];
    for (route, reason) in rows {
        let mut bench = Bench::resolved();
        assert_eq!(
            bench.feed(Input::Route { ip: backend(), route }),
            [unresolved(reason)]
        );
        assert_eq!(
            bench.machine.next_deadline(),
            None,
            "its neighbour is not probed any more"
        );
    }
}

#[test]
fn a_full_table_is_named_until_there_is_room() {
    let mut bench = Bench::new();
    bench.feed(Input::Link(link(true)));
    bench.machine.set_targets(&[backend()]);
    bench.feed(on_link(backend()));
    let full = Input::TableFull {
        ip: backend(),
        ifindex: ETH,
    };
    assert_eq!(bench.feed(full.clone()), [unresolved(Unresolved::TableFull)]);
    assert_eq!(bench.pass(Timing::default().retry), [probe(ProbeKind::Resolve)]);
    assert_eq!(
        bench.feed(entry(Nud::Reachable, Some(PEER_MAC))),
        [resolved(PEER_MAC)]
    );
    assert_eq!(bench.feed(full), [], "a known address stays good");
}

#[test]
fn route_changes_ask_for_those_they_cover_in_bounded_rounds() {
    let mut bench = Bench::new();
    let inside = [ip("10.0.0.1"), ip("10.0.0.200")];
    let outside = [ip("10.0.1.1"), ip("2001:db8::1")];
    bench.machine.set_targets(&[inside, outside].concat());
    bench.drain();
    let change = Input::RoutesChanged(Some(Prefix {
        address: ip("10.0.0.0"),
        length: 24,
    }));
    assert_eq!(bench.feed(change.clone()), []);
    assert_eq!(bench.pass(ms(0)), inside.map(|ip| Output::LookupRoute { ip }));
    let mut lookups = 0;
    for _ in 0..1000 {
        bench.feed(change.clone());
        lookups += bench.pass(ms(1)).len();
    }
    assert!(
        (6..=10).contains(&lookups),
        "two targets, four rounds a second: {lookups}"
    );
}

#[test]
fn prefixes_cover_what_they_say() {
    let rows = [
        ("10.0.0.0", 24, "10.0.0.255", true),
        ("10.0.0.0", 24, "10.0.1.0", false),
        ("0.0.0.0", 0, "203.0.113.1", true),
        ("10.0.0.1", 32, "10.0.0.1", true),
        ("10.0.0.1", 32, "10.0.0.0", false),
        ("10.0.0.1", 255, "10.0.0.1", true),
        ("0.0.0.0", 0, "::1", false),
        ("2001:db8::", 64, "2001:db8::ffff", true),
        ("2001:db8::", 64, "2001:db8:0:1::", false),
        ("::", 0, "2001:db8::1", true),
    ];
    for (address, length, other, expected) in rows {
        let prefix = Prefix {
            address: ip(address),
            length,
        };
        assert_eq!(prefix.contains(ip(other)), expected, "{address}/{length} {other}");
    }
}

#[test]
fn a_snapshot_replaces_what_was_known() {
    let mut bench = Bench::resolved();
    let entries = vec![Neighbour {
        ip: backend(),
        ifindex: ETH,
        nud: Nud::Stale,
        mac: Some(NEW_MAC),
        kept: false,
    }];
    let outputs = bench.feed(Input::Snapshot {
        links: vec![link(true)],
        neighbours: entries,
    });
    assert_eq!(outputs, [resolved(NEW_MAC)]);
    assert_eq!(bench.pass(ms(0)), [Output::LookupRoute { ip: backend() }]);

    let outputs = bench.feed(Input::Snapshot {
        links: vec![link(true)],
        neighbours: vec![],
    });
    assert_eq!(
        outputs,
        [probe(ProbeKind::Resolve)],
        "a missing entry is no failure"
    );
    let gone = Unresolved::InterfaceGone {
        interface: "eth0".into(),
    };
    assert_eq!(
        bench.feed(Input::Snapshot {
            links: vec![],
            neighbours: vec![]
        }),
        [unresolved(gone)]
    );
}

#[test]
fn strangers_are_ignored() {
    let mut bench = Bench::resolved();
    let stranger = ip("10.0.0.99");
    bench.feed(Input::Neighbour(Neighbour {
        ip: stranger,
        ifindex: ETH,
        nud: Nud::Failed,
        mac: None,
        kept: false,
    }));
    bench.feed(Input::NeighbourDeleted {
        ip: backend(),
        ifindex: OTHER,
    });
    bench.feed(on_link(stranger));
    assert_eq!(bench.drain(), []);
}

#[test]
fn reasons_are_sentences() {
    let reason = Unresolved::NotAnswering {
        via: backend(),
        interface: "eth0".into(),
    };
    assert_eq!(
        reason.to_string(),
        "not answering: 10.0.0.11 does not answer ARP or neighbour discovery on eth0"
    );
}
