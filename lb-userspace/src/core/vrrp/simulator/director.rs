//! One director: a virtual router with a clock of its own, which can stop, sleep and die.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use lb_common::wire::vrrp::{Endpoints, GROUP_V4, HOP_LIMIT, MAX_LENGTH};

use crate::core::vrrp::{Event, Output, Role, Settings, Transition, VirtualRouter};

/// What a socket holds for a director that sleeps; more is lost.
const SOCKET: usize = 64;

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

/// What a director did.
#[derive(Debug)]
pub(super) enum Deed {
    Sent { message: Vec<u8>, source: Ipv4Addr },
    Changed(Transition),
}

#[derive(Debug)]
pub(super) struct Director {
    settings: Settings,
    clock: Clock,
    router: VirtualRouter,
    life: Life,
    waiting: VecDeque<(Vec<u8>, Ipv4Addr)>,
    /// Whether the VIPs are on its interface; a dead one leaves them there.
    holds: bool,
}

impl Director {
    pub(super) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            router: VirtualRouter::new(settings.clone()),
            settings,
            clock,
            life: Life::Runs,
            waiting: VecDeque::new(),
            holds: false,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `None` unless it runs.
    pub(super) fn role(&self) -> Option<Role> {
        (self.life == Life::Runs).then(|| self.router.role())
    }

    /// When it next does something by itself.
    pub(super) fn wakes_at(&self) -> Option<Duration> {
        let deadline = (self.life == Life::Runs).then(|| self.router.next_deadline())?;
        deadline.map(|local| self.clock.reaches(local))
    }

    pub(super) fn handle(&mut self, event: Event, now: Duration) -> Vec<Deed> {
        if self.life != Life::Runs {
            return Vec::new();
        }
        self.router.handle(event, self.clock.read(now));
        self.act()
    }

    pub(super) fn receive(&mut self, message: Vec<u8>, source: Ipv4Addr, now: Duration) -> Vec<Deed> {
        match self.life {
            Life::Runs => {
                let destination = GROUP_V4;
                let endpoints = Endpoints::V4 { source, destination };
                let standing = self.router.standing(source.into());
                self.router
                    .receive(&message, &endpoints, HOP_LIMIT, standing, self.clock.read(now));
                self.act()
            }
            Life::Sleeps => {
                if self.waiting.len() < SOCKET {
                    self.waiting.push_back((message, source));
                }
                Vec::new()
            }
            Life::Dead => Vec::new(),
        }
    }

    pub(super) fn live(&mut self, life: Life, now: Duration) -> Vec<Deed> {
        let before = std::mem::replace(&mut self.life, life);
        match (before, life) {
            (Life::Sleeps, Life::Runs) => {
                let mut deeds = Vec::new();
                for (message, source) in std::mem::take(&mut self.waiting) {
                    deeds.extend(self.receive(message, source, now));
                }
                deeds.extend(self.handle(Event::Tick, now));
                deeds
            }
            (Life::Dead, Life::Runs) => {
                self.router = VirtualRouter::new(self.settings.clone());
                // VIPs that an earlier life left behind are removed at start.
                self.holds = false;
                self.handle(Event::Start, now)
            }
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

    fn act(&mut self) -> Vec<Deed> {
        let IpAddr::V4(source) = self.settings.primary else {
            unreachable!("the simulated link speaks IPv4")
        };
        let endpoints = Endpoints::V4 {
            source,
            destination: GROUP_V4,
        };
        let mut deeds = Vec::new();
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Advertise { priority } => {
                    let mut buffer = [0; MAX_LENGTH];
                    let message = self.router.write(priority, &endpoints, &mut buffer);
                    let message = message.expect("one VIP of the same family").to_vec();
                    deeds.push(Deed::Sent { message, source });
                }
                Output::Acquire => {
                    assert!(!self.holds, "{source} acquires what it holds");
                    self.holds = true;
                }
                Output::Release => {
                    assert!(self.holds, "{source} releases what it does not hold");
                    self.holds = false;
                }
                Output::Announce => assert!(self.holds, "{source} announces what it does not hold"),
                Output::Changed(transition) => deeds.push(Deed::Changed(transition)),
            }
        }
        assert_eq!(self.holds, self.router.role() == Role::Active, "{source}");
        deeds
    }
}
