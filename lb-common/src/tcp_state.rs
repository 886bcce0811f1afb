//! The states of a flow, as a director sees them that only hears the client's side (direct routing, tunnels).
//!
//! The names are those of IPVS. The replies do not pass by, so "established" means that the client answered the
//! handshake, and a client's FIN or RST shortens the flow's life without proof that the server agreed: a later plain
//! segment revives a flow that a (perhaps forged) RST had closed.

use crate::packet::TcpFlags;

/// State of a flow. The numbers are part of the flow table's ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FlowState {
    /// The client sent a SYN and nothing else yet: half-open.
    SynReceived = 1,
    /// The client sent data or acknowledged.
    Established = 2,
    /// The client sent its FIN.
    FinWait = 3,
    /// The client sent a RST.
    Close = 4,
    /// Not TCP: packets of a pseudo-connection.
    Datagram = 5,
}

/// How dear a flow is when the table is full; the cheapest is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Worth {
    /// Its timeout has passed; nobody will miss it.
    Expired = 0,
    /// A handshake that was not completed.
    HalfOpen = 1,
    /// A connection whose client has said goodbye.
    Closing = 2,
    /// Datagrams that have paused for a good part of their timeout.
    IdleDatagram = 3,
    /// Traffic that would suffer.
    Active = 4,
}

impl FlowState {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 5] = [
        Self::SynReceived,
        Self::Established,
        Self::FinWait,
        Self::Close,
        Self::Datagram,
    ];

    /// Room for states in tables that are indexed by their number.
    pub const LIMIT: usize = 8;

    /// The state with this number.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::SynReceived),
            2 => Some(Self::Established),
            3 => Some(Self::FinWait),
            4 => Some(Self::Close),
            5 => Some(Self::Datagram),
            _ => None,
        }
    }

    /// State of a new TCP flow whose first packet bears `flags`.
    #[inline(always)]
    #[must_use]
    pub const fn first(flags: TcpFlags) -> Self {
        if flags.rst() {
            Self::Close
        } else if flags.syn() {
            Self::SynReceived
        } else if flags.fin() {
            Self::FinWait
        } else {
            Self::Established
        }
    }

    /// State after a packet of the client with `flags`.
    #[inline(always)]
    #[must_use]
    pub const fn next(self, flags: TcpFlags) -> Self {
        match self {
            Self::Datagram => Self::Datagram,
            Self::SynReceived | Self::Established | Self::FinWait | Self::Close if flags.rst() => Self::Close,
            Self::SynReceived | Self::FinWait | Self::Close if flags.syn() => Self::SynReceived,
            // A SYN inside a living connection is answered by the server with a challenge ACK (RFC 9293 section
            // 3.10.7.4); it tells nothing about the connection.
            Self::Established if flags.syn() => Self::Established,
            Self::SynReceived | Self::Established | Self::FinWait | Self::Close if flags.fin() => {
                Self::FinWait
            }
            Self::SynReceived | Self::Established | Self::Close => Self::Established,
            Self::FinWait => Self::FinWait,
        }
    }

    /// Name for people and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynReceived => "syn_recv",
            Self::Established => "established",
            Self::FinWait => "fin_wait",
            Self::Close => "close",
            Self::Datagram => "datagram",
        }
    }

    /// Default timeout in seconds: those of IPVS (`ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`).
    #[must_use]
    pub const fn default_timeout(self) -> u32 {
        match self {
            Self::SynReceived => 60,
            Self::Established => 900,
            Self::FinWait => 120,
            Self::Close => 10,
            Self::Datagram => 300,
        }
    }

    /// Worth of a flow in this state that has been silent for `idle` of its `timeout`, both in the same unit.
    #[inline(always)]
    #[must_use]
    pub const fn worth(self, idle: u32, timeout: u32) -> Worth {
        if idle > timeout {
            return Worth::Expired;
        }
        match self {
            Self::SynReceived => Worth::HalfOpen,
            Self::FinWait | Self::Close => Worth::Closing,
            Self::Datagram if idle > timeout / 8 => Worth::IdleDatagram,
            Self::Datagram | Self::Established => Worth::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FlowState::*;

    const SYN: TcpFlags = TcpFlags::new(0x02);
    const ACK: TcpFlags = TcpFlags::new(0x10);
    const FIN: TcpFlags = TcpFlags::new(0x11);
    const RST: TcpFlags = TcpFlags::new(0x04);

    #[test]
    fn every_state_and_every_kind_of_segment() {
        #[rustfmt::skip]
        let table = [
            // state        SYN          ACK          FIN       RST
            (SynReceived, [SynReceived, Established, FinWait, Close]),
            (Established, [Established, Established, FinWait, Close]),
            (FinWait,     [SynReceived, FinWait,     FinWait, Close]),
            (Close,       [SynReceived, Established, FinWait, Close]),
            (Datagram,    [Datagram,    Datagram,    Datagram, Datagram]),
        ];
        assert_eq!(table.len(), FlowState::ALL.len());
        for (state, after) in table {
            for (flags, expected) in [SYN, ACK, FIN, RST].into_iter().zip(after) {
                assert_eq!(state.next(flags), expected, "{state:?} {flags:?}");
            }
        }
    }

    #[test]
    fn first_packet() {
        assert_eq!(FlowState::first(SYN), SynReceived);
        assert_eq!(FlowState::first(ACK), Established);
        assert_eq!(FlowState::first(FIN), FinWait);
        assert_eq!(FlowState::first(RST), Close);
    }

    #[test]
    fn plain_segments_leave_an_established_flow_alone() {
        for bits in 0..=255 {
            let flags = TcpFlags::new(bits);
            if flags.is_plain() {
                assert_eq!(Established.next(flags), Established);
            }
        }
    }

    #[test]
    fn numbers_round_trip_and_fit() {
        for state in FlowState::ALL {
            assert_eq!(FlowState::from_number(state as u8), Some(state));
            assert!((state as usize) < FlowState::LIMIT);
        }
        assert_eq!(FlowState::from_number(0), None);
    }

    #[test]
    fn worth_orders_victims() {
        assert_eq!(Established.worth(901, 900), Worth::Expired);
        assert_eq!(Established.worth(900, 900), Worth::Active);
        assert_eq!(SynReceived.worth(0, 60), Worth::HalfOpen);
        assert_eq!(Datagram.worth(10, 300), Worth::Active);
        assert_eq!(Datagram.worth(100, 300), Worth::IdleDatagram);
        assert!(Worth::Expired < Worth::HalfOpen && Worth::HalfOpen < Worth::Closing);
        assert!(Worth::Closing < Worth::IdleDatagram && Worth::IdleDatagram < Worth::Active);
    }
}
