//! Backends' MAC addresses and interfaces, as the kernel's link, route and neighbour tables have them.
//!
//! For each backend address: the route says which interface and which next hop, the neighbour entry of that next hop
//! says its MAC address, the link says its own MAC address and whether it is up. [`Neighbours`] takes what the kernel
//! tells as [`Input`]s and gives out what to ask the kernel and what has changed as [`Output`]s.
//!
//! # Architecture invariant
//! Changes are computed when they are polled, not when they are caused: a caller that feeds everything it has before
//! it polls sees only the result, and what waits inside is bounded by the number of targets.

mod egress;
mod hop;
mod input;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    time::Duration,
};

use self::hop::{Event, Hop, State};
pub use self::{
    egress::{Egress, Mac, NextHop, Unresolved},
    hop::ProbeKind,
    input::{Input, Link, Neighbour, Nud, Output, Prefix, Route, Timing},
};

/// A next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct HopKey {
    ifindex: u32,
    ip: IpAddr,
}

impl HopKey {
    /// Where in a period its probes fall, 0..2^32.
    fn phase(self) -> u32 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        (hasher.finish() >> 32) as u32
    }
}

#[derive(Debug, Default)]
struct Target {
    /// `None` until the first answer.
    route: Option<Route>,
    /// Interface of the last usable route: where it went tells why there is no route any more.
    last_interface: Option<(u32, String)>,
    /// What the last [`Output::Changed`] said.
    shown: Option<Egress>,
}

impl Target {
    fn hop(&self, address: IpAddr) -> Option<HopKey> {
        match self.route? {
            Route::Via { ifindex, gateway, .. } => Some(HopKey {
                ifindex,
                ip: gateway.unwrap_or(address),
            }),
            Route::Local | Route::NotUnicast | Route::None => None,
        }
    }
}

#[derive(Debug)]
struct SharedHop {
    hop: Hop,
    users: BTreeSet<IpAddr>,
    /// Its entry in the schedule.
    due: Option<Duration>,
}

/// The state machine for all backends of a director.
#[derive(Debug, Default)]
pub struct Neighbours {
    timing: Timing,
    targets: BTreeMap<IpAddr, Target>,
    hops: BTreeMap<HopKey, SharedHop>,
    links: BTreeMap<u32, Link>,
    schedule: BTreeSet<(Duration, HopKey)>,
    /// Targets whose route is to be looked up in the next round.
    stale_routes: BTreeSet<IpAddr>,
    round_at: Option<Duration>,
    last_round: Option<Duration>,
    lookups: BTreeSet<IpAddr>,
    probes: BTreeMap<HopKey, ProbeKind>,
    dirty: BTreeSet<IpAddr>,
}

