//! The packet that an ICMP error quotes, translated back into the one that its reader sent.

use lb_common::{
    checksum::{change32, change64, update},
    packet::{FlowKey4, FlowKey6, protocol},
};
use lb_ebpf::packet::Packet;

use super::rewrite::update_udp;

/// Where a TCP header has its checksum, and how much of it must be quoted for that.
const TCP_CHECKSUM: usize = 16;

/// Where the quoted packet lies.
#[derive(Clone, Copy)]
pub(super) struct Quote {
    /// Its network header.
    pub(super) network: usize,
    /// Its transport header.
    pub(super) transport: usize,
    /// Bytes of that, and of what is behind it.
    pub(super) length: usize,
    /// Its protocol.
    pub(super) protocol: u8,
}

/// Gives the quoted IPv4 packet these addresses and ports; by how much the sum over the message changes.
#[inline(always)]
pub(super) fn translate4(packet: &Packet, quote: Quote, to: &FlowKey4) -> Option<u64> {
    let header = packet.bytes_mut::<20>(quote.network)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    let (addresses, change) = unsafe {
        let source = header.add(12).cast::<u32>();
        let destination = header.add(16).cast::<u32>();
        let addresses = change32(source.read_volatile(), to.source())
            + change32(destination.read_volatile(), to.destination());
        source.write_volatile(to.source());
        destination.write_volatile(to.destination());
        let checksum = header.add(10).cast::<u16>();
        let old = checksum.read_volatile();
        let new = update(old, addresses);
        checksum.write_volatile(new);
        (addresses, addresses + change32(old.into(), new.into()))
    };
    Some(change + ports(packet, quote, to.ports(), addresses)?)
}

/// Gives the quoted IPv6 packet these addresses and ports; by how much the sum over the message changes.
#[inline(always)]
pub(super) fn translate6(packet: &Packet, quote: Quote, to: &FlowKey6) -> Option<u64> {
    let header = packet.bytes_mut::<40>(quote.network)?;
    let mut addresses = 0;
    let ([s0, s1], [d0, d1]) = (to.source(), to.destination());
    for (at, new) in [(8, s0), (16, s1), (24, d0), (32, d1)] {
        // SAFETY: the header is there.
        unsafe {
            let word = header.add(at).cast::<u64>();
            addresses += change64(word.read_volatile(), new);
            word.write_volatile(new);
        }
    }
    Some(addresses + ports(packet, quote, to.ports(), addresses)?)
}

/// Gives the quoted transport header these ports, and mends its checksum, as far as it is quoted.
#[inline(always)]
fn ports(packet: &Packet, quote: Quote, to: u32, addresses: u64) -> Option<u64> {
    let header = packet.bytes_mut::<8>(quote.transport)?;
    // SAFETY: eight bytes are there.
    let change = unsafe {
        let at = header.cast::<u32>();
        let change = change32(at.read_volatile(), to);
        at.write_volatile(to);
        change
    };
    let checksum = if quote.protocol == protocol::UDP {
        // SAFETY: eight bytes are there.
        unsafe { header.add(6) }
    } else if quote.length >= TCP_CHECKSUM + 2 {
        packet.bytes_mut::<2>(quote.transport + TCP_CHECKSUM)?
    } else {
        return Some(change);
    };
    let checksum = checksum.cast::<u16>();
    // SAFETY: two bytes are there.
    unsafe {
        let old = checksum.read_volatile();
        if quote.protocol == protocol::UDP {
            update_udp(checksum, addresses + change);
        } else {
            checksum.write_volatile(update(old, addresses + change));
        }
        Some(change + change32(old.into(), checksum.read_volatile().into()))
    }
}
