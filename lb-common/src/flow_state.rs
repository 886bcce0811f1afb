//! States of flows, of every protocol: one table for the XDP program, the command line and the documents.
//!
//! Names and numbers of TCP's states are those of IPVS (`include/net/ip_vs.h`), and so are all default timeouts.
//! [`tcp_state`](crate::tcp_state) says how a TCP flow gets from one to another.

/// How dear a flow is when the table is full; the cheapest is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Worth {
    /// Its timeout has passed; nobody will miss it.
    Expired = 0,
    /// A handshake that was not completed.
    HalfOpen = 1,
    /// A connection that has been said goodbye to.
    Closing = 2,
    /// Datagrams that have paused for a good part of their timeout.
    IdleDatagram = 3,
    /// Traffic that would suffer.
    Active = 4,
}

impl Worth {
    /// Every worth, the least first.
    pub const ALL: [Self; 5] = [
        Self::Expired,
        Self::HalfOpen,
        Self::Closing,
        Self::IdleDatagram,
        Self::Active,
    ];
}

/// What a flow means to its backend, as IPVS counts it (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `tcp_state_active`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is being opened, or has traffic.
    Active,
    /// It is over, but not forgotten.
    Inactive,
    /// It is no connection.
    Apart,
}

impl Standing {
    /// That of a flow in the state of this number; one that is unknown is no connection.
    #[inline(always)]
    #[must_use]
    pub const fn of_number(state: u32) -> Self {
        const ACTIVE: u32 = FlowState::standing_bits(Standing::Active);
        const INACTIVE: u32 = FlowState::standing_bits(Standing::Inactive);
        let bit = 1 << (state & (FlowState::LIMIT as u32 - 1));
        if bit & ACTIVE != 0 {
            Self::Active
        } else if bit & INACTIVE != 0 {
            Self::Inactive
        } else {
            Self::Apart
        }
    }
}

/// What [`FlowState::worth`] goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Opening,
    Open,
    Closing,
    Datagram,
}

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident = $number:literal, $name:literal, $kind:ident, $seconds:literal s;)+) => {
        /// State of a flow. The numbers are part of the flow table's ABI.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FlowState {
            $($(#[$doc])* $state = $number,)+
        }

        impl FlowState {
            /// Every state, in the order of its number.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$state),+];

            /// The state with this number.
            #[inline(always)]
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$state),)+
                    _ => None,
                }
            }

            /// Name for people and scripts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$state => $name,)+
                }
            }

            /// Default timeout in seconds.
            #[must_use]
            pub const fn default_timeout(self) -> u32 {
                match self {
                    $(Self::$state => $seconds,)+
                }
            }

            const fn kind(self) -> Kind {
                match self {
                    $(Self::$state => Kind::$kind,)+
                }
            }
        }
    };
}

states! {
    /// Nothing is known of it yet: where every life begins, and no flow in the table is.
    None = 0, "none", Closing, 2 s;
    /// TCP: the client answered the handshake.
    Established = 1, "established", Open, 900 s;
    /// TCP: the server opened a connection itself.
    SynSent = 2, "syn_sent", Opening, 120 s;
    /// TCP: the client sent a SYN and has not answered the handshake: half-open.
    SynRecv = 3, "syn_recv", Opening, 60 s;
    /// TCP: the server has closed its side; where only the client is heard, the client has.
    FinWait = 4, "fin_wait", Closing, 120 s;
    /// TCP: both sides have closed.
    TimeWait = 5, "time_wait", Closing, 120 s;
    /// TCP: it was reset.
    Close = 6, "close", Closing, 10 s;
    /// TCP: the client has closed its side, and the server was heard to go on.
    CloseWait = 7, "close_wait", Closing, 60 s;
    /// TCP: the last acknowledgement is missing.
    LastAck = 8, "last_ack", Closing, 30 s;
    /// TCP: a connection is expected.
    Listen = 9, "listen", Opening, 120 s;
    /// TCP: a SYN was answered with a cookie.
    SynAck = 10, "synack", Opening, 120 s;
    /// UDP: datagrams of a pseudo-connection.
    Udp = 11, "udp", Datagram, 300 s;
    /// SCTP: the association is being set up.
    SctpInit = 12, "sctp_init", Opening, 60 s;
    /// SCTP: the client has sent its cookie back, or data.
    SctpEstablished = 13, "sctp_established", Open, 900 s;
    /// SCTP: the association is being shut down.
    SctpShutdown = 14, "sctp_shutdown", Closing, 60 s;
    /// SCTP: shut down or aborted.
    SctpClosed = 15, "sctp_closed", Closing, 60 s;
    /// No flow, but what flows to come go by: the choice that was made for a client.
    Template = 16, "template", Open, 300 s;
    /// TCP: ended by the director, of which the client hears by a reset when it sends something.
    Ended = 17, "ended", Closing, 60 s;
    /// TCP: ended by the director, and the backend has heard of it by a reset.
    Severed = 18, "severed", Closing, 60 s;
}

impl FlowState {
    /// Room for states in tables that are indexed by their number.
    pub const LIMIT: usize = 32;

    /// The numbers of all states of a kind, as bits: a test of one bit is what the verifier likes best.
    const fn bits(kind: Kind) -> u32 {
        let mut bits = 0;
        let mut index = 0;
        while index < Self::ALL.len() {
            if Self::ALL[index].kind() as u8 == kind as u8 {
                bits |= 1 << index;
            }
            index += 1;
        }
        bits
    }

