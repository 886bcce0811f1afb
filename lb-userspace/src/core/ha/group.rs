//! Instances that move together, as one: all their virtual routers are in one role.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use lb_common::wire::heartbeat;

use super::{
    Interface, Output, Packet, WireId,
    cluster::Cluster,
    duplicates::Duplicates,
    election::Candidacy,
    event::{Change, Difference, Event, Family, Unfit, Why},
    flaps::Flaps,
    health::{self, Reach},
    hooks::{Answer, Direction, Hooks, Whose},
    place::virtual_mac,
    track::Tracking,
    wire::Wire,
};
use crate::core::{
    model::{Failback, Instance},
    neighbour::Mac,
    seal,
    vrrp::{Cause, Event as Vrrp, Output as RouterOutput, Role, StopCause, YIELD},
};

/// The lease of an Active ends this many of its advertisement intervals after the last advertisement: before any Backup's
/// `Active_Down_Interval` does.
const LEASE_INTERVALS: u32 = 3;

/// Differences to other directors that are remembered as told.
const MOST_TOLD: usize = 64;

/// Groups live in a list, which gives them their number.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: String,
    /// What the other directors know it by.
    pub(super) id: u64,
    pub(super) instances: Vec<Instance>,
    pub(super) wires: Vec<Wire>,
    pub(super) role: Role,
    pub(super) last_change: Option<Change>,
    /// Why it takes no part; empty while it does.
    pub(super) unfit: Vec<Unfit>,
    /// Until when the VIPs may be answered for; `None` unless Active.
    pub(super) lease: Option<Duration>,
    /// It is no longer configured, and goes when it has said goodbye.
    pub(super) is_leaving: bool,
    pub(super) candidacy: Candidacy,
    pub(super) flaps: Flaps,
    /// How many backends behind its VIPs this director reaches.
    pub(super) services: Vec<Reach>,
    pub(super) hooks: Hooks,
    tracking: Tracking,
    told: BTreeSet<(usize, IpAddr, Difference)>,
    duplicates: Duplicates,
}

/// What a group sees of the rest.
pub(super) struct Surroundings<'a> {
    pub(super) interfaces: &'a BTreeMap<String, Interface>,
    pub(super) stopping: bool,
    pub(super) maintenance: bool,
    /// `None` for one that works alone.
    pub(super) cluster: Option<&'a Cluster>,
}

/// Where a group's outputs go.
pub(super) struct Outputs<'a> {
    pub(super) group: u16,
    pub(super) queue: &'a mut VecDeque<Output>,
}

impl Outputs<'_> {
    fn wire(&self, wire: usize) -> WireId {
        WireId {
            group: self.group,
            wire: wire as u16,
        }
    }

    fn lease(&mut self, until: Duration) {
        let group = self.group;
        self.queue.push_back(Output::Lease { group, until });
    }

    pub(super) fn report(&mut self, event: Event) {
        self.queue.push_back(Output::Report(event));
    }
}

impl Group {
    pub(super) fn new(name: String, instances: Vec<Instance>) -> Self {
        let wires = instances.iter().enumerate();
        Self {
            id: seal::group_id(&name),
            name,
            wires: wires
                .flat_map(|(number, instance)| Wire::all_of(number, instance))
                .collect(),
            instances,
            role: Role::Initialize,
            last_change: None,
            unfit: Vec::new(),
            lease: None,
            is_leaving: false,
            candidacy: Candidacy::default(),
            flaps: Flaps::default(),
            services: Vec::new(),
            hooks: Hooks::default(),
            tracking: Tracking::default(),
            told: BTreeSet::new(),
            duplicates: Duplicates::default(),
        }
    }

    /// Goes on with other settings; `false`, and nothing changed, where the virtual routers are not the same.
    pub(super) fn reconfigure(&mut self, instances: &[Instance], now: Duration) -> bool {
        let fresh = Self::new(self.name.clone(), instances.to_vec());
        let same = |(ours, theirs): (&Wire, &Wire)| {
            let (before, after) = (&self.instances[ours.instance], &fresh.instances[theirs.instance]);
            ours.instance == theirs.instance
                && ours.family == theirs.family
                && (&before.name, before.vrid, &before.interface, before.virtual_mac)
                    == (&after.name, after.vrid, &after.interface, after.virtual_mac)
        };
        let same = self.wires.len() == fresh.wires.len() && self.wires.iter().zip(&fresh.wires).all(same);
        if same {
            for wire in &mut self.wires {
                wire.reconfigure(&instances[wire.instance], now);
            }
            let tracks = |instances: &[Instance]| -> Vec<_> {
                instances.iter().map(|instance| instance.track.clone()).collect()
            };
            let others = tracks(&self.instances) != tracks(&fresh.instances);
            self.instances = fresh.instances;
            if others {
                self.tracking.clear();
                self.tracking.reaches(&self.services, &self.instances);
            }
        }
        same
    }

