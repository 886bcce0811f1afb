//! From rtnetlink messages to what `core::neighbour` understands, and the requests it wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
        NeighbourState,
    },
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
};

use crate::core::neighbour::{Input, Link, Mac, Neighbour, Nud, Prefix, ProbeKind, Route};

/// What a multicast message tells the state machine; `None` where it is of no interest.
pub(super) fn input(message: &RouteNetlinkMessage) -> Option<Input> {
    match message {
        RouteNetlinkMessage::NewLink(message) => link(message).map(Input::Link),
        RouteNetlinkMessage::DelLink(message) => link(message).map(|link| Input::LinkDeleted {
            ifindex: link.ifindex,
        }),
        RouteNetlinkMessage::NewNeighbour(message) => neighbour(message).map(Input::Neighbour),
        RouteNetlinkMessage::DelNeighbour(message) => {
            neighbour(message).map(|entry| Input::NeighbourDeleted {
                ip: entry.ip,
                ifindex: entry.ifindex,
            })
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            prefix(message).map(|prefix| Input::RoutesChanged(Some(prefix)))
        }
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            whole_family(message.header.family).map(|prefix| Input::RoutesChanged(Some(prefix)))
        }
        RouteNetlinkMessage::NewRule(message) | RouteNetlinkMessage::DelRule(message) => {
            whole_family(message.header.family).map(|prefix| Input::RoutesChanged(Some(prefix)))
        }
        _ => None,
    }
}

/// An interface. Messages of other families tell of its role in a bridge: their deletion is not the interface's.
pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut name = None;
    let mut mtu = 0;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::Address(bytes) if message.header.link_layer_type == LinkLayerType::Ether => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            _ => {}
        }
    }
    Some(Link {
        ifindex: message.header.index,
        name: name?,
        mac,
        mtu,
        up: message.header.flags.contains(LinkFlags::Up | LinkFlags::Running),
    })
}

/// A neighbour entry for IPv4 or IPv6; not a bridge's forwarding entry, not a proxy entry.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    if message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let mut ip = None;
    let mut mac = None;
    let mut kept = message.header.flags.contains(NeighbourFlags::ExtLearned);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::ExtFlags(flags) => kept |= flags.contains(NeighbourExtFlags::Managed),
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => ip = Some((*address).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => ip = Some((*address).into()),
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            _ => {}
        }
    }
    let nud = match message.header.state {
        NeighbourState::None => Nud::None,
        NeighbourState::Incomplete => Nud::Incomplete,
        NeighbourState::Reachable => Nud::Reachable,
        NeighbourState::Stale => Nud::Stale,
        NeighbourState::Delay => Nud::Delay,
        NeighbourState::Probe => Nud::Probe,
        NeighbourState::Failed => Nud::Failed,
        NeighbourState::Noarp => Nud::NoArp,
        NeighbourState::Permanent => Nud::Permanent,
        _ => return None,
    };
    Some(Neighbour {
        ip: ip?,
        ifindex: message.header.ifindex,
        nud,
        mac,
        kept,
    })
}

/// What the answer to [`route_request`] says.
pub(super) fn route(message: &RouteMessage) -> Route {
    let mut oif = None;
    let mut gateway = None;
    let mut source = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(ifindex) => oif = Some(*ifindex),
            RouteAttribute::Gateway(address) => gateway = ip_address(address),
            RouteAttribute::PrefSource(address) => source = ip_address(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some((*address).into()),
            _ => {}
        }
    }
    match (message.header.kind, oif) {
        (RouteType::Unicast, Some(ifindex)) => Route::Via {
            ifindex,
            gateway,
            source,
        },
        (RouteType::Local, _) => Route::Local,
        (RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast, _) => Route::NotUnicast,
        _ => Route::None,
    }
}

pub(super) fn ip_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn prefix(message: &RouteMessage) -> Option<Prefix> {
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip_address(address),
        _ => None,
    });
    match destination {
        Some(address) => Some(Prefix {
            address,
            length: message.header.destination_prefix_length,
        }),
        None => whole_family(message.header.address_family),
    }
}

fn whole_family(family: AddressFamily) -> Option<Prefix> {
    match family {
        AddressFamily::Inet => Some(Prefix {
            address: Ipv4Addr::UNSPECIFIED.into(),
            length: 0,
        }),
        AddressFamily::Inet6 => Some(Prefix {
            address: Ipv6Addr::UNSPECIFIED.into(),
            length: 0,
        }),
        _ => None,
    }
}

pub(super) const fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

pub(super) const fn bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// RTM_GETROUTE: which way a packet to `ip` would go.
pub(super) fn route_request(ip: IpAddr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(ip);
    message.header.destination_prefix_length = bits(ip);
    message.attributes.push(RouteAttribute::Destination(ip.into()));
    RouteNetlinkMessage::GetRoute(message)
}

