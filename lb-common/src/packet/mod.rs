//! Bounds-checked views of a frame: the same code parses in the XDP program, in the host's tests, under the fuzzer and
//! in the command line.
//!
//! A step asks the [`Frame`] for a [`Window`] of a fixed length at an offset: one comparison with the frame's end, after
//! which fields are read at constant offsets without further checks. Steps are small so that the XDP program can ask
//! the VIP filter between the network header and the transport header.

mod ethernet;
mod fragment;
mod icmp;
mod ipv4;
mod ipv6;
mod key;
mod neighbour;
mod parse;
mod path_error;
mod quic;
mod quote;
mod sum;
mod transport;
mod tunnel;
mod usual;
mod window;

pub use ethernet::{EtherType, Ethernet, MAX_VLAN_TAGS};
pub use fragment::Fragment;
pub use icmp::{ECHO_REQUEST_V4, ECHO_REQUEST_V6, Icmp};
pub use ipv4::Ipv4;
pub use ipv6::{Ipv6, MAX_EXTENSIONS, Payload};
pub use key::{FlowKey, FlowKey4, FlowKey6, address_words};
pub use neighbour::{Arp, Discovery};
pub use parse::{Parsed, parse};
pub use path_error::{PathError, path_error4, path_error6};
pub use quic::ConnectionId;
pub use quote::{Quoted, quoted_flow4, quoted_flow6, quoted_packet4, quoted_packet6};
pub use sum::{inner_sum4, inner_sum6};
pub use transport::{TcpFlags, Transport};
pub use tunnel::{Inside, NotInside, inside};
pub use usual::{Usual, UsualFrame};
pub use window::{Frame, Window};

/// Version of the Internet protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// IANA protocol numbers that the pipeline knows.
pub mod protocol {
    /// Hop-by-hop options, RFC 8200 section 4.3.
    pub const HOP_BY_HOP: u8 = 0;
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP, RFC 2003.
    pub const IPV4: u8 = 4;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// IPv6 in IP, RFC 2473.
    pub const IPV6: u8 = 41;
    /// Routing header, RFC 8200 section 4.4.
    pub const ROUTING: u8 = 43;
    /// Fragment header, RFC 8200 section 4.5.
    pub const FRAGMENT: u8 = 44;
    /// RFC 2784.
    pub const GRE: u8 = 47;
    /// RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// Destination options, RFC 8200 section 4.6.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// RFC 9260.
    pub const SCTP: u8 = 132;
    /// No protocol (RFC 3692 reserves the number for experiments): what the flow table has under it is a template, the backend
    /// of a client.
    pub const TEMPLATE: u8 = 253;
    /// No protocol either: where the fragments of a packet go.
    pub const FRAGMENTS: u8 = 254;
}

#[cfg(test)]
mod tests;
