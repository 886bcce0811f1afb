//! How services of IPVS treat their connections, and what that becomes.

use std::{net::Ipv4Addr, time::Duration};

use super::{document::Table, report::Outcome};
use crate::{
    config::duration::Time,
    core::{
        model::{Frontend, Protocol},
        timeouts::Timeouts,
    },
};

/// Whether clients keep their real server, and datagrams are on their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Connections {
    /// How long a client keeps its real server.
    timeout: Option<Duration>,
    prefix_v4: Option<u8>,
    prefix_v6: Option<u8>,
    one_packet: bool,
}

impl Connections {
    /// Takes the time that a client keeps its real server, in seconds; `usual` of them where none is given.
    pub(super) fn persistent(&mut self, seconds: &str, usual: u64) -> Outcome {
        let (seconds, known) = match seconds.parse() {
            Ok(seconds) => (seconds, true),
            Err(_) => (usual, seconds.is_empty()),
        };
        let wanted = Duration::from_secs(seconds);
        let timeout = wanted.clamp(Timeouts::SHORTEST, Timeouts::LONGEST);
        self.timeout = Some(timeout);
        if known && timeout == wanted {
            Outcome::translated("`persistence`; a backend that takes no new connections keeps no clients")
        } else {
            Outcome::approximated(format!("persistence of {}", Time(timeout)))
        }
    }

    /// Takes the mask by which clients are one: dotted, or the length of a prefix of IPv6.
    pub(super) fn mask(&mut self, text: &str) -> Outcome {
        if let Ok(length) = text.parse::<u8>()
            && length <= 128
        {
            self.prefix_v6 = Some(length);
            return Outcome::translated("`prefix_v6` of `persistence`");
        }
        match text.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits) {
            Ok(mask) if mask.leading_ones() + mask.trailing_zeros() == u32::BITS || mask == 0 => {
                self.prefix_v4 = Some(mask.leading_ones() as u8);
                Outcome::translated("`prefix_v4` of `persistence`")
            }
            _ => Outcome::missing("not a mask whose ones come first: each client is one by itself"),
        }
    }

    /// Takes note that each datagram is scheduled by itself.
    pub(super) fn one_packet(&mut self) -> Outcome {
        self.one_packet = true;
        Outcome::translated("`one_packet`, for UDP")
    }

    /// Sets the keys that differ from what a service at these frontends has without them.
    pub(super) fn write(&self, frontends: &[Frontend], table: &mut Table) {
        if let Some(timeout) = self.timeout {
            let mut persistence = toml::Table::new();
            persistence.insert("timeout".to_owned(), Time(timeout).to_string().into());
            for (key, length) in [("prefix_v4", self.prefix_v4), ("prefix_v6", self.prefix_v6)] {
                if let Some(length) = length {
                    persistence.insert(key.to_owned(), i64::from(length).into());
                }
            }
            table.set("persistence", persistence);
        }
        if self.one_packet
            && frontends
                .iter()
                .any(|frontend| frontend.protocol == Protocol::Udp)
        {
            table.set("one_packet", true);
        }
    }
}
