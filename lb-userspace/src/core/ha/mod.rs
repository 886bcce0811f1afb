//! This director's part in the pair: which VIPs it holds, and what it tells the others.
//!
//! A [`Member`] has a group for each set of instances that moves together, and each group a virtual router for each of its
//! instances and families. It is told what happened as [`Input`]s, and gives out what to do as [`Output`]s.
//!
//! # Architecture invariants
//! - All virtual routers of a group are Active, or none is.
//! - VIPs are held exactly by groups that are Active, and a group is Active only as long as its lease has not lapsed:
//!   whoever slept through it finds itself a Backup before anything else.
//! - Nobody takes over on a packet, only on an [`Input::Tick`] before which the caller handed in every packet that waited. A
//!   director that slept hears what its sockets hold before it judges who is silent.

mod announce;
mod cluster;
mod command;
pub mod decision;
mod duplicates;
mod election;
mod event;
mod explain;
mod flaps;
mod group;
mod health;
mod hooks;
mod lease;
mod place;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
mod track;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
    time::Duration,
};

use lb_common::wire::{
    heartbeat::{self, Heartbeat, Report},
    seal::{Greeting, NodeId},
    vrrp::{Endpoints, Refusal, Repr, Unsendable, v2},
};

pub use self::{
    cluster::{Cluster, ClusterSettings, Heard, Path, Peer},
    command::{Handed, Unable},
    election::{COMPLETE, Rank},
    event::{Change, Difference, Event, Family, Unfit, Why, Yield},
    explain::{Explanation, Part},
    health::Reach,
    hooks::{Call, Direction, Ran, Run},
    lease::LeaseNumbers,
    place::{Place, VirtualMac},
    track::VIRTUAL_MAC,
};
use self::{
    group::{Group, Outputs, Surroundings},
    wire::Wire,
};
use super::{
    model::Instance,
    neighbour::Mac,
    seal::Standing,
    vrrp::{Counters, Role, Vips, VirtualRouter},
};

/// A neighbour's VRRPv2 is spoken of once in this time.
const REMIND: Duration = Duration::from_secs(600);
/// Neighbours whose VRRPv2 was spoken of, at most; further ones are not spoken of.
const MOST_REMINDED: usize = 64;

/// A virtual router: number of its group, and its own number in it. A reload may give numbers anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId {
    group: u16,
    wire: u16,
}

/// What is to know of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Whether it is switched on and has a carrier.
    pub up: bool,
    /// Its own IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 link-local address, once it may be used.
    pub v6: Option<Ipv6Addr>,
}

impl Interface {
    /// There is no such interface, or nothing is known of it yet.
    pub const ABSENT: Self = Self {
        up: false,
        v4: None,
        v6: None,
    };