    pub(super) fn next_deadline(&self, cluster: Option<&Cluster>, now: Duration) -> Option<Duration> {
        let wires = self.wires.iter().filter_map(|wire| wire.next_deadline(now));
        let election = cluster.and_then(|cluster| self.candidacy.next_deadline(cluster, now));
        wires
            .chain(self.duplicates.next_deadline(now))
            .chain(self.hooks.next_deadline(now))
            .chain(election)
            .min()
    }

    /// Takes note of how something is that one of its instances depends on.
    pub(super) fn tracked(&mut self, instance: &str, number: usize, fault: Option<&str>) {
        if let Some(place) = self.instances.iter().position(|known| known.name == instance) {
            self.tracking.note(place, number, fault);
        }
    }

    /// Takes note of how many backends are reached.
    pub(super) fn reaches(&mut self, services: &[Reach]) {
        self.services = services.to_vec();
        self.tracking.reaches(services, &self.instances);
    }

    /// The health score, 0 to 100.
    pub(super) fn health(&self) -> u8 {
        health::score(&self.services, self.tracking.points(&self.instances))
    }

    /// What else has a say in who holds the VIPs, as sentences.
    pub(super) fn remarks(&self, now: Duration) -> Vec<String> {
        let veto = |direction, what| {
            let veto = self.hooks.veto(direction, now);
            veto.map(|said| format!("does not {what} the VIPs, as its test says: {said}"))
        };
        let damped = self
            .flaps
            .wait(now)
            .filter(|_| self.role != Role::Active)
            .map(|wait| {
                let seconds = wait.as_secs() + 1;
                format!("lost the VIPs several times in ten minutes: does not ask for them for {seconds} s")
            });
        let modest = self.candidacy.stands_back && self.role != Role::Active;
        let modest = modest.then(|| "handed the VIPs over as ordered: does not ask for them back".to_owned());
        self.tracking
            .burdens(&self.instances)
            .chain(veto(Direction::Acquire, "take"))
            .chain(veto(Direction::Release, "give away"))
            .chain(damped)
            .chain(modest)
            .collect()
    }

    /// Whether a test has said that it does not take the VIPs.
    pub(super) fn is_vetoed(&self, now: Duration) -> bool {
        self.role != Role::Active && self.hooks.veto(Direction::Acquire, now).is_some()
    }

    /// Whether the VIPs may move, by what the operator's programs say.
    pub(super) fn may(
        &mut self,
        direction: Direction,
        why: &str,
        now: Duration,
        outputs: &mut Outputs<'_>,
    ) -> Answer {
        let whose = Whose {
            group: &self.name,
            instances: &self.instances,
        };
        self.hooks.ask(direction, why, whose, now, outputs)
    }

