//! The HA thread: a loop around [`Member`] that does nothing else, and waits for nobody.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use lb_common::{
    abi::{CLAIMS, Claim},
    wire::{
        heartbeat,
        vrrp::{Endpoints, GROUP_V4, GROUP_V6, MAX_LENGTH},
    },
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    Reaches,
    answers::Answers,
    clock, hooks,
    mover::{self, Watch},
    path::Paths,
    port::Ports,
    post::Inbox,
    tracker, view,
};
use crate::{
    api::types::HaView,
    core::{
        ha::{
            ClusterSettings, Family, Handed, Input, Interface, LeaseNumbers, Member, Output, Packet, Place,
            Ran, Run, Unable, WireId, WireView,
        },
        model::{Heartbeat, Instance},
        neighbour::Mac,
        seal::Keyring,
    },
    net::{
        carrier::Carrier,
        heartbeat::HeartbeatLink,
        vrrp::{ReceiveBuffer, Received, VrrpSockets},
    },
    notify::Sink,
};

/// Packets of one socket that are read before the clock is looked at.
const BATCH: usize = 1024;
/// Carriers are looked at this often, in case word of a change was lost.
const LOOK: Duration = Duration::from_millis(100);

/// What the thread is told by others.
#[derive(Debug)]
pub(super) enum Order {
    /// This is the configuration from now on.
    Configure {
        /// This director's name.
        name: String,
        /// Who it is for the others; `None` if it works alone.
        cluster: Option<(Arc<Keyring>, ClusterSettings)>,
        /// The instances.
        instances: Vec<Instance>,
        /// Numbers of their groups' leases.
        leases: LeaseNumbers,
    },
    /// An interface is like this now.
    Interface {
        /// Its name.
        name: String,
        /// How it is.
        state: Interface,
        /// New sockets, where the old ones do not serve any more.
        sockets: Option<VrrpSockets>,
        /// Whether there is one.
        is_there: bool,
    },
    /// A heartbeat path has this link now, or none.
    Path {
        /// What the path is.
        settings: Heartbeat,
        /// Its link.
        link: Option<HeartbeatLink>,
    },
    /// Something that an instance depends on is like this now.
    Tracked {
        /// Name of the instance.
        instance: String,
        /// Its number among what the instance depends on.
        number: usize,
        /// What is wrong with it; `None` if nothing is.
        fault: Option<String>,
    },
    /// This director's connections are so far those of the others.
    Sync(heartbeat::Sync),
    /// The programs of a hook have ended.
    Ran {
        /// Name of the group.
        group: String,
        /// Which run it was.
        id: u64,
        /// What a test said that said no.
        veto: Option<String>,
    },
    /// So many of the backends behind each group's VIPs are reached.
    Health(Reaches),
    /// Somebody asks.
    View(oneshot::Sender<HaView>),
    /// Hand VIPs over.
    HandOver {
        /// Those of which group; `None`: of all.
        group: Option<String>,
        /// To whom; `None`: to the best.
        to: Option<String>,
        /// What became of it.
        reply: oneshot::Sender<Result<Vec<Handed>, Unable>>,
    },
    /// Neither keep nor take VIPs, or go on as ever.
    Maintenance {
        /// Which.
        is_on: bool,
        /// Even if nobody else can hold them.
        by_force: bool,
        /// What became of it.
        reply: oneshot::Sender<Result<(), Unable>>,
    },
    /// Give everything up, and end.
    Stop,
}

pub(super) struct Worker {
    /// This director's name.
    pub(super) name: String,
    pub(super) member: Member,
    pub(super) ports: Ports,
    pub(super) paths: Paths,
    carrier: Carrier,
    inbox: Inbox<Order>,
    mover: mpsc::Sender<mover::Order>,
    tracker: mpsc::Sender<tracker::Wanted>,
    hooks: mpsc::Sender<hooks::Job>,
    answers: Answers,
    leases: LeaseNumbers,
    /// Versions of the claims that were looked at.
    seen: [u64; CLAIMS],
    /// What the mover was not told yet.
    unsent_holdings: Option<Arc<BTreeSet<Place>>>,
    unsent_watch: Option<Watch>,
    events: Sink,
    buffer: ReceiveBuffer,
}