/// RTM_GETNEIGH: one entry (kernel 5.0).
pub(super) fn neighbour_request(ip: IpAddr, ifindex: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetNeighbour(neighbour_message(ip, ifindex))
}

/// RTM_NEWNEIGH that makes the kernel ask.
pub(super) fn probe_request(ip: IpAddr, ifindex: u32, kind: ProbeKind) -> RouteNetlinkMessage {
    let mut message = neighbour_message(ip, ifindex);
    match kind {
        ProbeKind::Resolve => message.header.flags = NeighbourFlags::Use,
        ProbeKind::Confirm => message.header.state = NeighbourState::Probe,
    }
    RouteNetlinkMessage::NewNeighbour(message)
}

fn neighbour_message(ip: IpAddr, ifindex: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(ip);
    message.header.ifindex = ifindex;
    message.attributes.push(NeighbourAttribute::Destination(match ip {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    }));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link_message(family: AddressFamily, flags: LinkFlags) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = flags;
        message.attributes = vec![
            LinkAttribute::IfName("eth0".into()),
            LinkAttribute::Mtu(9000),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        ];
        message
    }

    #[test]
    fn a_link_is_up_with_a_carrier_only() {
        for (flags, up) in [
            (LinkFlags::Up | LinkFlags::Running, true),
            (LinkFlags::Up, false),
            (LinkFlags::Running, false),
            (LinkFlags::empty(), false),
        ] {
            let link = link(&link_message(AddressFamily::Unspec, flags)).expect("an interface");
            let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
            assert_eq!(
                link,
                Link {
                    ifindex: 7,
                    name: "eth0".into(),
                    mac,
                    mtu: 9000,
                    up
                }
            );
        }
    }

    #[test]
    fn leaving_a_bridge_is_not_leaving_the_machine() {
        let deleted = |family| input(&RouteNetlinkMessage::DelLink(link_message(family, LinkFlags::Up)));
        assert_eq!(deleted(AddressFamily::Bridge), None);
        assert_eq!(
            deleted(AddressFamily::Unspec),
            Some(Input::LinkDeleted { ifindex: 7 })
        );
    }

    #[test]
    fn neighbours_of_bridges_and_proxies_are_none() {
        let ip = IpAddr::from([10, 0, 0, 1]);
        let mut message = neighbour_message(ip, 7);
        message.header.state = NeighbourState::Reachable;
        assert_eq!(
            neighbour(&message),
            Some(Neighbour {
                ip,
                ifindex: 7,
                nud: Nud::Reachable,
                mac: None,
                kept: false
            })
        );
        message.header.flags = NeighbourFlags::Proxy;
        assert_eq!(neighbour(&message), None);
        message.header.flags = NeighbourFlags::empty();
        message.attributes = vec![NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1])];
        assert_eq!(neighbour(&message), None, "an address of a bridge has no IP");
    }

    #[test]
    fn a_lladdr_of_another_length_is_no_mac() {
        let mut message = neighbour_message(IpAddr::from([10, 0, 0, 1]), 7);
        message.header.state = NeighbourState::Reachable;
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(vec![0; 20]));
        assert_eq!(neighbour(&message).expect("an entry").mac, None);
    }

    #[test]
    fn routes_say_where_to() {
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        assert_eq!(route(&message), Route::None, "without an interface");
        message.attributes.push(RouteAttribute::Oif(3));
        assert_eq!(
            route(&message),
            Route::Via {
                ifindex: 3,
                gateway: None,
                source: None,
            }
        );
        let gateway: IpAddr = "fe80::1".parse().expect("an address");
        let Ok(via) = "fe80::1".parse::<Ipv6Addr>() else {
            unreachable!()
        };
        message.attributes.push(RouteAttribute::Via(RouteVia::Inet6(via)));
        assert_eq!(
            route(&message),
            Route::Via {
                ifindex: 3,
                gateway: Some(gateway),
                source: None,
            },
            "RFC 5549"
        );
        for (kind, expected) in [
            (RouteType::Local, Route::Local),
            (RouteType::Broadcast, Route::NotUnicast),
            (RouteType::Multicast, Route::NotUnicast),
            (RouteType::BlackHole, Route::None),
        ] {
            message.header.kind = kind;
            assert_eq!(route(&message), expected);
        }
    }

    #[test]
    fn a_default_route_covers_its_family() {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        let Some(Input::RoutesChanged(Some(prefix))) = input(&RouteNetlinkMessage::DelRoute(message)) else {
            panic!("routes changed")
        };
        assert!(prefix.contains("2001:db8::1".parse().expect("an address")));
        assert!(!prefix.contains(IpAddr::from([10, 0, 0, 1])));
    }
}