    fn primary(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

/// A packet of protocol 112.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// What follows the IP header.
    pub message: &'a [u8],
    /// Its source and destination.
    pub endpoints: Endpoints,
    /// Its TTL or hop limit.
    pub hop_limit: u8,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// An interface is like this now.
    Interface {
        /// Its name.
        name: &'a str,
        /// How it is.
        state: Interface,
    },
    /// A packet arrived.
    Packet {
        /// By which interface.
        interface: &'a str,
        /// What it says.
        packet: Packet<'a>,
    },
    /// Something that an instance depends on is like this now.
    Tracked {
        /// Name of the instance.
        instance: &'a str,
        /// Its number among what the instance depends on, or [`VIRTUAL_MAC`].
        number: usize,
        /// What is wrong with it; `None` if nothing is.
        fault: Option<&'a str>,
    },
    /// Another machine said that a VIP is at its own MAC address.
    Claimed {
        /// The VIP.
        vip: IpAddr,
        /// Where it is said to be.
        mac: Mac,
    },
    /// A heartbeat arrived.
    Heartbeat {
        /// Number of the path.
        path: usize,
        /// Who sent it.
        sender: NodeId,
        /// How far that is to be believed.
        standing: Standing,
        /// What it says.
        heartbeat: &'a Heartbeat<'a>,
    },
    /// A heartbeat path can carry heartbeats now, or cannot any more.
    Path {
        /// Its number.
        path: usize,
        /// Whether it can.
        is_up: bool,
    },
    /// This director's connections are so far those of the others.
    Sync(heartbeat::Sync),
    /// The programs of an [`Output::Run`] have ended.
    Ran {
        /// Name of the group.
        group: &'a str,
        /// Of which run.
        id: u64,
        /// What a test said that said no.
        veto: Option<&'a str>,
    },
    /// So many of the backends behind a group's VIPs are reached.
    Health {
        /// Name of the group.
        group: &'a str,
        /// By service.
        services: &'a [Reach],
    },
    /// Who this director is for the others, and how it hears them; `None` if it works alone.
    Cluster(Option<&'a ClusterSettings>),
    /// These are the instances from now on.
    Configured(&'a [Instance]),
    /// The daemon ends: give everything up.
    Stop,
    /// [`Member::next_deadline`] may have passed.
    Tick {
        /// Whether every packet that waited was handed in. If not, who is silent may only be late to be heard, and
        /// nobody is succeeded.
        is_drained: bool,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send what [`Member::advertisement`] writes, to the multicast group or to each of the [peers](WireView::peers).
    Advertise {
        /// Of which virtual router.
        wire: WireId,
        /// With this priority.
        priority: u8,
    },
    /// Send what [`Member::heartbeat`] writes over the path of this number.
    Beat {
        /// Its number.
        path: usize,
    },
    /// Tell the link that these of the virtual router's VIPs are here.
    Announce {
        /// Whose.
        wire: WireId,
        /// Which of [`WireView::vips`].
        vips: Range<usize>,
    },
    /// Until then, and no longer, questions for the MAC addresses of the group's VIPs may be answered; zero: no more.
    Lease {
        /// Number of the group; see [`Member::group_name`].
        group: u16,
        /// On the caller's clock.
        until: Duration,
    },
    /// Run programs, and say with [`Input::Ran`] what came of it if that is asked for.
    Run(Run),
    /// Make the interfaces hold exactly [`Member::holdings`].
    Hold,
    /// Tell who wants to know.
    Report(Event),
}

/// What is to know of a virtual router in order to send for it.
#[derive(Debug, Clone, Copy)]
pub struct WireView<'a> {
    /// Its instance.
    pub instance: &'a Instance,
    /// Its family.
    pub family: Family,
    /// Where to send from.
    pub primary: IpAddr,
    /// Its VIPs.
    pub vips: &'a Vips,
    /// The state machine.
    pub router: &'a VirtualRouter,
}

impl<'a> WireView<'a> {
    fn new(group: &'a Group, wire: &'a Wire) -> Self {
        let settings = wire.router.settings();
        Self {
            instance: &group.instances[wire.instance],
            family: wire.family,
            primary: settings.primary,
            vips: &settings.vips,
            router: &wire.router,
        }
    }

    /// The MAC address that its VIPs are at, unless it is the interface's.
    #[must_use]
    pub fn virtual_mac(&self) -> Option<Mac> {
        let own = self.instance.virtual_mac;
        own.then(|| place::virtual_mac(self.family, self.instance.vrid))
    }

    /// Unicast peers of the family; where there are none, advertisements go to the multicast group.
    pub fn peers(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let (peers, family) = (&self.instance.peers, self.family);
        peers
            .iter()
            .copied()
            .filter(move |&peer| Family::of(peer) == family)
    }
}

/// What is to know of a group.
#[derive(Debug, Clone, Copy)]
pub struct GroupView<'a>(&'a Group);

impl<'a> GroupView<'a> {
    /// Its name: that of the instance, if there is only one without a group.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.0.name
    }

    /// Its instances, which are in one role.
    #[must_use]
    pub fn instances(&self) -> &'a [Instance] {
        &self.0.instances
    }