impl Worker {
    pub(super) fn new(
        carrier: Carrier,
        inbox: Inbox<Order>,
        mover: mpsc::Sender<mover::Order>,
        (tracker, hooks): (mpsc::Sender<tracker::Wanted>, mpsc::Sender<hooks::Job>),
        answers: Answers,
        events: Sink,
    ) -> Self {
        Self {
            name: String::new(),
            member: Member::new(),
            ports: Ports::default(),
            paths: Paths::default(),
            carrier,
            inbox,
            mover,
            tracker,
            hooks,
            seen: answers.versions(),
            answers,
            leases: LeaseNumbers::default(),
            unsent_holdings: None,
            unsent_watch: None,
            events,
            buffer: ReceiveBuffer::default(),
        }
    }

    /// Works until it is stopped.
    ///
    /// # Errors
    /// When the system fails it.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut look_at = Duration::ZERO;
        let mut is_drained = true;
        loop {
            self.wait(is_drained, look_at)?;
            self.inbox.silence();
            while let Some(order) = self.inbox.next() {
                if !self.obey(order) {
                    return Ok(());
                }
            }
            if self.carrier.changed() || clock::now() >= look_at {
                look_at = clock::now() + LOOK;
                self.look_at_carriers();
            }
            // Whoever takes over says so before it claims VIPs, and is heard before its claims count.
            let claims = self.answers.claims(&mut self.seen);
            is_drained = self.receive();
            self.take(&claims);
            self.handle(Input::Tick { is_drained });
            self.tell_mover();
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&self, is_drained: bool, look_at: Duration) -> io::Result<()> {
        let now = clock::now();
        let due = self
            .member
            .next_deadline(now)
            .map_or(look_at, |at| at.min(look_at));
        let patience = if is_drained {
            due.saturating_sub(now)
        } else {
            Duration::ZERO
        };
        let descriptors = [self.inbox.as_fd(), self.carrier.descriptor()];
        let all = descriptors
            .into_iter()
            .chain(self.ports.descriptors())
            .chain(self.paths.descriptors());
        let mut polled: Vec<_> = all.map(readable).collect();
        match ppoll(&mut polled, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether to go on.
    fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Sync(sync) => self.handle(Input::Sync(sync)),
            Order::Ran { group, id, veto } => {
                let (group, veto) = (&group, veto.as_deref());
                self.handle(Input::Ran { group, id, veto });
            }
            Order::Health(reaches) => {
                for (group, services) in &reaches {
                    self.handle(Input::Health { group, services });
                }
            }
            Order::Configure {
                name,
                cluster,
                instances,
                leases,
            } => {
                self.name = name;
                let (keys, cluster) = cluster
                    .map(|(keyring, cluster)| ((keyring, cluster.epoch), cluster))
                    .unzip();
                let heartbeats = cluster.as_ref().map_or(&[][..], |cluster| &cluster.paths);
                let closed = self.paths.configure(keys, heartbeats);
                self.close_paths(closed);
                let heartbeats = heartbeats.to_vec();
                self.handle(Input::Cluster(cluster.as_ref()));
                // For groups that go now the old numbers are still good.
                self.handle(Input::Configured(&instances));
                // A reload at a time, and there are not that many.
                let _ = self.tracker.try_send(instances);
                let interfaces = self.member.interfaces();
                let watched: BTreeSet<String> = interfaces.into_iter().map(str::to_owned).collect();
                let closed = self.ports.retain(&watched);
                self.close(closed);
                self.answers.end_all_but(&leases);
                self.leases = leases;
                self.unsent_watch = Some(Watch {
                    interfaces: watched,
                    heartbeats,
                    virtual_macs: self.member.virtual_macs(),
                });
                self.look_at_paths();
            }
            Order::Path { settings, link } => {
                let closed = self.paths.set(&settings, link);
                self.close_paths(closed);
                self.look_at_paths();
            }
            Order::HandOver { group, to, reply } => {
                let done = self
                    .member
                    .hand_over(group.as_deref(), to.as_deref(), clock::now());
                self.perform();
                // Who asked may have lost patience.
                drop(reply.send(done));
            }
            Order::Maintenance {
                is_on,
                by_force,
                reply,
            } => {
                let done = self.member.set_maintenance(is_on, by_force, clock::now());
                self.perform();
                drop(reply.send(done));
            }
            Order::Interface {
                name,
                state,
                sockets,
                is_there,
            } => {
                let closed = self.ports.set(&name, state, sockets, is_there);
                self.close(closed);
                self.look_at(&name);
            }
            Order::Tracked {
                instance,
                number,
                fault,
            } => {
                let fault = fault.as_deref();
                self.handle(Input::Tracked {
                    instance: &instance,
                    number,
                    fault,
                });
            }
            // Who asked may have lost patience.
            Order::View(to) => drop(to.send(view::view(self, clock::now()))),
            Order::Stop => {
                self.handle(Input::Stop);
                self.tell_mover();
                return false;
            }
        }
        true
    }

