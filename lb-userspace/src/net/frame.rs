//! The frames that announce an address or a director. RFC 826, RFC 5227 (ARP); RFC 4861 (neighbour discovery); RFC 1112,
//! RFC 2464 (multicast on Ethernet); RFC 791, RFC 8200 (IP).

use std::net::{Ipv4Addr, Ipv6Addr};

use lb_common::{
    checksum::fold,
    wire::vrrp::{Endpoints, HOP_LIMIT, PROTOCOL},
};

use crate::core::neighbour::Mac;

const BROADCAST: [u8; 6] = [0xff; 6];
/// Where ff02::1 is sent (RFC 2464, section 7).
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// DSCP CS6: network control.
const NETWORK_CONTROL: u8 = 0xc0;
const ICMPV6: u8 = 58;
/// The receiver replaces the address it has cached.
const FLAG_OVERRIDE: u8 = 0x20;

const ETHERNET_LEN: usize = 14;
/// Length of [`arp_announcement`].
pub(super) const ARP_LEN: usize = ETHERNET_LEN + 28;
/// Length of [`neighbour_advertisement`].
pub(super) const ADVERTISEMENT_LEN: usize = ETHERNET_LEN + 40 + 24 + 8;

/// An ARP announcement (RFC 5227, section 3): a broadcast request whose sender and target addresses are both `ip`.
pub(super) fn arp_announcement(mac: Mac, ip: Ipv4Addr) -> [u8; ARP_LEN] {
    let mut frame = [0; ARP_LEN];
    ethernet(&mut frame, BROADCAST, mac, ETHERTYPE_ARP);
    let arp = &mut frame[14..];
    arp[..8].copy_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    arp[8..14].copy_from_slice(&mac.0);
    arp[14..18].copy_from_slice(&ip.octets());
    arp[24..28].copy_from_slice(&ip.octets());
    frame
}

/// An ARP request: who has `ip`?
pub(super) fn arp_request(mac: Mac, own: Ipv4Addr, ip: Ipv4Addr) -> [u8; ARP_LEN] {
    let mut frame = arp_announcement(mac, ip);
    frame[28..32].copy_from_slice(&own.octets());
    frame
}