    /// What it is now.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// How it came to be that; `None` if it never was anything else.
    #[must_use]
    pub fn last_change(&self) -> Option<&'a Change> {
        self.0.last_change.as_ref()
    }

    /// Why it takes no part; empty while it does.
    #[must_use]
    pub fn unfit(&self) -> &'a [Unfit] {
        &self.0.unfit
    }

    /// Priority that is in force.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.0.priority()
    }

    /// The health score, 0 to 100.
    #[must_use]
    pub fn health(&self) -> u8 {
        self.0.health()
    }

    /// How many backends behind its VIPs this director reaches, by service.
    #[must_use]
    pub fn services(&self) -> &'a [Reach] {
        &self.0.services
    }

    /// What else has a say in who holds the VIPs, as sentences.
    #[must_use]
    pub fn remarks(&self, now: Duration) -> Vec<String> {
        self.0.remarks(now)
    }

    /// Its virtual routers.
    pub fn wires(&self) -> impl Iterator<Item = WireView<'a>> + use<'a> {
        let group = self.0;
        group.wires.iter().map(move |wire| WireView::new(group, wire))
    }
}

/// This director's part in the pair.
#[derive(Debug, Clone, Default)]
pub struct Member {
    interfaces: BTreeMap<String, Interface>,
    groups: Vec<Group>,
    cluster: Option<Cluster>,
    stopping: bool,
    maintenance: bool,
    outputs: VecDeque<Output>,
    /// What was refused before it was known whom it concerned.
    strangers: Counters,
    /// Whose VRRPv2 was spoken of, and when.
    reminded: BTreeMap<IpAddr, Duration>,
}