    /// Whether a flow in the state with this number is half-open: its handshake is not complete.
    #[inline(always)]
    #[must_use]
    pub const fn is_half_open(number: u32) -> bool {
        const OPENING: u32 = FlowState::bits(Kind::Opening);
        OPENING >> (number & (Self::LIMIT as u32 - 1)) & 1 != 0
    }

    /// What it means to the backend.
    #[must_use]
    pub const fn standing(self) -> Standing {
        match self {
            Self::Established
            | Self::SynSent
            | Self::SynRecv
            | Self::SynAck
            | Self::Udp
            | Self::SctpEstablished => Standing::Active,
            Self::None
            | Self::FinWait
            | Self::TimeWait
            | Self::Close
            | Self::CloseWait
            | Self::LastAck
            | Self::Listen
            | Self::SctpInit
            | Self::SctpShutdown
            | Self::SctpClosed
            | Self::Ended
            | Self::Severed => Standing::Inactive,
            Self::Template => Standing::Apart,
        }
    }

    /// The numbers of all states of a standing, as bits.
    const fn standing_bits(standing: Standing) -> u32 {
        let mut bits = 0;
        let mut index = 0;
        while index < Self::ALL.len() {
            if Self::ALL[index].standing() as u8 == standing as u8 {
                bits |= 1 << index;
            }
            index += 1;
        }
        bits
    }

    /// Worth of a flow in this state that has been silent for `idle` of its `timeout`, both in the same unit.
    #[inline(always)]
    #[must_use]
    pub const fn worth(self, idle: u32, timeout: u32) -> Worth {
        Self::worth_of_number(self as u32, idle, timeout)
    }

    /// [`Self::worth`] of the state with this number; one that is unknown is closing.
    #[inline(always)]
    #[must_use]
    pub const fn worth_of_number(number: u32, idle: u32, timeout: u32) -> Worth {
        const OPENING: u32 = FlowState::bits(Kind::Opening);
        const OPEN: u32 = FlowState::bits(Kind::Open);
        const DATAGRAM: u32 = FlowState::bits(Kind::Datagram);
        let bit = 1 << (number & (Self::LIMIT as u32 - 1));
        if idle > timeout {
            Worth::Expired
        } else if bit & OPEN != 0 {
            Worth::Active
        } else if bit & OPENING != 0 {
            Worth::HalfOpen
        } else if bit & DATAGRAM == 0 {
            Worth::Closing
        } else if idle > timeout / 8 {
            Worth::IdleDatagram
        } else {
            Worth::Active
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FlowState::*, *};

    #[test]
    fn numbers_are_dense_and_fit() {
        for (number, state) in (0..).zip(FlowState::ALL) {
            assert_eq!(state as u8, number, "{state:?}");
            assert_eq!(FlowState::from_number(number), Some(state));
            assert!((state as usize) < FlowState::LIMIT);
        }
        assert_eq!(FlowState::from_number(FlowState::ALL.len() as u8), Option::None);
    }

    #[test]
    fn names_are_told_apart() {
        let names: std::collections::BTreeSet<_> = FlowState::ALL.map(FlowState::name).into();
        assert_eq!(names.len(), FlowState::ALL.len());
    }

    #[test]
    fn the_standing_of_a_number_is_that_of_its_state() {
        for state in FlowState::ALL {
            assert_eq!(Standing::of_number(state as u32), state.standing(), "{state:?}");
        }
        assert_eq!(Standing::of_number(31), Standing::Apart);
    }

    #[test]
    fn worth_orders_victims() {
        let timely = [
            (None, Worth::Closing),
            (Established, Worth::Active),
            (SynSent, Worth::HalfOpen),
            (SynRecv, Worth::HalfOpen),
            (FinWait, Worth::Closing),
            (TimeWait, Worth::Closing),
            (Close, Worth::Closing),
            (CloseWait, Worth::Closing),
            (LastAck, Worth::Closing),
            (Listen, Worth::HalfOpen),
            (SynAck, Worth::HalfOpen),
            (Udp, Worth::Active),
            (SctpInit, Worth::HalfOpen),
            (SctpEstablished, Worth::Active),
            (SctpShutdown, Worth::Closing),
            (SctpClosed, Worth::Closing),
            (Template, Worth::Active),
            (Ended, Worth::Closing),
            (Severed, Worth::Closing),
        ];
        assert_eq!(timely.map(|(state, _)| state), FlowState::ALL);
        for (state, worth) in timely {
            assert_eq!(state.worth(80, 800), worth, "{state:?}");
            assert_eq!(state.worth(801, 800), Worth::Expired, "{state:?}");
            assert_ne!(state.worth(800, 800), Worth::Expired, "{state:?}");
            assert_eq!(
                FlowState::is_half_open(state as u32),
                worth == Worth::HalfOpen,
                "{state:?}"
            );
        }
        assert_eq!(Udp.worth(100, 800), Worth::Active);
        assert_eq!(Udp.worth(101, 800), Worth::IdleDatagram);
        assert_eq!(FlowState::worth_of_number(31, 1, 2), Worth::Closing);
        assert!(Worth::ALL.is_sorted());
    }
}
