//! TCP (RFC 9293) and UDP (RFC 768): ports and flags.

use super::{Frame, protocol};
use crate::reason::Reason;

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// SCTP's common header, and that of a chunk.
const SCTP_HEADERS: usize = 12 + 4;

/// The control bits of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFlags(u8);

impl TcpFlags {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// No control bit: what a UDP datagram has.
    pub const NONE: Self = Self(0);

    /// The flags as on the wire (byte 13 of the header).
    #[inline(always)]
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(bits)
    }

    /// The flags as on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// FIN is set.
    #[inline(always)]
    #[must_use]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// SYN is set.
    #[inline(always)]
    #[must_use]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// RST is set.
    #[inline(always)]
    #[must_use]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }

    /// ACK is set.
    #[inline(always)]
    #[must_use]
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }

    /// Neither SYN nor FIN nor RST: a segment in the middle of a connection, which changes no state once established.
    #[inline(always)]
    #[must_use]
    pub const fn is_plain(self) -> bool {
        self.0 & (Self::SYN | Self::FIN | Self::RST) == 0
    }

    /// Whether a TCP stack can have sent this combination: some of SYN, ACK, RST, and SYN with neither FIN nor RST.
    #[inline(always)]
    #[must_use]
    pub const fn is_sane(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) != 0
            && (self.0 & Self::SYN == 0 || self.0 & (Self::FIN | Self::RST) == 0)
    }
}

/// Ports and flags of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// Source port in the lower, destination port in the upper half, each as it lies in memory (network order).
    pub ports: u32,
    /// Control bits; [`TcpFlags::NONE`] for UDP; for SCTP, those that would say what its first chunk says.
    pub flags: TcpFlags,
}

impl Transport {
    /// Takes the transport header apart: `offset` and `length` of the IP payload in bytes.
    ///
    /// # Errors
    /// [`Reason::OtherProtocol`], [`Reason::NestedTunnel`], [`Reason::Truncated`], [`Reason::BadTransportHeader`],
    /// [`Reason::BadTcpFlags`], [`Reason::PortZero`].
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(
        frame: &F,
        protocol: u8,
        offset: usize,
        length: usize,
    ) -> Result<Self, Reason> {
        let transport = match protocol {
            protocol::TCP => Self::tcp(frame, offset, length)?,
            protocol::UDP => Self::udp(frame, offset, length)?,
            protocol::SCTP => Self::sctp(frame, offset, length)?,
            // Into a tunnel of ours it would be a tunnel in a tunnel; and it may be what a director sent, come back.
            protocol::IPV4 | protocol::IPV6 | protocol::GRE => return Err(Reason::NestedTunnel),
            _ => return Err(Reason::OtherProtocol),
        };
        if transport.ports & 0xFFFF == 0 || transport.ports >> 16 == 0 {
            return Err(Reason::PortZero);
        }
        Ok(transport)
    }

    /// The ports of a segment or datagram that changes no state, if nothing is wrong with it but perhaps the ports. Otherwise
    /// [`Self::parse`] knows more.
    #[inline(always)]
    pub(super) fn usual_ports<F: Frame + ?Sized>(
        frame: &F,
        protocol: u8,
        offset: usize,
        length: usize,
    ) -> Option<u32> {
        let transport = match protocol {
            protocol::TCP => Self::tcp(frame, offset, length),
            protocol::UDP => Self::udp(frame, offset, length),
            _ => return None,
        };
        let transport = transport.ok()?;
        transport.flags.is_plain().then_some(transport.ports)
    }

    /// The ports of the transport header at `offset`, as in [`Self::ports`].
    #[inline(always)]
    pub fn ports_at<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<u32> {
        Some(ports(frame.window::<4>(offset)?.raw32::<0>()))
    }

    #[inline(always)]
    fn tcp<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Result<Self, Reason> {
        let header = frame.window::<TCP_HEADER>(offset).ok_or(Reason::Truncated)?;
        let header_length = usize::from(header.byte::<12>() >> 4) * 4;
        if header_length < TCP_HEADER || header_length > length {
            return Err(Reason::BadTransportHeader);
        }
        let flags = TcpFlags::new(header.byte::<13>());
        if !flags.is_sane() {
            return Err(Reason::BadTcpFlags);
        }
        Ok(Self {
            ports: ports(header.raw32::<0>()),
            flags,
        })
    }

    /// RFC 9260 sections 3.1 and 3.2: a common header, and at least one chunk. Those that begin, end or abort an association
    /// come first in their packet.
    #[inline(always)]
    fn sctp<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Result<Self, Reason> {
        const INIT: u8 = 1;
        const ABORT: u8 = 6;
        const SHUTDOWN: u8 = 7;
        const SHUTDOWN_ACK: u8 = 8;
        const SHUTDOWN_COMPLETE: u8 = 14;
        let header = frame.window::<SCTP_HEADERS>(offset).ok_or(Reason::Truncated)?;
        let chunk = usize::from(header.be16::<14>());
        if chunk < 4 || SCTP_HEADERS - 4 + chunk > length {
            return Err(Reason::BadTransportHeader);
        }
        let flags = match header.byte::<12>() {
            INIT => TcpFlags::SYN,
            ABORT => TcpFlags::RST,
            SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE => TcpFlags::FIN,
            _ => TcpFlags::ACK,
        };
        Ok(Self {
            ports: ports(header.raw32::<0>()),
            flags: TcpFlags::new(flags),
        })
    }

    #[inline(always)]
    fn udp<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Result<Self, Reason> {
        let header = frame.window::<UDP_HEADER>(offset).ok_or(Reason::Truncated)?;
        let datagram = usize::from(header.be16::<4>());
        if datagram < UDP_HEADER || datagram > length {
            return Err(Reason::BadTransportHeader);
        }
        Ok(Self {
            ports: ports(header.raw32::<0>()),
            flags: TcpFlags::NONE,
        })
    }
}

