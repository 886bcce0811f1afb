//! Why an advertisement was not obeyed.

use crate::wire::refusal::refusals;

refusals! {
    /// Why a VRRP message that arrived was not obeyed. Each is counted by itself.
    HopLimit, "hop_limit", "The TTL or hop limit is not 255: a router passed it on, so it does not come from this link.";
    Truncated, "truncated", "The message ends before its header or its addresses do.";
    Version2, "version_2", "A neighbour speaks VRRPv2: set it to version 3.";
    UnknownVersion, "unknown_version", "The version is neither 2 nor 3.";
    UnknownType, "unknown_type", "The message is no advertisement.";
    Checksum, "checksum", "The checksum is wrong, both with and without the IPv4 pseudo-header.";
    NoAddresses, "no_addresses", "The advertisement names no address.";
    IntervalZero, "interval_zero", "The advertised interval is 0, with which a takeover would never end.";
    OtherRouter, "other_router", "No instance on this interface has this VRID.";
    OwnSource, "own_source", "The source is this director's own address: a loop in the network, or an address used twice.";
    UnknownPeer, "unknown_peer", "The source is none of the instance's peers.";
    LocalOwner, "local_owner", "This director owns the addresses (priority 255) and yields to nobody.";
    NotRunning, "not_running", "The instance is stopped, or its interface is down.";
}