    fn look_at_carriers(&mut self) {
        for name in self.ports.names() {
            self.look_at(&name);
        }
        self.look_at_paths();
    }

    fn look_at_paths(&mut self) {
        let Self { paths, carrier, .. } = self;
        for (path, is_up) in paths.look(|interface| carrier.is_up(interface)) {
            self.handle(Input::Path { path, is_up });
        }
    }

    /// Has the member know how an interface is, if that has changed.
    fn look_at(&mut self, name: &str) {
        if let Some(state) = self.ports.look(name, self.carrier.is_up(name)) {
            self.handle(Input::Interface { name, state });
        }
    }

    /// Hears of others who claimed VIPs. A VIP's own MAC address is no claim, even if a switch brings it back.
    fn take(&mut self, claims: &[Claim]) {
        for claim in claims {
            let (vip, mac) = (claim.vip(), Mac(claim.mac()));
            if !self.ports.has_mac(mac) {
                self.handle(Input::Claimed { vip, mac });
            }
        }
    }

    /// Reads what has arrived; whether all of it.
    fn receive(&mut self) -> bool {
        let mut is_drained = true;
        for name in self.ports.names() {
            for family in Family::ALL {
                is_drained &= self.receive_from(&name, family);
            }
        }
        for path in 0..self.paths.ports.len() {
            is_drained &= self.paths.receive(path, BATCH, &mut self.member);
            self.perform();
        }
        for (path, link) in self.paths.broken() {
            // It is not there, whatever the mover has time for.
            let _ = self.mover.try_send(mover::Order::Reopen(path, link));
            self.look_at_paths();
        }
        is_drained
    }

    fn receive_from(&mut self, name: &str, family: Family) -> bool {
        for _ in 0..BATCH {
            let Some(port) = self.ports.get_mut(name) else {
                return true;
            };
            let Some(Received {
                message,
                endpoints,
                hop_limit,
            }) = port.next(family, &mut self.buffer)
            else {
                return true;
            };
            let packet = Packet {
                message,
                endpoints,
                hop_limit,
            };
            let input = Input::Packet {
                interface: name,
                packet,
            };
            self.member.handle(input, clock::now());
            self.perform();
        }
        false
    }

    fn handle(&mut self, input: Input<'_>) {
        self.member.handle(input, clock::now());
        self.perform();
    }

