//! Packets that are not addressed to a VIP, and concern us all the same.

use super::AddressSet;
use crate::flow_table::Word;

/// What to look for among packets whose destination is no VIP.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Strangers {
    /// Zero where there is nothing to look for: all that most packets ask.
    wanted: Word,
    reserved: [Word; 7],
    /// Addresses of this machine from which tunnels come: routers tell them of packets that were too long.
    pub tunnel_sources: AddressSet,
    /// Backends whose replies come back through the director to be translated.
    pub translated: AddressSet,
}

const _: () = assert!(size_of::<Strangers>() == 64 + 2 * size_of::<AddressSet>());

/// Errors about tunnels are to be looked for.
const TUNNELS: u64 = 1;
/// Replies to translated flows are to be looked for.
const TRANSLATIONS: u64 = 2;

impl Strangers {
    /// Whether there is anything to look for.
    #[inline(always)]
    #[must_use]
    pub fn any(&self) -> bool {
        self.wanted.load() != 0
    }

    /// Whether errors about tunnels are to be looked for.
    #[inline(always)]
    #[must_use]
    pub fn tunnels(&self) -> bool {
        self.wanted.load() & TUNNELS != 0
    }

    /// Whether replies to translated flows are to be looked for, and errors about them.
    #[inline(always)]
    #[must_use]
    pub fn translations(&self) -> bool {
        self.wanted.load() & TRANSLATIONS != 0
    }

    /// Looks for replies of these backends, where there are any; by the daemon alone.
    #[cfg(not(target_arch = "bpf"))]
    pub fn set_translated(&self, backends: impl IntoIterator<Item = core::net::IpAddr>) {
        let mut backends = backends.into_iter().peekable();
        let wanted = self.wanted.load() & !TRANSLATIONS;
        let translations = if backends.peek().is_some() {
            TRANSLATIONS
        } else {
            0
        };
        self.translated.replace(backends);
        self.wanted.publish(wanted | translations);
    }

    /// Looks for errors to these addresses, where there are any; by the daemon alone.
    #[cfg(not(target_arch = "bpf"))]
    pub fn set_tunnel_sources(&self, sources: impl IntoIterator<Item = core::net::IpAddr>) {
        let mut sources = sources.into_iter().peekable();
        let wanted = self.wanted.load() & !TUNNELS;
        let tunnels = if sources.peek().is_some() { TUNNELS } else { 0 };
        self.tunnel_sources.replace(sources);
        self.wanted.publish(wanted | tunnels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    #[test]
    fn without_tunnels_there_is_nothing_to_look_for() {
        let strangers = Strangers::default();
        assert!(!strangers.any() && !strangers.tunnels());
        let source: IpAddr = "192.0.2.2".parse().unwrap();
        strangers.set_tunnel_sources([source]);
        assert!(strangers.any() && strangers.tunnels());
        let raw = u32::from_ne_bytes([192, 0, 2, 2]);
        assert!(strangers.tunnel_sources.may_hold4(raw));
        strangers.set_translated([source]);
        assert!(strangers.translations() && strangers.translated.may_hold4(raw));
        strangers.set_tunnel_sources([]);
        assert!(strangers.any() && !strangers.tunnels() && strangers.translations());
        strangers.set_translated([]);
        assert!(!strangers.any() && !strangers.tunnel_sources.may_hold4(raw));
    }
}