/// An unsolicited neighbour advertisement to all nodes (RFC 4861, section 7.2.6), with the override flag.
pub(super) fn neighbour_advertisement(mac: Mac, ip: Ipv6Addr) -> [u8; ADVERTISEMENT_LEN] {
    let mut frame = [0; ADVERTISEMENT_LEN];
    ethernet(&mut frame, ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    let (header, body) = frame[14..].split_at_mut(40);
    header[0] = 0x60;
    header[5] = body.len() as u8;
    header[6] = ICMPV6;
    // Routers do not forward it, and receivers check that none did.
    header[7] = 255;
    header[8..24].copy_from_slice(&ip.octets());
    header[24..40].copy_from_slice(&ALL_NODES.octets());
    body[0] = 136;
    body[4] = FLAG_OVERRIDE;
    body[8..24].copy_from_slice(&ip.octets());
    // Option: target link-layer address, one unit of eight bytes.
    body[24..26].copy_from_slice(&[2, 1]);
    body[26..32].copy_from_slice(&mac.0);
    let checksum = icmpv6_checksum(ip, ALL_NODES, body);
    body[2..4].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// A VRRP message in a packet to a multicast group. `identification` is the IPv4 packet's.
pub(super) fn advertisement(mac: Mac, endpoints: &Endpoints, identification: u16, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_LEN];
    match *endpoints {
        Endpoints::V4 { source, destination } => {
            let [_, b, c, d] = destination.octets();
            ethernet(&mut frame, [0x01, 0, 0x5e, b & 0x7f, c, d], mac, ETHERTYPE_IPV4);
            frame.extend(ipv4_header(source, destination, identification, message.len()));
        }
        Endpoints::V6 { source, destination } => {
            let [.., a, b, c, d] = destination.octets();
            ethernet(&mut frame, [0x33, 0x33, a, b, c, d], mac, ETHERTYPE_IPV6);
            frame.extend([0x60 | NETWORK_CONTROL >> 4, NETWORK_CONTROL << 4, 0, 0]);
            frame.extend((message.len() as u16).to_be_bytes());
            frame.extend([PROTOCOL, HOP_LIMIT]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
    }
    frame.extend(message);
    frame
}

fn ipv4_header(source: Ipv4Addr, destination: Ipv4Addr, identification: u16, length: usize) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&[0x45, NETWORK_CONTROL]);
    header[2..4].copy_from_slice(&(20 + length as u16).to_be_bytes());
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[8..10].copy_from_slice(&[HOP_LIMIT, PROTOCOL]);
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let words = header.as_chunks().0.iter();
    let sum = words.map(|&word| u64::from(u16::from_be_bytes(word))).sum();
    header[10..12].copy_from_slice(&(!fold(sum)).to_be_bytes());
    header
}

fn ethernet(frame: &mut [u8], destination: [u8; 6], source: Mac, ethertype: u16) {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
}

/// RFC 4443, section 2.3: over the pseudo-header and the message, whose checksum field is still zero.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let words = source.segments().into_iter().chain(destination.segments());
    let mut sum: u32 = words.map(u32::from).sum::<u32>() + message.len() as u32 + u32::from(ICMPV6);
    sum += message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use etherparse::{
        ArpOperation, EtherType, Icmpv6Slice, LinkSlice, NetSlice, SlicedPacket, TransportSlice,
    };
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_arp_announcement_byte_for_byte() {
        let frame = arp_announcement(Mac([2, 0, 0, 0xaa, 0xbb, 0xcc]), Ipv4Addr::new(192, 0, 2, 10));
        #[rustfmt::skip]
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0xaa, 0xbb, 0xcc, 0x08, 0x06,
            0, 1, 0x08, 0, 6, 4, 0, 1,
            2, 0, 0, 0xaa, 0xbb, 0xcc, 192, 0, 2, 10,
            0, 0, 0, 0, 0, 0, 192, 0, 2, 10,
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn an_arp_request_byte_for_byte() {
        let own = Ipv4Addr::new(192, 0, 2, 2);
        let frame = arp_request(Mac([2, 0, 0, 0xaa, 0xbb, 0xcc]), own, Ipv4Addr::new(192, 0, 2, 1));
        #[rustfmt::skip]
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0xaa, 0xbb, 0xcc, 0x08, 0x06,
            0, 1, 0x08, 0, 6, 4, 0, 1,
            2, 0, 0, 0xaa, 0xbb, 0xcc, 192, 0, 2, 2,
            0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
        ];
        assert_eq!(frame, expected);
    }

    fn message_in(frame: &[u8], group_mac: [u8; 6]) -> &[u8] {
        let packet = SlicedPacket::from_ethernet(frame).expect("well-formed");
        let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else {
            panic!("not Ethernet")
        };
        assert_eq!(ethernet.destination(), group_mac);
        let payload = match packet.net.expect("an IP packet") {
            NetSlice::Ipv4(ipv4) => {
                let header = ipv4.header();
                assert_eq!(
                    header.header_checksum(),
                    header.to_header().calc_header_checksum()
                );
                assert_eq!((header.ttl(), header.dcp().value()), (255, 48));
                assert_eq!(header.identification(), 7);
                ipv4.payload().clone()
            }
            NetSlice::Ipv6(ipv6) => {
                let header = ipv6.header();
                assert_eq!((header.hop_limit(), header.traffic_class()), (255, 0xc0));
                assert_eq!(header.flow_label().value(), 0);
                ipv6.payload().clone()
            }
            NetSlice::Arp(_) => panic!("not IP"),
        };
        assert_eq!(payload.ip_number.0, 112);
        payload.payload
    }

    #[test]
    fn advertisements_go_to_the_groups() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let v4 = Endpoints::V4 {
            source: Ipv4Addr::new(192, 0, 2, 2),
            destination: lb_common::wire::vrrp::GROUP_V4,
        };
        let v6 = Endpoints::V6 {
            source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
            destination: lb_common::wire::vrrp::GROUP_V6,
        };
        for (endpoints, group_mac) in [
            (v4, [0x01, 0, 0x5e, 0, 0, 0x12]),
            (v6, [0x33, 0x33, 0, 0, 0, 0x12]),
        ] {
            let frame = advertisement(mac, &endpoints, 7, b"message");
            assert_eq!(message_in(&frame, group_mac), b"message");
            assert_eq!(frame[6..12], mac.0);
        }
    }

    proptest! {
        #[test]
        fn an_arp_announcement_taken_apart(mac in any::<[u8; 6]>(), ip in any::<[u8; 4]>()) {
            let frame = arp_announcement(Mac(mac), ip.into());
            let packet = SlicedPacket::from_ethernet(&frame).expect("well-formed");
            let Some(NetSlice::Arp(arp)) = packet.net else { panic!("not ARP") };
            prop_assert_eq!(arp.operation(), ArpOperation::REQUEST);
            prop_assert_eq!(arp.sender_hw_addr(), mac);
            prop_assert_eq!(arp.sender_protocol_addr(), ip);
            prop_assert_eq!(arp.target_hw_addr(), [0; 6]);
            prop_assert_eq!(arp.target_protocol_addr(), ip);
        }

        #[test]
        fn a_neighbour_advertisement_taken_apart(mac in any::<[u8; 6]>(), ip in any::<[u8; 16]>()) {
            let frame = neighbour_advertisement(Mac(mac), ip.into());
            let packet = SlicedPacket::from_ethernet(&frame).expect("well-formed");
            let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { panic!("not Ethernet") };
            prop_assert_eq!(ethernet.destination(), ALL_NODES_MAC);
            prop_assert_eq!(ethernet.source(), mac);
            prop_assert_eq!(ethernet.ether_type(), EtherType::IPV6);
            let Some(NetSlice::Ipv6(ipv6)) = &packet.net else { panic!("not IPv6") };
            let header = ipv6.header();
            prop_assert_eq!(header.hop_limit(), 255);
            prop_assert_eq!(header.source(), ip);
            prop_assert_eq!(header.destination(), ALL_NODES.octets());
            let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport else { panic!("not ICMPv6") };
            prop_assert!(Icmpv6Slice::is_checksum_valid(icmp, ip, ALL_NODES.octets()));
            prop_assert_eq!((icmp.type_u8(), icmp.code_u8()), (136, 0));
            prop_assert_eq!(icmp.bytes5to8(), [0x20, 0, 0, 0], "override; not solicited, not a router");
            prop_assert_eq!(&icmp.payload()[..16], &ip);
            prop_assert_eq!(&icmp.payload()[16..], &[&[2, 1], &mac[..]].concat());
        }
    }
}
