//! Whatever the kernel says, in whatever order.

use proptest::prelude::*;

use super::*;

/// Few of everything, so that they meet.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4_u8).prop_map(|host| IpAddr::from([10, 0, 0, host])),
        (0..2_u16).prop_map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])),
    ]
}

fn mac() -> impl Strategy<Value = Option<Mac>> {
    prop_oneof![
        3 => (0..3_u8).prop_map(|last| Some(Mac([2, 0, 0, 0, 0, last]))),
        1 => Just(Some(Mac([0; 6]))),
        1 => Just(Some(Mac([0xff; 6]))),
        1 => Just(None),
    ]
}

fn nud() -> impl Strategy<Value = Nud> {
    prop::sample::select(vec![
        Nud::None,
        Nud::Incomplete,
        Nud::Reachable,
        Nud::Stale,
        Nud::Delay,
        Nud::Probe,
        Nud::Failed,
        Nud::NoArp,
        Nud::Permanent,
    ])
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    (address(), 1..4_u32, nud(), mac(), any::<bool>()).prop_map(|(ip, ifindex, nud, mac, kept)| Neighbour {
        ip,
        ifindex,
        nud,
        mac,
        kept,
    })
}

fn link() -> impl Strategy<Value = Link> {
    (1..4_u32, mac(), prop_oneof![3 => Just(true), 1 => Just(false)]).prop_map(|(ifindex, mac, up)| Link {
        ifindex,
        name: format!("eth{ifindex}"),
        mac,
        mtu: 1500,
        up,
    })
}

