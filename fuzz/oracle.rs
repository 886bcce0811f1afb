//! What must hold for every frame: the parser agrees with etherparse, which was written by others. The fuzz target and
//! the ordinary test that replays the corpus share this file.

use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use lb_common::{
    packet::{FlowKey, Parsed, TcpFlags, parse},
    reason::Reason,
};

/// Takes the frame apart in both ways and compares.
///
/// # Panics
/// When they do not agree.
pub(crate) fn check(frame: &[u8]) {
    let ours = parse(frame, |_| true);
    let Some(theirs) = sliced(frame) else {
        return;
    };
    match ours {
        Ok(parsed) => assert_eq!(parsed, theirs),
        Err(Reason::Truncated | Reason::BadIpHeader | Reason::BadTransportHeader) => {
            panic!("{ours:?}, but there is {theirs:?}");
        }
        // We ask for more than etherparse: checksum, flags, ports, addresses, and a unicast MAC.
        Err(_) => {}
    }
}

/// The TCP segment or UDP datagram that etherparse finds.
fn sliced(frame: &[u8]) -> Option<Parsed> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => {
            // etherparse takes 0 for "until the frame's end", as a sender's offloads leave it.
            if ip.header().payload_length() == 0 {
                return None;
            }
            (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            )
        }
        NetSlice::Arp(_) => return None,
    };
    let (source_port, destination_port, protocol, flags) = match packet.transport? {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port(), 6, tcp.slice()[13]),
        // Likewise: 0 is for jumbograms (RFC 2675), which we do not take.
        TransportSlice::Udp(udp) if udp.length() == 0 => return None,
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port(), 17, 0),
        TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) => return None,
    };
    Some(Parsed {
        key: FlowKey {
            source,
            destination,
            source_port,
            destination_port,
            protocol,
        },
        flags: TcpFlags::new(flags),
        quoted: false,
    })
}
