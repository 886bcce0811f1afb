//! From a service's forwarding method and what the kernel knows of a backend's address: how packets get there.

use std::{collections::BTreeSet, net::IpAddr};

use lb_common::abi::{self, Link, Server, Tunnel, Way};

use super::{
    model::{Encapsulation, Forward},
    neighbour::{Egress, NextHop, Unresolved},
};

/// Smallest packet that must fit into a tunnel: every link must carry as much of IPv6 (RFC 8200 section 5).
const LEAST_INSIDE: u32 = 1280;

/// Why packets cannot be sent to a backend; the text is a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// The kernel knows no way.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The tunnel would have no source.
    #[error(
        "no source address: {interface} has no address of the backend's family that tunnel packets could come from"
    )]
    NoSource {
        /// Name of the interface.
        interface: String,
    },
    /// The tunnel's source would move away with the VIP.
    #[error(
        "the source address would be the VIP {vip}: give {interface} an address of its own that is no VIP"
    )]
    SourceIsVip {
        /// The VIP.
        vip: IpAddr,
        /// Name of the interface.
        interface: String,
    },
    /// The tunnel's headers leave too little room.
    #[error(
        "MTU too small: {interface} has {mtu} bytes, and the tunnel needs {needed} to carry packets of {LEAST_INSIDE}"
    )]
    Narrow {
        /// Name of the interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// What it would take.
        needed: u32,
    },
}

impl From<Encapsulation> for abi::Encapsulation {
    fn from(encapsulation: Encapsulation) -> Self {
        match encapsulation {
            Encapsulation::Ipip => Self::Ipip,
            Encapsulation::Gue { port, checksum } => Self::Gue { port, checksum },
            Encapsulation::Gre { checksum } => Self::Gre { checksum },
        }
    }
}

impl From<abi::Encapsulation> for Encapsulation {
    fn from(encapsulation: abi::Encapsulation) -> Self {
        match encapsulation {
            abi::Encapsulation::Ipip => Self::Ipip,
            abi::Encapsulation::Gue { port, checksum } => Self::Gue { port, checksum },
            abi::Encapsulation::Gre { checksum } => Self::Gre { checksum },
        }
    }
}

/// The method by which packets go such a way; `None` for one that needs none.
#[must_use]
pub fn method_of(way: &Way) -> Option<Forward> {
    match way {
        Way::Direct(_) => Some(Forward::Dr),
        Way::Tunnel(_, tunnel) => Some(Forward::Tunnel(tunnel.encapsulation.into())),
        Way::Translated(_, server) if server.pool => Some(Forward::FullNat),
        Way::Translated(..) => Some(Forward::Nat),
        Way::Local => None,
    }
}

/// The next hop of such a way; `None` for one that has none.
#[must_use]
pub const fn link_of(way: &Way) -> Option<&Link> {
    match way {
        Way::Direct(link) | Way::Tunnel(link, _) | Way::Translated(link, _) => Some(link),
        Way::Local => None,
    }
}

/// How packets get to `backend`, where they are translated at this `port`; none may come from any of the `vips`.
///
/// # Errors
/// Why they cannot.
pub fn way(
    forward: Forward,
    backend: IpAddr,
    port: Option<u16>,
    egress: &Egress,
    vips: &BTreeSet<IpAddr>,
) -> Result<Way, NoWay> {
    if *egress == Egress::Unresolved(Unresolved::Local) {
        return Ok(Way::Local);
    }
    match forward {
        Forward::Dr => Ok(Way::Direct(link(egress.on_link(backend)?))),
        Forward::Tunnel(encapsulation) => {
            let hop = egress.hop()?;
            tunnel(encapsulation, backend, hop, vips).map(|tunnel| Way::Tunnel(link(hop), tunnel))
        }
        Forward::Nat | Forward::FullNat => {
            let hop = egress.hop()?;
            let server = Server {
                port,
                mtu: u16::try_from(hop.mtu).unwrap_or(u16::MAX),
                pool: forward == Forward::FullNat,
            };
            Ok(Way::Translated(link(hop), server))
        }
    }
}

const fn link(hop: &NextHop) -> Link {
    Link {
        destination: hop.dest_mac.0,
        source: hop.source_mac.0,
        ifindex: hop.ifindex,
    }
}