impl Neighbours {
    /// With no targets and an empty view of the kernel.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            ..Self::default()
        }
    }

    /// Follows exactly these addresses from now on: new ones are looked up, others forgotten without an output.
    pub fn set_targets(&mut self, addresses: &[IpAddr]) {
        let wanted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        let gone: Vec<IpAddr> = self
            .targets
            .keys()
            .filter(|ip| !wanted.contains(ip))
            .copied()
            .collect();
        for address in gone {
            if let Some(hop) = self
                .targets
                .remove(&address)
                .and_then(|target| target.hop(address))
            {
                self.detach(address, hop);
            }
            self.stale_routes.remove(&address);
            self.lookups.remove(&address);
            self.dirty.remove(&address);
        }
        for address in wanted {
            self.targets.entry(address).or_insert_with(|| {
                self.lookups.insert(address);
                self.dirty.insert(address);
                Target::default()
            });
        }
    }

    /// Takes in one input. `now` is monotonic, counted from any fixed point.
    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Route { ip, route } => self.set_route(ip, route, now),
            Input::RoutesChanged(prefix) => self.routes_changed(prefix, now),
            Input::Neighbour(entry) => {
                self.hop_event(
                    HopKey {
                        ifindex: entry.ifindex,
                        ip: entry.ip,
                    },
                    entry.event(),
                    now,
                );
            }
            Input::NeighbourDeleted { ip, ifindex } => {
                self.hop_event(HopKey { ifindex, ip }, Event::Deleted, now);
            }
            Input::TableFull { ip, ifindex } => self.hop_event(HopKey { ifindex, ip }, Event::TableFull, now),
            Input::Link(link) => self.set_link(link, now),
            Input::LinkDeleted { ifindex } => self.delete_link(ifindex, now),
            Input::Snapshot { links, neighbours } => self.resync(links, &neighbours, now),
            Input::Tick => self.tick(now),
        }
    }

    /// The next thing to do or to know; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(ip) = self.lookups.pop_first() {
            return Some(Output::LookupRoute { ip });
        }
        if let Some((key, kind)) = self.probes.pop_first() {
            return Some(Output::Probe {
                ip: key.ip,
                ifindex: key.ifindex,
                kind,
            });
        }
        while let Some(address) = self.dirty.pop_first() {
            let egress = self.egress(address);
            let Some(target) = self.targets.get_mut(&address) else {
                continue;
            };
            if target.shown.as_ref() != Some(&egress) {
                target.shown = Some(egress.clone());
                return Some(Output::Changed { address, egress });
            }
        }
        None
    }

    /// When [`Input::Tick`] is wanted; a time in the past means now.
    pub fn next_deadline(&self) -> Option<Duration> {
        let hop = self.schedule.first().map(|(at, _)| *at);
        match (hop, self.round_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn set_route(&mut self, address: IpAddr, route: Route, now: Duration) {
        let Some(target) = self.targets.get_mut(&address) else {
            return;
        };
        let before = target.hop(address);
        target.route = Some(route);
        let after = target.hop(address);
        if let Some(link) = after.and_then(|key| self.links.get(&key.ifindex)) {
            target.last_interface = Some((link.ifindex, link.name.clone()));
        }
        if before != after {
            if let Some(key) = before {
                self.detach(address, key);
            }
            if let Some(key) = after {
                self.attach(address, key, now);
            }
        }
        self.dirty.insert(address);
    }

    fn attach(&mut self, address: IpAddr, key: HopKey, now: Duration) {
        let link_up = self.links.get(&key.ifindex).is_some_and(|link| link.up);
        self.hops
            .entry(key)
            .or_insert_with(|| SharedHop {
                hop: Hop::new(key.phase(), link_up, now, &self.timing),
                users: BTreeSet::new(),
                due: None,
            })
            .users
            .insert(address);
        self.settle(key, now);
    }

    fn detach(&mut self, address: IpAddr, key: HopKey) {
        let Some(shared) = self.hops.get_mut(&key) else {
            return;
        };
        shared.users.remove(&address);
        if shared.users.is_empty() {
            if let Some(due) = shared.due {
                self.schedule.remove(&(due, key));
            }
            self.hops.remove(&key);
            self.probes.remove(&key);
        }
    }

    fn hop_event(&mut self, key: HopKey, event: Event, now: Duration) {
        if let Some(shared) = self.hops.get_mut(&key) {
            shared.hop.handle(event, now, &self.timing);
            self.settle(key, now);
        }
    }

    /// After anything happened to a hop: does what is due, renews its place in the schedule, marks its users.
    fn settle(&mut self, key: HopKey, now: Duration) {
        let Some(shared) = self.hops.get_mut(&key) else {
            return;
        };
        if let Some(kind) = shared.hop.tick(now, &self.timing) {
            // A question that still waits must not become a weaker one.
            let waiting = self.probes.entry(key).or_insert(kind);
            *waiting = (*waiting).max(kind);
        }
        let due = shared.hop.due();
        if due != shared.due {
            if let Some(old) = shared.due {
                self.schedule.remove(&(old, key));
            }
            if let Some(new) = due {
                self.schedule.insert((new, key));
            }
            shared.due = due;
        }
        self.dirty.extend(&shared.users);
    }

    fn tick(&mut self, now: Duration) {
        while let Some((at, key)) = self.schedule.first().copied() {
            if at > now {
                break;
            }
            self.settle(key, now);
        }
        if self.round_at.is_some_and(|at| at <= now) {
            self.round_at = None;
            self.last_round = Some(now);
            self.lookups.append(&mut self.stale_routes);
        }
    }

    fn routes_changed(&mut self, prefix: Option<Prefix>, now: Duration) {
        self.stale_routes.extend(
            self.targets
                .keys()
                .filter(|ip| prefix.is_none_or(|prefix| prefix.contains(**ip))),
        );
        if self.stale_routes.is_empty() || self.round_at.is_some() {
            return;
        }
        let earliest = self
            .last_round
            .map_or(now, |last| last.saturating_add(self.timing.reroute));
        self.round_at = Some(earliest.max(now));
    }

    fn set_link(&mut self, link: Link, now: Duration) {
        let ifindex = link.ifindex;
        let (up, was) = (link.up, self.links.get(&ifindex));
        if was == Some(&link) {
            return;
        }
        let was_up = was.is_some_and(|was| was.up);
        self.links.insert(ifindex, link);
        if up != was_up {
            self.switch_hops(ifindex, up, now);
            // The kernel drops IPv4 routes with their interface without a message for each.
            self.routes_changed(None, now);
        }
        self.dirty.extend(self.targets.keys());
    }

    fn delete_link(&mut self, ifindex: u32, now: Duration) {
        if self.links.remove(&ifindex).is_some() {
            self.switch_hops(ifindex, false, now);
            self.routes_changed(None, now);
            self.dirty.extend(self.targets.keys());
        }
    }

    /// Wakes up or puts to sleep every hop of an interface.
    fn switch_hops(&mut self, ifindex: u32, up: bool, now: Duration) {
        let keys: Vec<HopKey> = self
            .hops
            .keys()
            .filter(|key| key.ifindex == ifindex)
            .copied()
            .collect();
        for key in keys {
            if let Some(shared) = self.hops.get_mut(&key) {
                if up {
                    shared.hop.wake(now, &self.timing);
                } else {
                    shared.hop.sleep();
                    self.probes.remove(&key);
                }
            }
            self.settle(key, now);
        }
    }

    fn resync(&mut self, links: Vec<Link>, neighbours: &[Neighbour], now: Duration) {
        let present: BTreeSet<u32> = links.iter().map(|link| link.ifindex).collect();
        let gone: Vec<u32> = self
            .links
            .keys()
            .filter(|ifindex| !present.contains(ifindex))
            .copied()
            .collect();
        for ifindex in gone {
            self.delete_link(ifindex, now);
        }
        for link in links {
            self.set_link(link, now);
        }
        let entries: BTreeMap<HopKey, Event> = neighbours
            .iter()
            .map(|entry| {
                (
                    HopKey {
                        ifindex: entry.ifindex,
                        ip: entry.ip,
                    },
                    entry.event(),
                )
            })
            .collect();
        let known: Vec<HopKey> = self.hops.keys().copied().collect();
        for key in known {
            self.hop_event(key, entries.get(&key).copied().unwrap_or(Event::Deleted), now);
        }
        self.routes_changed(None, now);
    }

    fn egress(&self, address: IpAddr) -> Egress {
        match self.resolve(address) {
            Ok(hop) => Egress::Resolved(hop),
            Err(reason) => Egress::Unresolved(reason),
        }
    }

    fn resolve(&self, address: IpAddr) -> Result<NextHop, Unresolved> {
        let target = self.targets.get(&address).ok_or(Unresolved::NotYetResolved)?;
        let last_name = |ifindex: u32| match &target.last_interface {
            Some((last, name)) if *last == ifindex => name.clone(),
            Some(_) | None => format!("interface {ifindex}"),
        };
        match target.route {
            None => Err(Unresolved::NotYetResolved),
            Some(Route::Local) => Err(Unresolved::Local),
            Some(Route::NotUnicast) => Err(Unresolved::NotUnicast),
            Some(Route::None) => Err(match &target.last_interface {
                Some((ifindex, name)) => match self.links.get(ifindex) {
                    None => Unresolved::InterfaceGone {
                        interface: name.clone(),
                    },
                    Some(link) if !link.up => Unresolved::InterfaceDown {
                        interface: link.name.clone(),
                    },
                    Some(_) => Unresolved::NoRoute,
                },
                None => Unresolved::NoRoute,
            }),
            Some(Route::Via {
                ifindex,
                gateway,
                source,
            }) => {
                let via = gateway.unwrap_or(address);
                let Some(link) = self.links.get(&ifindex) else {
                    return Err(Unresolved::InterfaceGone {
                        interface: last_name(ifindex),
                    });
                };
                let state = self
                    .hops
                    .get(&HopKey { ifindex, ip: via })
                    .map(|shared| shared.hop.state());
                next_hop(link, via, source, state)
            }
        }
    }
}

/// What a link and the state of a next hop on it come to.
fn next_hop(
    link: &Link,
    via: IpAddr,
    source: Option<IpAddr>,
    state: Option<State>,
) -> Result<NextHop, Unresolved> {
    let interface = || link.name.clone();
    if !link.up {
        return Err(Unresolved::InterfaceDown {
            interface: interface(),
        });
    }
    let Some(source_mac) = link.mac.filter(|mac| mac.is_unicast()) else {
        return Err(Unresolved::NoLinkLayer {
            interface: interface(),
        });
    };
    let dest_mac = match state {
        Some(State::Usable { mac, .. } | State::Failing { mac, .. } | State::Lost { mac, .. }) => mac,
        None | Some(State::Dormant | State::Asked { .. }) => return Err(Unresolved::NotYetResolved),
        Some(State::Failed) => {
            return Err(Unresolved::NotAnswering {
                via,
                interface: interface(),
            });
        }
        Some(State::Addressless) => {
            return Err(Unresolved::NoLinkLayer {
                interface: interface(),
            });
        }
        Some(State::TableFull) => return Err(Unresolved::TableFull),
    };
    Ok(NextHop {
        ifindex: link.ifindex,
        ifname: interface(),
        source_mac,
        dest_mac,
        via,
        source,
        mtu: link.mtu,
    })
}
