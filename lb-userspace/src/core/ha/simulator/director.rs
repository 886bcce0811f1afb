//! One director: a member with a clock of its own, which can stop, sleep and die.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use lb_common::wire::{
    heartbeat::{Heartbeat, MAX_LENGTH},
    seal::{Greeting, NodeId},
    vrrp::{Endpoints, GROUP_V4, HOP_LIMIT, MAX_LENGTH as MAX_ADVERTISEMENT},
};

use super::super::{Change, ClusterSettings, Event, Input, Interface, Member, Output, Packet};
use crate::core::{
    model::{self, Instance},
    seal::Standing,
    vrrp::Role,
};

/// What sockets hold for a director that sleeps; more is lost.
const SOCKET: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Runs,
    /// As after SIGSTOP, or on a machine that swaps: what arrives waits.
    Sleeps,
    /// As after `kill -9`: what arrives is lost, and so is what it knew.
    Dead,
}

/// Its own clock: where it began, and how fast it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) offset: Duration,
    pub(super) per_million: u32,
}

impl Clock {
    fn read(self, now: Duration) -> Duration {
        self.offset + now * self.per_million / 1_000_000
    }

    /// The first time of the world at which it shows `local`.
    fn reaches(self, local: Duration) -> Duration {
        let passed = local.saturating_sub(self.offset);
        passed * 1_000_000 / self.per_million + Duration::from_nanos(2)
    }
}

/// What goes over a network; 0 is that of the clients, the others are heartbeat paths.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) network: usize,
    sender: NodeId,
    epoch: u64,
    source: Ipv4Addr,
    bytes: Vec<u8>,
}

/// What a director did.
#[derive(Debug)]
pub(super) enum Deed {
    Sent(Message),
    Changed(Change),
}

pub(super) struct Director {
    pub(super) name: String,
    instance: Instance,
    settings: ClusterSettings,
    address: Ipv4Addr,
    clock: Clock,
    pub(super) member: Member,
    pub(super) life: Life,
    pub(super) link: bool,
    waiting: VecDeque<Message>,
    /// The newest life of each director that was heard from.
    sessions: BTreeMap<NodeId, u64>,
    lease: Duration,
}