    /// Whether an operator means it by this name: its own, or that of an instance.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.instances.iter().any(|instance| instance.name == name)
    }

    /// Priority that is in force; all instances of a group have the same.
    pub(super) fn priority(&self) -> u8 {
        self.wires[0].router.settings().priority
    }

    pub(super) fn waits_for_sync(&self, is_complete: bool) -> bool {
        !is_complete && self.instances[0].failback == Failback::AfterSync
    }

    /// What the other directors are told of it.
    pub(super) fn part(&self, now: Duration) -> heartbeat::Group {
        let down = |reason: &Unfit| matches!(reason, Unfit::LinkDown { .. } | Unfit::NoAddress { .. });
        heartbeat::Group {
            group: self.id,
            role: match self.role {
                Role::Initialize => heartbeat::Role::Out,
                Role::Backup => heartbeat::Role::Backup,
                Role::Active => heartbeat::Role::Active,
            },
            fit: self.unfit.is_empty() && !self.is_vetoed(now),
            link: !self.unfit.iter().any(down),
            claims: self.candidacy.claims,
            takes: self.candidacy.takes_until.is_some(),
            priority: self.priority(),
            health: self.health(),
            successor: self.candidacy.successor(),
        }
    }

    /// Comes before anything else that is done: an Active that slept is not Active.
    pub(super) fn wake(&mut self, now: Duration, outputs: &mut Outputs<'_>) {
        let Some(lease) = self.lease.filter(|lease| now >= *lease) else {
            return;
        };
        outputs.report(Event::Stalled {
            group: self.name.clone(),
            duration: now.saturating_sub(lease.saturating_sub(self.lease_length())),
        });
        for wire in &mut self.wires {
            wire.router.handle(Vrrp::Lapse, now);
        }
        self.follow(None, now, outputs);
    }

    /// Takes in a packet for one of its virtual routers.
    pub(super) fn receive(
        &mut self,
        wire: usize,
        packet: &Packet<'_>,
        around: &Surroundings<'_>,
        now: Duration,
        outputs: &mut Outputs<'_>,
    ) {
        let source = packet.endpoints.source();
        let standing = self.standing(wire, source, around, now);
        let instance = &self.instances[self.wires[wire].instance];
        let router = &mut self.wires[wire].router;
        let before = *router.counters();
        router.receive(packet.message, &packet.endpoints, packet.hop_limit, standing, now);
        let after = *router.counters();
        if after.received > before.received {
            let name = instance.name.clone();
            let addresses = after.differing_addresses > before.differing_addresses;
            let interval = after.differing_interval > before.differing_interval;
            for (what, differs) in [
                (Difference::Addresses, addresses),
                (Difference::Interval, interval),
            ] {
                self.compare((wire, source, what), differs, &name, outputs);
            }
        }
        self.follow(None, now, outputs);
    }

    /// Another machine claims a VIP.
    pub(super) fn claimed(&mut self, vip: IpAddr, mac: Mac, now: Duration, outputs: &mut Outputs<'_>) {
        let family = Family::of(vip);
        let wire = self
            .wires
            .iter()
            .position(|wire| wire.family == family && self.instances[wire.instance].vips.contains(&vip));
        let Some(wire) = wire.filter(|_| self.role == Role::Active) else {
            return;
        };
        let instance = &self.instances[self.wires[wire].instance];
        // Whoever holds the VIPs says so from there, and VRRP settles who that is.
        if instance.virtual_mac && mac == virtual_mac(family, instance.vrid) {
            return;
        }
        let policy = instance.on_duplicate;
        if self.duplicates.claimed(wire, vip, mac, policy, now) {
            outputs.report(Event::Duplicate {
                group: self.name.clone(),
                vip,
                mac,
            });
        }
    }

    /// Tells of a difference when it appears.
    fn compare(
        &mut self,
        key: (usize, IpAddr, Difference),
        differs: bool,
        instance: &str,
        outputs: &mut Outputs<'_>,
    ) {
        if !differs {
            self.told.remove(&key);
        } else if self.told.len() < MOST_TOLD && self.told.insert(key) {
            outputs.report(Event::Differs {
                instance: instance.to_owned(),
                source: key.1,
                what: key.2,
            });
        }
    }

    /// Looks at the clock and at everything around.
    pub(super) fn tick(&mut self, around: &Surroundings<'_>, now: Duration, outputs: &mut Outputs<'_>) {
        let priority = self
            .tracking
            .priority(self.instances[0].priority, &self.instances);
        for wire in &mut self.wires {
            wire.advertise_as(priority, now);
        }
        let unfit = self.unfit_in(around, now);
        if unfit.is_empty() {
            self.start(around, now, outputs);
        } else {
            self.stop(&unfit, around, now, outputs);
        }
        self.unfit = unfit;
        for wire in &mut self.wires {
            wire.router.handle(Vrrp::Tick, now);
        }
        self.follow(None, now, outputs);
    }

    fn unfit_in(&self, around: &Surroundings<'_>, now: Duration) -> Vec<Unfit> {
        let stopping = around.stopping.then_some(Unfit::Stopping);
        let leaving = self.is_leaving.then_some(Unfit::Removed);
        let maintenance = around.maintenance.then_some(Unfit::Maintenance);
        let wires = self.wires.iter().filter_map(|wire| {
            let name = &self.instances[wire.instance].interface;
            wire.unfit(name, around.interfaces.get(name).unwrap_or(&Interface::ABSENT))
        });
        let reasons = stopping
            .into_iter()
            .chain(leaving)
            .chain(maintenance)
            .chain(self.duplicates.unfit(now));
        let faults = self.tracking.faults(&self.instances).map(Unfit::Tracked);
        let reasons: BTreeSet<_> = reasons.chain(wires).chain(faults).collect();
        reasons.into_iter().collect()
    }

    fn start(&mut self, around: &Surroundings<'_>, now: Duration, outputs: &mut Outputs<'_>) {
        self.candidacy.since.get_or_insert(now);
        for wire in &mut self.wires {
            let interface = around.interfaces.get(&self.instances[wire.instance].interface);
            if let Some(primary) = interface.and_then(|interface| interface.primary(wire.family)) {
                wire.send_from(primary, now);
            }
            wire.router.handle(Vrrp::Start, now);
        }
        self.follow(None, now, outputs);
    }

    fn stop(&mut self, unfit: &[Unfit], around: &Surroundings<'_>, now: Duration, outputs: &mut Outputs<'_>) {
        for wire in &mut self.wires {
            let name = &self.instances[wire.instance].interface;
            let interface = around.interfaces.get(name).unwrap_or(&Interface::ABSENT);
            let cause = match wire.unfit(name, interface) {
                Some(Unfit::LinkDown { .. }) => StopCause::LinkDown,
                Some(Unfit::NoAddress { .. }) => StopCause::NoAddress,
                Some(
                    Unfit::Stopping
                    | Unfit::Removed
                    | Unfit::Maintenance
                    | Unfit::Tracked(_)
                    | Unfit::Duplicate { .. },
                )
                | None
                    if around.stopping || self.is_leaving =>
                {
                    StopCause::Shutdown
                }
                Some(
                    Unfit::Stopping
                    | Unfit::Removed
                    | Unfit::Maintenance
                    | Unfit::Tracked(_)
                    | Unfit::Duplicate { .. },
                )
                | None => StopCause::Together,
            };
            wire.router.handle(Vrrp::Stop(cause), now);
        }
        self.follow(Some(Why::Unfit(unfit.to_vec())), now, outputs);
    }

    /// Passes on what the virtual routers want, and has those follow that did not move by themselves.
    pub(super) fn follow(&mut self, why: Option<Why>, now: Duration, outputs: &mut Outputs<'_>) {
        let mut why = why;
        loop {
            self.pass_on(&mut why, now, outputs);
            let active = |wire: &Wire| wire.router.role() == Role::Active;
            if self.wires.iter().all(active) || !self.wires.iter().any(active) {
                break;
            }
            for wire in &mut self.wires {
                wire.router.handle(Vrrp::Yield(Cause::Together), now);
            }
        }
        let to = self.wires[0].router.role();
        let from = std::mem::replace(&mut self.role, to);
        if from == to {
            return;
        }
        if to != Role::Active {
            self.lease = None;
        }
        let Some(why) = why else { return };
        let whose = Whose {
            group: &self.name,
            instances: &self.instances,
        };
        self.hooks.moved(from, to, &why.to_string(), whose, outputs);
        if from == Role::Active
            && why.is_loss()
            && let Some(wait) = self.flaps.lost(now)
        {
            outputs.report(Event::Damped {
                group: self.name.clone(),
                wait,
            });
        }
        let change = Change {
            group: self.name.clone(),
            from,
            to,
            why,
            at: now,
        };
        self.last_change = Some(change.clone());
        outputs.report(Event::Changed(change));
    }

    fn pass_on(&mut self, why: &mut Option<Why>, now: Duration, outputs: &mut Outputs<'_>) {
        let lease = now + self.lease_length();
        for (number, wire) in self.wires.iter_mut().enumerate() {
            let id = outputs.wire(number);
            while let Some(output) = wire.router.poll_output() {
                match output {
                    RouterOutput::Advertise { priority } => {
                        if priority != YIELD && self.lease.replace(lease) != Some(lease) {
                            outputs.lease(lease);
                        }
                        outputs.queue.push_back(Output::Advertise { wire: id, priority });
                    }
                    RouterOutput::Acquire => {
                        wire.announcements.start(now);
                        outputs.queue.push_back(Output::Hold);
                    }
                    RouterOutput::Release => {
                        outputs.lease(Duration::ZERO);
                        wire.announcements.stop();
                        outputs.queue.push_back(Output::Hold);
                    }
                    RouterOutput::Announce => wire.announcements.again(now),
                    RouterOutput::Changed(transition) => {
                        if transition.cause != Cause::Together {
                            why.get_or_insert_with(|| Why::Vrrp {
                                instance: self.instances[wire.instance].name.clone(),
                                cause: transition.cause,
                            });
                        }
                    }
                }
            }
        }
    }

    /// Announces the VIPs that are due.
    pub(super) fn announce(&mut self, now: Duration, outputs: &mut Outputs<'_>) {
        for (number, wire) in self.wires.iter_mut().enumerate() {
            if self.duplicates.repair(number, now) && self.role == Role::Active {
                wire.announcements.again(now);
            }
            let count = wire.router.settings().vips.count();
            let vips = wire.announcements.due(count, now);
            if !vips.is_empty() {
                let wire = outputs.wire(number);
                outputs.queue.push_back(Output::Announce { wire, vips });
            }
        }
    }

    fn lease_length(&self) -> Duration {
        let intervals = self
            .wires
            .iter()
            .map(|wire| wire.router.settings().interval.duration());
        LEASE_INTERVALS * intervals.min().unwrap_or_default()
    }
}
