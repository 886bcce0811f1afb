//! ARP packets and messages of neighbour discovery, to ask with and to forge.

use std::net::{Ipv4Addr, Ipv6Addr};

const BROADCAST: [u8; 6] = [0xff; 6];

/// Kinds of neighbour discovery messages (RFC 4861).
pub mod kind {
    /// Who has this address?
    pub const SOLICITATION: u8 = 135;
    /// This address is here.
    pub const ADVERTISEMENT: u8 = 136;
}

/// An ARP packet to all, in an Ethernet frame.
#[must_use]
pub fn arp(operation: u8, mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    [
        &BROADCAST[..],
        &mac,
        &[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation],
        &mac,
        &sender.octets(),
        &[0; 6],
        &target.octets(),
    ]
    .concat()
}

/// A message about `target` with the sender's MAC address, in an Ethernet frame. Of `flags` see RFC 4861, section 4.4.
///
/// # Panics
/// Never: memory takes everything.
#[must_use]
pub fn discovery(
    kind: u8,
    flags: u8,
    mac: [u8; 6],
    from: Ipv6Addr,
    to: Ipv6Addr,
    target: Ipv6Addr,
) -> Vec<u8> {
    let [.., a, b, c, d] = to.octets();
    let mut frame = Vec::new();
    // The source's link-layer address is option 1, the target's is option 2.
    let option = if kind == kind::SOLICITATION { 1 } else { 2 };
    etherparse::PacketBuilder::ethernet2(mac, [0x33, 0x33, a, b, c, d])
        .ipv6(from.octets(), to.octets(), 255)
        .icmpv6_raw(kind, 0, [flags, 0, 0, 0])
        .write(&mut frame, &[&target.octets()[..], &[option, 1], &mac].concat())
        .expect("memory takes everything");
    frame
}

/// The group to which questions for an address go.
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

/// All nodes on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