impl Member {
    /// Without instances: nothing happens before [`Input::Configured`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one input. `now` is a clock that never goes back, counted from any fixed point, and goes on while the
    /// machine sleeps.
    pub fn handle(&mut self, input: Input<'_>, now: Duration) {
        // They have said goodbye.
        self.groups.retain(|group| !group.is_leaving);
        self.each_group(|group, _, outputs| group.wake(now, outputs));
        match input {
            Input::Interface { name, state } => {
                self.interfaces.insert(name.to_owned(), state);
                self.tick(false, now);
            }
            Input::Packet { interface, packet } => self.receive(interface, &packet, now),
            Input::Tracked {
                instance,
                number,
                fault,
            } => {
                for group in &mut self.groups {
                    group.tracked(instance, number, fault);
                }
                self.tick(false, now);
            }
            Input::Claimed { vip, mac } => {
                self.each_group(|group, _, outputs| group.claimed(vip, mac, now, outputs));
                self.tick(false, now);
            }
            Input::Heartbeat {
                path,
                sender,
                standing,
                heartbeat,
            } => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.receive(path, sender, standing, heartbeat, now);
                }
            }
            Input::Path { path, is_up } => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.set_path(path, is_up, now);
                }
                self.tick(false, now);
            }
            Input::Sync(sync) => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.set_sync(sync);
                }
            }
            Input::Ran { group, id, veto } => {
                if let Some(group) = self.groups.iter_mut().find(|known| known.name == group) {
                    group.hooks.ran(id, veto, now);
                }
                self.tick(false, now);
            }
            Input::Health { group, services } => {
                if let Some(group) = self.groups.iter_mut().find(|known| known.name == group) {
                    group.reaches(services);
                }
                self.tick(false, now);
            }
            Input::Cluster(settings) => {
                match (&mut self.cluster, settings) {
                    (Some(cluster), Some(settings)) => cluster.reconfigure(settings.clone(), now),
                    (None, Some(settings)) => self.cluster = Some(Cluster::new(settings.clone(), now)),
                    (_, None) => self.cluster = None,
                }
                self.tick(false, now);
            }
            Input::Configured(instances) => {
                self.configure(instances, now);
                self.tick(false, now);
            }
            Input::Stop => {
                self.stopping = true;
                self.tick(false, now);
            }
            Input::Tick { is_drained } => self.tick(is_drained, now),
        }
    }

    /// What to do next, in the order in which it is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in an [`Input::Tick`]; `None` while nothing runs.
    #[must_use]
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let cluster = self.cluster.as_ref();
        let groups = self.groups.iter();
        groups
            .filter_map(|group| group.next_deadline(cluster, now))
            .chain(cluster.and_then(|cluster| cluster.next_deadline(now)))
            .min()
    }

    /// Writes a heartbeat for the path of this number; `None` if there is no such path any more.
    pub fn heartbeat(
        &mut self,
        path: usize,
        greeting: &Greeting,
        now: Duration,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let report = self.report(now)?;
        let cluster = self.cluster.as_mut()?;
        cluster.write(path, greeting, report, now, buffer)
    }

    /// The other directors, as far as they speak over heartbeat paths; `None` for one that works alone.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Whether this director is in maintenance.
    #[must_use]
    pub fn is_in_maintenance(&self) -> bool {
        self.maintenance
    }

    /// Writes the advertisement of a virtual router, for a packet between `endpoints`.
    ///
    /// # Errors
    /// If it cannot be written, or there is no such virtual router any more (as an empty one).
    pub fn advertisement<'b>(
        &self,
        wire: WireId,
        priority: u8,
        endpoints: &Endpoints,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Unsendable> {
        let wire = self.wire(wire).ok_or(Unsendable::NoAddresses)?;
        wire.router.write(priority, endpoints, buffer)
    }

    /// Name of a group.
    #[must_use]
    pub fn group_name(&self, group: u16) -> Option<&str> {
        self.groups
            .get(usize::from(group))
            .map(|group| group.name.as_str())
    }

    /// A virtual router.
    #[must_use]
    pub fn wire(&self, id: WireId) -> Option<WireView<'_>> {
        let group = self.groups.get(usize::from(id.group))?;
        let wire = group.wires.get(usize::from(id.wire))?;
        Some(WireView::new(group, wire))
    }

    /// The groups, in the order of the configuration.
    pub fn groups(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.groups
            .iter()
            .filter(|group| !group.is_leaving)
            .map(GroupView)
    }

    /// The VIPs that are to be held, and where they belong.
    #[must_use]
    pub fn holdings(&self) -> BTreeSet<Place> {
        let active = self.groups.iter().filter(|group| group.role == Role::Active);
        let instances = active.flat_map(|group| &group.instances);
        instances.flat_map(Place::all_of).collect()
    }

    /// MAC addresses of virtual routers' own, and the instances that depend on them, Active or not.
    #[must_use]
    pub fn virtual_macs(&self) -> BTreeMap<VirtualMac, String> {
        let instances = self.groups().flat_map(|group| group.instances());
        let places = instances.flat_map(|instance| {
            let macs = Place::all_of(instance).filter_map(|place| place.virtual_mac());
            macs.map(|mac| (mac, instance.name.clone()))
        });
        places.collect()
    }

    /// Interfaces on which instances are.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<&str> {
        let instances = self.groups().flat_map(|group| group.instances());
        instances.map(|instance| instance.interface.as_str()).collect()
    }

    /// What was refused before it was known which virtual router it concerned.
    #[must_use]
    pub fn strangers(&self) -> &Counters {
        &self.strangers
    }

    fn each_group(&mut self, mut work: impl FnMut(&mut Group, &Surroundings<'_>, &mut Outputs<'_>)) {
        for (group, number) in self.groups.iter_mut().zip(0..) {
            let around = Surroundings {
                interfaces: &self.interfaces,
                stopping: self.stopping,
                maintenance: self.maintenance,
                cluster: self.cluster.as_ref(),
            };
            let outputs = &mut Outputs {
                group: number,
                queue: &mut self.outputs,
            };
            work(group, &around, outputs);
        }
    }

    /// What this director says of itself; `None` for one that works alone.
    fn report(&self, now: Duration) -> Option<Report> {
        let cluster = self.cluster.as_ref()?;
        let known = self
            .interfaces()
            .into_iter()
            .filter_map(|name| self.interfaces.get(name));
        let addresses = known.flat_map(|interface| Family::ALL.map(|family| interface.primary(family)));
        let groups = self.groups.iter().filter(|group| !group.is_leaving);
        Some(Report {
            groups: groups.map(|group| group.part(now)).collect(),
            leaving: self.stopping,
            maintenance: self.maintenance,
            addresses: addresses.flatten().map(heartbeat::Address).collect(),
            ..cluster.report(now)
        })
    }

    fn tick(&mut self, is_drained: bool, now: Duration) {
        self.each_group(|group, around, outputs| {
            group.tick(around, now, outputs);
            if is_drained {
                group.judge(around, now, outputs);
            }
            group.announce(now, outputs);
        });
        if let Some(report) = self.report(now)
            && let Some(cluster) = &mut self.cluster
        {
            cluster.tick(&report, now, &mut self.outputs);
        }
    }

    /// Groups whose virtual routers stay the same stay what they are; others begin anew, and take their leave before.
    fn configure(&mut self, instances: &[Instance], now: Duration) {
        let mut before: Vec<_> = std::mem::take(&mut self.groups);
        for (name, instances) in groups_of(instances) {
            let known = before.iter().position(|group| group.name == name);
            let kept = known.and_then(|index| {
                let same = before[index].reconfigure(&instances, now);
                same.then(|| before.remove(index))
            });
            self.groups
                .push(kept.unwrap_or_else(|| Group::new(name, instances)));
        }
        // Behind the others: their numbers must not change before they have said goodbye.
        for mut group in before {
            group.is_leaving = true;
            self.groups.push(group);
        }
        self.outputs.push_back(Output::Hold);
    }

    fn receive(&mut self, interface: &str, packet: &Packet<'_>, now: Duration) {
        let family = Family::of(packet.endpoints.source());
        let vrid = packet.message.get(1).copied();
        let found = self.groups.iter().enumerate().find_map(|(number, group)| {
            let mut wires = group.wires.iter();
            let wire = wires.position(|wire| {
                let instance = &group.instances[wire.instance];
                (instance.interface.as_str(), wire.family, Some(instance.vrid)) == (interface, family, vrid)
            })?;
            Some((number, wire))
        });
        let parsed = Repr::parse(packet.message, &packet.endpoints, packet.hop_limit);
        if parsed == Err(Refusal::Version2) {
            self.remind(interface, packet, now);
        }
        match found {
            Some((number, wire)) => {
                let around = Surroundings {
                    interfaces: &self.interfaces,
                    stopping: self.stopping,
                    maintenance: self.maintenance,
                    cluster: self.cluster.as_ref(),
                };
                let outputs = &mut Outputs {
                    group: number as u16,
                    queue: &mut self.outputs,
                };
                self.groups[number].receive(wire, packet, &around, now, outputs);
            }
            None => self
                .strangers
                .refuse(parsed.err().unwrap_or(Refusal::OtherRouter)),
        }
    }

    /// Speaks of a neighbour's VRRPv2, now and then.
    fn remind(&mut self, interface: &str, packet: &Packet<'_>, now: Duration) {
        let source = packet.endpoints.source();
        let Some(advertisement) = v2::Advertisement::parse(packet.message) else {
            return;
        };
        self.reminded.retain(|_, at| now < *at + REMIND);
        if self.reminded.len() < MOST_REMINDED && !self.reminded.contains_key(&source) {
            self.reminded.insert(source, now);
            self.outputs.push_back(Output::Report(Event::Version2 {
                interface: interface.to_owned(),
                source,
                vrid: advertisement.vrid,
            }));
        }
    }
}

/// Instances by group, in the order of the configuration.
fn groups_of(instances: &[Instance]) -> Vec<(String, Vec<Instance>)> {
    let mut groups: Vec<(String, Vec<Instance>)> = Vec::new();
    for instance in instances {
        match groups.iter_mut().find(|(name, _)| name == instance.group_name()) {
            Some((_, members)) => members.push(instance.clone()),
            None => groups.push((instance.group_name().to_owned(), vec![instance.clone()])),
        }
    }
    groups
}