/// The first word of the header with the source port in the lower half, whatever the machine's byte order.
#[inline(always)]
pub(super) const fn ports(word: u32) -> u32 {
    if cfg!(target_endian = "big") {
        word.rotate_left(16)
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From port 0x9C40 to port 80, five words, SYN.
    const TCP: [u8; 20] = [
        0x9C, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 3, 0xE8, 0, 0, 0, 0,
    ];
    /// From port 0x9C40 to port 53, four bytes of data.
    const UDP: [u8; 12] = [0x9C, 0x40, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];

    fn parse(bytes: &[u8], protocol: u8, length: usize) -> Result<Transport, Reason> {
        Transport::parse(bytes, protocol, 0, length)
    }

    fn changed<const N: usize>(mut header: [u8; N], at: usize, bytes: &[u8]) -> [u8; N] {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header
    }

    #[test]
    fn ports_and_flags_are_taken_out() {
        let tcp = parse(&TCP, protocol::TCP, 20).unwrap();
        assert_eq!(tcp.ports.to_le_bytes(), [0x9C, 0x40, 0, 80]);
        assert_eq!(tcp.flags, TcpFlags::new(0x02));
        let udp = parse(&UDP, protocol::UDP, 12).unwrap();
        assert_eq!(udp.ports.to_le_bytes(), [0x9C, 0x40, 0, 53]);
        assert_eq!(udp.flags, TcpFlags::NONE);
        assert_eq!(parse(&TCP, 33, 20), Err(Reason::OtherProtocol));
    }

    #[test]
    fn each_lie_has_its_reason() {
        for (header, reason) in [
            (changed(TCP, 12, &[0x40]), Reason::BadTransportHeader),
            (changed(TCP, 12, &[0x60]), Reason::BadTransportHeader),
            (changed(TCP, 13, &[0x00]), Reason::BadTcpFlags),
            (changed(TCP, 0, &[0, 0]), Reason::PortZero),
            (changed(TCP, 2, &[0, 0]), Reason::PortZero),
        ] {
            assert_eq!(parse(&header, protocol::TCP, 20), Err(reason), "{header:02x?}");
        }
        for (header, reason) in [
            (changed(UDP, 4, &[0, 7]), Reason::BadTransportHeader),
            (changed(UDP, 4, &[0, 13]), Reason::BadTransportHeader),
            (changed(UDP, 0, &[0, 0]), Reason::PortZero),
            (changed(UDP, 2, &[0, 0]), Reason::PortZero),
        ] {
            assert_eq!(parse(&header, protocol::UDP, 12), Err(reason), "{header:02x?}");
        }
    }

    #[test]
    fn the_packets_end_counts_and_not_the_frames() {
        assert_eq!(parse(&TCP, protocol::TCP, 19), Err(Reason::BadTransportHeader));
        assert_eq!(parse(&UDP, protocol::UDP, 11), Err(Reason::BadTransportHeader));
        assert!(
            parse(&changed(UDP, 4, &[0, 8]), protocol::UDP, 12).is_ok(),
            "data that UDP does not count"
        );
        for length in 0..20 {
            assert_eq!(
                parse(&TCP[..length], protocol::TCP, length),
                Err(Reason::Truncated)
            );
        }
        for length in 0..8 {
            assert_eq!(
                parse(&UDP[..length], protocol::UDP, length),
                Err(Reason::Truncated)
            );
        }
    }

    /// The six bits of RFC 9293; the two of ECN say nothing.
    #[test]
    fn flags_that_no_stack_sends_are_told_apart() {
        for bits in 0..=255u8 {
            let flags = TcpFlags::new(bits);
            let (fin, syn, rst, ack) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits & 16 != 0);
            let sane = match (syn, rst, ack) {
                (true, rst, _) => !fin && !rst,
                (false, rst, ack) => rst || ack,
            };
            assert_eq!(flags.is_sane(), sane, "{bits:08b}");
            assert_eq!(
                (flags.fin(), flags.syn(), flags.rst(), flags.ack()),
                (fin, syn, rst, ack)
            );
            assert_eq!(flags.is_plain(), !fin && !syn && !rst);
        }
    }

    #[test]
    fn the_first_chunk_says_what_a_packet_does() {
        let packet = |kind: u8, chunk: u16| {
            let mut packet = std::vec![0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, kind, 0];
            packet.extend(chunk.to_be_bytes());
            packet.extend([0; 20]);
            packet
        };
        let parsed = |packet: &[u8]| Transport::parse(packet, protocol::SCTP, 0, packet.len());
        for (kind, flags) in [
            (1, TcpFlags::SYN),
            (6, TcpFlags::RST),
            (7, TcpFlags::FIN),
            (8, TcpFlags::FIN),
        ]
        .into_iter()
        .chain([
            (14, TcpFlags::FIN),
            (0, TcpFlags::ACK),
            (3, TcpFlags::ACK),
            (10, TcpFlags::ACK),
        ]) {
            let transport = parsed(&packet(kind, 20)).unwrap();
            assert_eq!(
                (transport.flags.bits(), transport.ports & 0xFFFF),
                (flags, 0x3412)
            );
        }
        for chunk in [0, 3, 25, u16::MAX] {
            assert_eq!(
                parsed(&packet(0, chunk)),
                Err(Reason::BadTransportHeader),
                "{chunk}"
            );
        }
        assert_eq!(parsed(&packet(0, 4)[..15]), Err(Reason::Truncated));
    }
}
