//! What the functions on the way of a seldom packet hand on.

use lb_common::flow_table::Origin;

/// A packet of a flow, and what its way through the functions below adds. It lies in a map of one for each CPU, since the stack
/// that the functions share has no room for it.
#[repr(C)]
pub(crate) struct Parcel<K> {
    pub(crate) key: K,
    /// The key's hash for the flow table.
    pub(crate) hash: u64,
    /// Where the packet comes from.
    pub(crate) origin: Origin,
    /// The key's hash for the service's schedule, where a backend is to be chosen.
    pub(crate) schedule_hash: u64,
    /// The [`ConnectionId`] in bits, of a datagram whose flow is not known.
    pub(crate) connection: u64,
    /// TCP's control bits (bits 0..8), [`UNKNOWN`] and [`SEVER`].
    pub(crate) flags: u32,
    /// IANA protocol number.
    pub(crate) protocol: u32,
    /// Number of the service, where a backend is to be chosen.
    pub(crate) service: u32,
    /// Of the service's [`PolicyFlags`], those that matter from here on.
    pub(crate) policy: u32,
}

/// In a parcel's flags: the flow has just been looked for, and is not in the table.
pub(super) const UNKNOWN: u32 = 1 << 8;
/// In a parcel's flags: the segment is to become a reset.
pub(super) const SEVER: u32 = 1 << 9;