fn route() -> impl Strategy<Value = Route> {
    prop_oneof![
        4 => (1..4_u32).prop_map(|ifindex| Route::Via { ifindex, gateway: None, source: None }),
        2 => (1..4_u32, address()).prop_map(|(ifindex, ip)| Route::Via { ifindex, gateway: Some(ip), source: Some(ip) }),
        1 => prop::sample::select(vec![Route::Local, Route::NotUnicast, Route::None]),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Feed(Input),
    Targets(Vec<IpAddr>),
    Poll,
    Wait(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let input = prop_oneof![
        8 => neighbour().prop_map(Input::Neighbour),
        2 => (address(), 1..4_u32).prop_map(|(ip, ifindex)| Input::NeighbourDeleted { ip, ifindex }),
        1 => (address(), 1..4_u32).prop_map(|(ip, ifindex)| Input::TableFull { ip, ifindex }),
        4 => link().prop_map(Input::Link),
        1 => (1..4_u32).prop_map(|ifindex| Input::LinkDeleted { ifindex }),
        6 => (address(), route()).prop_map(|(ip, route)| Input::Route { ip, route }),
        1 => prop::option::of((address(), 0..=140_u8)).prop_map(|prefix| {
            Input::RoutesChanged(prefix.map(|(address, length)| Prefix { address, length }))
        }),
        1 => (prop::collection::vec(link(), 0..3), prop::collection::vec(neighbour(), 0..5))
            .prop_map(|(links, neighbours)| Input::Snapshot { links, neighbours }),
        3 => Just(Input::Tick),
    ];
    prop_oneof![
        10 => input.prop_map(Step::Feed),
        1 => prop::collection::vec(address(), 0..6).prop_map(Step::Targets),
        4 => Just(Step::Poll),
        3 => (0..8000_u64).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
    ]
}

/// What the kernel has said, kept in the plainest way.
#[derive(Default)]
struct Said {
    links: BTreeMap<u32, Link>,
    /// Every MAC address ever reported for a next hop.
    macs: BTreeSet<(u32, IpAddr, Mac)>,
    routes: BTreeMap<IpAddr, Route>,
}

impl Said {
    fn hear_neighbour(&mut self, entry: &Neighbour) {
        if let Some(mac) = entry.mac.filter(|mac| mac.is_unicast()) {
            self.macs.insert((entry.ifindex, entry.ip, mac));
        }
    }

    fn hear(&mut self, input: &Input) {
        match input {
            Input::Neighbour(entry) => self.hear_neighbour(entry),
            Input::Link(link) => {
                self.links.insert(link.ifindex, link.clone());
            }
            Input::LinkDeleted { ifindex } => {
                self.links.remove(ifindex);
            }
            Input::Route { ip, route } => {
                self.routes.insert(*ip, *route);
            }
            Input::Snapshot { links, neighbours } => {
                self.links = links.iter().map(|link| (link.ifindex, link.clone())).collect();
                neighbours.iter().for_each(|entry| self.hear_neighbour(entry));
            }
            Input::NeighbourDeleted { .. }
            | Input::TableFull { .. }
            | Input::RoutesChanged(_)
            | Input::Tick => {}
        }
    }

    fn check_resolved(&self, address: IpAddr, hop: &NextHop) {
        let link = self.links.get(&hop.ifindex).expect("the link exists");
        assert!(link.up, "the link is up");
        assert_eq!(link.mac, Some(hop.source_mac));
        assert!(hop.source_mac.is_unicast() && hop.dest_mac.is_unicast());
        assert!(
            self.macs.contains(&(hop.ifindex, hop.via, hop.dest_mac)),
            "the kernel reported this MAC"
        );
        let Some(Route::Via {
            ifindex,
            gateway,
            source,
        }) = self.routes.get(&address)
        else {
            panic!("resolved without a route")
        };
        assert_eq!(
            (*ifindex, gateway.unwrap_or(address), *source),
            (hop.ifindex, hop.via, hop.source)
        );
    }
}

struct Run {
    machine: Neighbours,
    said: Said,
    targets: BTreeSet<IpAddr>,
    shown: BTreeMap<IpAddr, Egress>,
    now: Duration,
}

impl Run {
    fn new() -> Self {
        Self {
            machine: Neighbours::new(Timing::default()),
            said: Said::default(),
            targets: BTreeSet::new(),
            shown: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    fn feed(&mut self, input: Input) {
        self.said.hear(&input);
        let tick = input == Input::Tick;
        self.machine.handle(input, self.now);
        if tick {
            let next = self.machine.next_deadline();
            assert!(next.is_none_or(|at| at > self.now), "a tick does all that is due");
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::LookupRoute { ip } => assert!(self.targets.contains(&ip)),
                Output::Probe { ip, ifindex, .. } => {
                    assert!(self.said.links[&ifindex].up, "probes go out of links that are up");
                    let wanted = self
                        .targets
                        .iter()
                        .any(|target| match self.said.routes.get(target) {
                            Some(Route::Via {
                                ifindex: out,
                                gateway,
                                ..
                            }) => (*out, gateway.unwrap_or(*target)) == (ifindex, ip),
                            Some(Route::Local | Route::NotUnicast | Route::None) | None => false,
                        });
                    assert!(wanted, "probes are for somebody");
                }
                Output::Changed { address, egress } => {
                    assert!(self.targets.contains(&address));
                    if let Egress::Resolved(hop) = &egress {
                        self.said.check_resolved(address, hop);
                    }
                    let before = self.shown.insert(address, egress.clone());
                    assert_ne!(before.as_ref(), Some(&egress), "only on change");
                }
            }
        }
        assert_eq!(
            self.shown.keys().collect::<Vec<_>>(),
            self.targets.iter().collect::<Vec<_>>()
        );
        for (address, egress) in &self.shown {
            if let Egress::Resolved(hop) = egress {
                self.said.check_resolved(*address, hop);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Feed(input) => self.feed(input),
            Step::Targets(addresses) => {
                self.machine.set_targets(&addresses);
                self.targets = addresses.into_iter().collect();
                self.shown.retain(|address, _| self.targets.contains(address));
                // What the machine was told about an address it did not follow, it need not remember.
                self.said
                    .routes
                    .retain(|address, _| self.targets.contains(address));
            }
            Step::Poll => self.poll(),
            Step::Wait(time) => self.now += time,
        }
    }
}

proptest! {
    #[test]
    fn resolved_only_with_a_live_link_a_route_and_a_reported_mac(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.poll();
    }

    #[test]
    fn a_silent_kernel_leaves_nothing_undecided(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        let timing = Timing::default();
        let end = run.now + timing.answer + timing.settle;
        while let Some(at) = run.machine.next_deadline().filter(|at| *at <= end) {
            run.now = run.now.max(at);
            run.feed(Input::Tick);
            run.poll();
        }
        run.now = end;
        run.feed(Input::Tick);
        run.poll();
        for shared in run.machine.hops.values() {
            prop_assert!(
                shared.hop.state().expiry().is_none(),
                "still waiting after the longest wait: {:?}", shared.hop
            );
        }
    }

    #[test]
    fn inputs_survive_a_recording(steps in prop::collection::vec(step(), 1..20)) {
        for step in steps {
            if let Step::Feed(input) = step {
                let text = serde_json::to_string(&input).expect("serializes");
                prop_assert_eq!(serde_json::from_str::<Input>(&text).expect("parses"), input);
            }
        }
    }
}