impl Director {
    pub(super) fn new(number: usize, instance: Instance, paths: Vec<model::Heartbeat>, clock: Clock) -> Self {
        let name = format!("d{number}");
        Self {
            settings: ClusterSettings {
                // In no order that anything else has.
                node: crate::core::seal::node_id("simulated", &name),
                epoch: 0,
                name: name.clone(),
                version: "1".to_owned(),
                config: 1,
                paths,
            },
            name,
            instance,
            address: Ipv4Addr::new(10, 0, 0, 1 + number as u8),
            clock,
            member: Member::new(),
            life: Life::Dead,
            link: true,
            waiting: VecDeque::new(),
            sessions: BTreeMap::new(),
            lease: Duration::ZERO,
        }
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// `None` unless it runs.
    pub(super) fn role(&self) -> Option<Role> {
        let group = self.member.groups().next();
        (self.life == Life::Runs).then(|| group.map(|group| group.role()))?
    }

    /// When it next does something by itself.
    pub(super) fn wakes_at(&self, now: Duration) -> Option<Duration> {
        let local = self.clock.read(now);
        let deadline = (self.life == Life::Runs).then(|| self.member.next_deadline(local))?;
        deadline.map(|local| self.clock.reaches(local))
    }

    pub(super) fn tick(&mut self, now: Duration) -> Vec<Deed> {
        self.handle(Input::Tick { is_drained: true }, now)
    }

    pub(super) fn set_link(&mut self, is_up: bool, now: Duration) -> Vec<Deed> {
        self.link = is_up;
        let state = self.interface();
        self.handle(Input::Interface { name: "eth0", state }, now)
    }

    fn interface(&self) -> Interface {
        Interface {
            up: self.link,
            v4: Some(self.address),
            v6: None,
        }
    }

    /// Does something with the member, and what that calls for.
    pub(super) fn order(&mut self, now: Duration, order: impl FnOnce(&mut Member, Duration)) -> Vec<Deed> {
        if self.life != Life::Runs {
            return Vec::new();
        }
        let local = self.clock.read(now);
        order(&mut self.member, local);
        self.act(local)
    }

    fn handle(&mut self, input: Input<'_>, now: Duration) -> Vec<Deed> {
        self.order(now, |member, local| member.handle(input, local))
    }

    pub(super) fn receive(&mut self, message: Message, now: Duration) -> Vec<Deed> {
        match self.life {
            Life::Runs => {
                let mut deeds = self.take_in(&message, now);
                deeds.extend(self.tick(now));
                deeds
            }
            Life::Sleeps => {
                if self.waiting.len() < SOCKET {
                    self.waiting.push_back(message);
                }
                Vec::new()
            }
            Life::Dead => Vec::new(),
        }
    }

    fn take_in(&mut self, message: &Message, now: Duration) -> Vec<Deed> {
        if message.network == 0 {
            let endpoints = Endpoints::V4 {
                source: message.source,
                destination: GROUP_V4,
            };
            let packet = Packet {
                message: &message.bytes,
                endpoints,
                hop_limit: HOP_LIMIT,
            };
            return if self.link {
                self.handle(
                    Input::Packet {
                        interface: "eth0",
                        packet,
                    },
                    now,
                )
            } else {
                Vec::new()
            };
        }
        let heartbeat = Heartbeat::parse(&message.bytes).expect("a member wrote it");
        // The first word of a life is not proven yet.
        let known = self.sessions.insert(message.sender, message.epoch);
        let standing = match known {
            Some(epoch) if epoch == message.epoch => Standing::Proven,
            Some(epoch) if epoch > message.epoch => {
                self.sessions.insert(message.sender, epoch);
                Standing::Stale
            }
            Some(_) | None => Standing::Claimed,
        };
        let input = Input::Heartbeat {
            path: message.network - 1,
            sender: message.sender,
            standing,
            heartbeat: &heartbeat,
        };
        self.handle(input, now)
    }

    pub(super) fn live(&mut self, life: Life, now: Duration) -> Vec<Deed> {
        let before = std::mem::replace(&mut self.life, life);
        match (before, life) {
            (Life::Sleeps, Life::Runs) => {
                let mut deeds = Vec::new();
                for message in std::mem::take(&mut self.waiting) {
                    deeds.extend(self.take_in(&message, now));
                }
                deeds.extend(self.tick(now));
                deeds
            }
            (Life::Dead, Life::Runs) => self.start(now),
            // Only what is alive can fall asleep.
            (Life::Dead, Life::Sleeps) => {
                self.life = Life::Dead;
                Vec::new()
            }
            (Life::Runs | Life::Sleeps, Life::Dead) => {
                self.waiting.clear();
                Vec::new()
            }
            (Life::Runs, Life::Runs | Life::Sleeps)
            | (Life::Sleeps, Life::Sleeps)
            | (Life::Dead, Life::Dead) => Vec::new(),
        }
    }

    fn start(&mut self, now: Duration) -> Vec<Deed> {
        self.member = Member::new();
        self.sessions.clear();
        self.settings.epoch += 1;
        self.lease = Duration::ZERO;
        let settings = self.settings.clone();
        let mut deeds = self.handle(Input::Cluster(Some(&settings)), now);
        let instances = [self.instance.clone()];
        deeds.extend(self.handle(Input::Configured(&instances), now));
        for path in 0..settings.paths.len() {
            deeds.extend(self.handle(Input::Path { path, is_up: true }, now));
        }
        deeds.extend(self.set_link(self.link, now));
        deeds
    }

    fn act(&mut self, local: Duration) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while let Some(output) = self.member.poll_output() {
            match output {
                Output::Advertise { wire, priority } => {
                    let endpoints = Endpoints::V4 {
                        source: self.address,
                        destination: GROUP_V4,
                    };
                    let mut buffer = [0; MAX_ADVERTISEMENT];
                    let message = self.member.advertisement(wire, priority, &endpoints, &mut buffer);
                    let bytes = message.expect("one VIP of the same family").to_vec();
                    if self.link {
                        deeds.push(Deed::Sent(self.message(0, bytes)));
                    }
                }
                Output::Beat { path } => {
                    let mut bytes = vec![0; MAX_LENGTH];
                    let greeting = Greeting::new(1);
                    let length = self.member.heartbeat(path, &greeting, local, &mut bytes);
                    bytes.truncate(length.expect("there is such a path"));
                    deeds.push(Deed::Sent(self.message(path + 1, bytes)));
                }
                Output::Lease { until, .. } => self.lease = until,
                Output::Announce { .. } | Output::Hold | Output::Run(_) => {}
                Output::Report(Event::Changed(change)) => deeds.push(Deed::Changed(change)),
                Output::Report(_) => {}
            }
        }
        let is_active = self.role() == Some(Role::Active);
        assert_eq!(is_active, !self.member.holdings().is_empty(), "{}", self.name);
        assert_eq!(is_active, self.lease > local, "{}: lease", self.name);
        deeds
    }

    fn message(&self, network: usize, bytes: Vec<u8>) -> Message {
        Message {
            network,
            sender: self.settings.node,
            epoch: self.settings.epoch,
            source: self.address,
            bytes,
        }
    }
}