fn tunnel(
    encapsulation: Encapsulation,
    backend: IpAddr,
    hop: &NextHop,
    vips: &BTreeSet<IpAddr>,
) -> Result<Tunnel, NoWay> {
    let interface = || hop.ifname.clone();
    let source = hop
        .source
        .filter(|source| source.is_ipv4() == backend.is_ipv4())
        .ok_or_else(|| NoWay::NoSource {
            interface: interface(),
        })?;
    if vips.contains(&source) {
        return Err(NoWay::SourceIsVip {
            vip: source,
            interface: interface(),
        });
    }
    let tunnel = Tunnel {
        encapsulation: encapsulation.into(),
        source,
        mtu: u16::try_from(hop.mtu).unwrap_or(u16::MAX),
    };
    let needed = LEAST_INSIDE + u32::from(tunnel.overhead());
    if hop.mtu < needed {
        return Err(NoWay::Narrow {
            interface: interface(),
            mtu: hop.mtu,
            needed,
        });
    }
    Ok(tunnel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::neighbour::Mac;

    const BACKEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 11));
    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn hop() -> NextHop {
        NextHop {
            ifindex: 3,
            ifname: "eth0".into(),
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            dest_mac: Mac([2, 0, 0, 0, 0, 2]),
            via: BACKEND,
            source: Some(OWN),
            mtu: 1500,
        }
    }

    fn by(forward: Forward, hop: NextHop) -> Result<Way, NoWay> {
        way(forward, BACKEND, None, &Egress::Resolved(hop), &BTreeSet::new())
    }

    const IPIP: Forward = Forward::Tunnel(Encapsulation::Ipip);
    const GUE: Forward = Forward::Tunnel(Encapsulation::Gue {
        port: 6080,
        checksum: true,
    });

    #[test]
    fn a_backend_on_the_link_is_reached_by_every_method() {
        let link = link(&hop());
        assert_eq!(by(Forward::Dr, hop()), Ok(Way::Direct(link)));
        let tunnel = |encapsulation| Tunnel {
            encapsulation,
            source: OWN,
            mtu: 1500,
        };
        assert_eq!(
            by(IPIP, hop()),
            Ok(Way::Tunnel(link, tunnel(abi::Encapsulation::Ipip)))
        );
        let gue = abi::Encapsulation::Gue {
            port: 6080,
            checksum: true,
        };
        assert_eq!(by(GUE, hop()), Ok(Way::Tunnel(link, tunnel(gue))));
        let server = |pool| Server {
            port: None,
            mtu: 1500,
            pool,
        };
        assert_eq!(by(Forward::Nat, hop()), Ok(Way::Translated(link, server(false))));
        assert_eq!(
            by(Forward::FullNat, hop()),
            Ok(Way::Translated(link, server(true)))
        );
        for forward in [Forward::Dr, IPIP, GUE, Forward::Nat, Forward::FullNat] {
            assert_eq!(method_of(&by(forward, hop()).unwrap()), Some(forward));
        }
    }

    #[test]
    fn only_a_tunnel_leads_through_a_gateway() {
        let routed = NextHop {
            via: "10.0.0.1".parse().unwrap(),
            ..hop()
        };
        assert!(matches!(
            by(Forward::Dr, routed.clone()),
            Err(NoWay::Unresolved(Unresolved::NotOnLink { .. }))
        ));
        assert!(matches!(by(IPIP, routed), Ok(Way::Tunnel(..))));
    }

    #[test]
    fn what_a_tunnel_needs_is_named_where_it_is_missing() {
        let source = |source| NextHop { source, ..hop() };
        assert!(matches!(by(IPIP, source(None)), Err(NoWay::NoSource { .. })));
        let other = Some("2001:db8::2".parse().unwrap());
        assert!(matches!(by(IPIP, source(other)), Err(NoWay::NoSource { .. })));
        let narrow = |mtu| NextHop { mtu, ..hop() };
        assert!(by(IPIP, narrow(1300)).is_ok());
        assert!(matches!(
            by(IPIP, narrow(1299)),
            Err(NoWay::Narrow { needed: 1300, .. })
        ));
        assert!(matches!(
            by(GUE, narrow(1300)),
            Err(NoWay::Narrow { needed: 1312, .. })
        ));
        assert!(by(Forward::Dr, narrow(68)).is_ok());
        let vips = BTreeSet::from([OWN]);
        let egress = Egress::Resolved(hop());
        assert!(matches!(
            way(IPIP, BACKEND, None, &egress, &vips),
            Err(NoWay::SourceIsVip { .. })
        ));
    }

    #[test]
    fn this_machine_serves_itself_by_every_method() {
        let here = Egress::Unresolved(Unresolved::Local);
        for forward in [Forward::Dr, IPIP, GUE, Forward::Nat] {
            assert_eq!(
                way(forward, BACKEND, None, &here, &BTreeSet::new()),
                Ok(Way::Local)
            );
        }
        assert_eq!(method_of(&Way::Local), None);
    }
}
