//! Heartbeat paths as the HA thread uses them: sockets, and the seal on what goes through them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use lb_common::wire::{
    heartbeat::{Heartbeat, MAX_LENGTH},
    seal::HEADER,
};

use super::clock;
use crate::{
    core::{
        ha::{Input, Member},
        model::{self, Medium},
        seal::{Channel, Counters, Keyring, Opener, Sealer, Session},
    },
    net::heartbeat::{HeartbeatLink, MAX_DATAGRAM},
};

/// A path.
#[derive(Debug)]
pub(super) struct PathPort {
    pub(super) settings: model::Heartbeat,
    pub(super) link: Option<HeartbeatLink>,
    /// What the member was told.
    told_up: bool,
    /// How often something could not be sent or received.
    pub(super) errors: u64,
    /// What it was the last time.
    pub(super) last_error: Option<String>,
    /// What came and was no heartbeat, though its seal was good.
    pub(super) malformed: u64,
}

/// The seal on all paths.
#[derive(Debug)]
struct Seal {
    sealer: Sealer,
    opener: Opener,
}

/// All paths, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) ports: Vec<PathPort>,
    /// What has to be closed and opened anew.
    broken: Vec<(model::Heartbeat, HeartbeatLink)>,
    seal: Option<Seal>,
}

impl Paths {
    /// Seals with this keyring from now on; `epoch` is this director's life. Sockets of paths that are gone or changed are
    /// returned, to be closed by somebody who has time.
    pub(super) fn configure(
        &mut self,
        cluster: Option<(Arc<Keyring>, u64)>,
        paths: &[model::Heartbeat],
    ) -> Vec<HeartbeatLink> {
        match (cluster, &mut self.seal) {
            (None, _) => self.seal = None,
            (Some((keyring, _)), Some(seal)) => {
                seal.sealer.set_keyring(Arc::clone(&keyring));
                seal.opener.set_keyring(keyring);
            }
            (Some((keyring, epoch)), None) => {
                let session = Session {
                    epoch,
                    salt: rand::random(),
                };
                let channel = Channel::Heartbeat;
                self.seal = Some(Seal {
                    sealer: Sealer::new(Arc::clone(&keyring), channel, session),
                    opener: Opener::new(keyring, channel, session, &rand::random()),
                });
            }
        }
        let mut before = std::mem::take(&mut self.ports);
        for settings in paths {
            let known = before.iter().position(|port| port.settings == *settings);
            self.ports.push(match known {
                Some(at) => before.swap_remove(at),
                None => PathPort {
                    settings: settings.clone(),
                    link: None,
                    told_up: false,
                    errors: 0,
                    last_error: None,
                    malformed: 0,
                },
            });
        }
        before.into_iter().filter_map(|port| port.link).collect()
    }

    /// Has another socket, or none, for a path; the one that serves no more is returned.
    pub(super) fn set(
        &mut self,
        settings: &model::Heartbeat,
        link: Option<HeartbeatLink>,
    ) -> Option<HeartbeatLink> {
        match self.ports.iter_mut().find(|port| port.settings == *settings) {
            Some(port) => std::mem::replace(&mut port.link, link),
            None => link,
        }
    }

    /// Paths that can carry heartbeats now, or cannot any more: number, whether they can.
    pub(super) fn look(&mut self, has_carrier: impl Fn(&str) -> bool) -> Vec<(usize, bool)> {
        let changes = self.ports.iter_mut().enumerate().filter_map(|(number, port)| {
            let has_carrier = match &port.settings.medium {
                Medium::Network(network) => has_carrier(&network.interface),
                // Whoever is at the other end says so, or does not.
                Medium::Serial { .. } => true,
            };
            let is_up = port.link.is_some() && has_carrier;
            (std::mem::replace(&mut port.told_up, is_up) != is_up).then_some((number, is_up))
        });
        changes.collect()
    }

    /// What has to be closed and opened anew.
    pub(super) fn broken(&mut self) -> Vec<(model::Heartbeat, HeartbeatLink)> {
        std::mem::take(&mut self.broken)
    }

    /// What becomes readable when heartbeats arrive.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ports
            .iter()
            .filter_map(|port| Some(port.link.as_ref()?.as_fd()))
    }

    /// What was opened and refused.
    pub(super) fn counters(&self) -> Option<&Counters> {
        Some(self.seal.as_ref()?.opener.counters())
    }

    /// Sends what the member has to say over a path.
    pub(super) fn send(&mut self, number: usize, member: &mut Member) {
        let Some(seal) = &mut self.seal else { return };
        let mut datagram = vec![0; HEADER + MAX_LENGTH];
        let greeting = seal.opener.greeting();
        let length = member.heartbeat(number, &greeting, clock::now(), &mut datagram[HEADER..]);
        let Some((port, length)) = self.ports.get_mut(number).zip(length) else {
            return;
        };
        datagram.truncate(HEADER + length);
        seal.sealer.seal(&mut datagram);
        if let Some(link) = &mut port.link
            && let Err(error) = link.send(&datagram)
        {
            port.note("send", &error);
        }
    }

    /// Has the member hear what arrived on a path, `most` datagrams at most; whether that is all.
    pub(super) fn receive(&mut self, number: usize, most: usize, member: &mut Member) -> bool {
        let (Some(seal), Some(port)) = (&mut self.seal, self.ports.get_mut(number)) else {
            return true;
        };
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..most {
            let Some(link) = &mut port.link else { return true };
            let datagram = match link.next(&mut buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return true,
                Err(error) => {
                    // It would be ready to be read for ever.
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        self.broken
                            .extend(port.link.take().map(|link| (port.settings.clone(), link)));
                    }
                    port.note("receive", &error);
                    return true;
                }
            };
            let now = clock::now();
            // Counted by reason.
            let Ok(opened) = seal.opener.open(datagram, now) else {
                continue;
            };
            let Ok(heartbeat) = Heartbeat::parse(opened.payload) else {
                port.malformed += 1;
                continue;
            };
            let standing = seal.opener.greeted(&opened.origin, &heartbeat.greeting);
            let input = Input::Heartbeat {
                path: number,
                sender: opened.origin.sender,
                standing,
                heartbeat: &heartbeat,
            };
            member.handle(input, now);
        }
        false
    }
}

impl PathPort {
    fn note(&mut self, doing: &str, error: &io::Error) {
        self.errors += 1;
        self.last_error = Some(format!("cannot {doing}: {error}"));
    }
}