    /// Does what the member wants.
    fn perform(&mut self) {
        while let Some(output) = self.member.poll_output() {
            match output {
                Output::Advertise { wire, priority } => self.advertise(wire, priority),
                Output::Beat { path } => self.paths.send(path, &mut self.member),
                Output::Announce { wire, vips } => self.announce(wire, vips),
                Output::Lease { group, until } => {
                    let name = self.member.group_name(group);
                    if let Some(number) = name.and_then(|name| self.leases.of(name)) {
                        self.answers.set_lease(number, until);
                    }
                }
                Output::Run(run) => self.run_hooks(run),
                Output::Hold => {
                    self.unsent_holdings = Some(Arc::new(self.member.holdings()));
                    self.tell_mover();
                }
                Output::Report(event) => self.events.tell(event),
            }
        }
    }

    /// Has programs run. Who has no time for them says so, and they are waited for no longer than if they hung.
    fn run_hooks(&self, run: Run) {
        let director = self.name.clone();
        if let Err(TrySendError::Full(job)) = self.hooks.try_send(hooks::Job { director, run }) {
            for call in &job.run.calls {
                let ran = Ran::Failed("it was not run: too many wait already".to_owned());
                self.events.tell(job.run.event(call, ran, Duration::ZERO));
            }
        }
    }

    fn advertise(&mut self, id: WireId, priority: u8) {
        let Some(wire) = self.member.wire(id) else { return };
        let Some(port) = self.ports.get_mut(&wire.instance.interface) else {
            return;
        };
        let mac = wire.virtual_mac();
        let mut buffer = [0; MAX_LENGTH];
        for destination in destinations(&wire) {
            let Some(endpoints) = endpoints(wire.primary, destination) else {
                continue;
            };
            // The configuration allows nothing that does not fit.
            let Ok(message) = self.member.advertisement(id, priority, &endpoints, &mut buffer) else {
                continue;
            };
            port.send(|sockets| match destination.is_multicast() {
                true => sockets.send_to_group(mac.unwrap_or(sockets.mac()), &endpoints, message),
                false => sockets.send_to_peer(&endpoints, message),
            });
        }
    }

    fn announce(&mut self, id: WireId, vips: Range<usize>) {
        let Some(wire) = self.member.wire(id) else { return };
        let Some(port) = self.ports.get_mut(&wire.instance.interface) else {
            return;
        };
        let mac = wire.virtual_mac();
        for vip in vips.filter_map(|index| wire.vips.get(index)) {
            port.send(|sockets| sockets.announce(vip, mac.unwrap_or(sockets.mac())));
        }
    }

    /// Tells the mover what is new for it; if it has no time, again the next time.
    fn tell_mover(&mut self) {
        if let Some(holdings) = self.unsent_holdings.take()
            && let Err(TrySendError::Full(mover::Order::Hold(holdings))) =
                self.mover.try_send(mover::Order::Hold(holdings))
        {
            self.unsent_holdings = Some(holdings);
        }
        if let Some(watched) = self.unsent_watch.take()
            && let Err(TrySendError::Full(mover::Order::Watch(watched))) =
                self.mover.try_send(mover::Order::Watch(watched))
        {
            self.unsent_watch = Some(watched);
        }
    }

    fn close_paths(&self, links: impl IntoIterator<Item = HeartbeatLink>) {
        for link in links {
            let _ = self.mover.try_send(mover::Order::ClosePath(link));
        }
    }

    fn close(&self, sockets: impl IntoIterator<Item = VrrpSockets>) {
        for sockets in sockets {
            // Where the mover has no time, they are closed here after all.
            let _ = self.mover.try_send(mover::Order::Close(sockets));
        }
    }
}

/// Where advertisements go.
fn destinations(wire: &WireView<'_>) -> Vec<IpAddr> {
    let peers: Vec<_> = wire.peers().collect();
    if !peers.is_empty() {
        return peers;
    }
    vec![match wire.family {
        Family::V4 => GROUP_V4.into(),
        Family::V6 => GROUP_V6.into(),
    }]
}

fn endpoints(source: IpAddr, destination: IpAddr) -> Option<Endpoints> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Endpoints::V4 { source, destination }),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Endpoints::V6 { source, destination }),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn readable(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}
