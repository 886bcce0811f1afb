//! Why a packet was not forwarded to a backend: one table for the XDP program, the command line, the metrics and the
//! documentation.
//!
//! The number of a reason is part of the ABI: it indexes the per-CPU counter map. Numbers are never reused.

/// What happens to a packet that is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Handed to the kernel untouched (`XDP_PASS`).
    Pass,
    /// Dropped (`XDP_DROP`).
    Drop,
    /// Answered by the director itself (`XDP_TX`).
    Answer,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $fate:ident, $slug:literal, $sentence:literal;)+) => {
        /// Why a packet was not forwarded to a backend.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Reason {
            $(#[doc = $sentence] $name = $number,)+
        }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What happens to the packet.
            #[inline(always)]
            #[must_use]
            pub const fn fate(self) -> Fate {
                match self {
                    $(Self::$name => Fate::$fate,)+
                }
            }

            /// Short name for metrics and scripts: lower case, words joined by `_`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }
    };
}

reasons! {
    NotIp = 0, Pass, "not_ip", "The frame carries neither IPv4 nor IPv6.";
    NotVip = 1, Pass, "not_vip", "The destination address is no VIP.";
    NoService = 2, Pass, "no_service", "The destination is a VIP, but no service listens on that port.";
    NotUnicastMac = 3, Pass, "not_unicast_mac", "The frame was sent to a group MAC address.";
    OtherProtocol = 4, Pass, "other_protocol", "The packet for a VIP is neither TCP, UDP, nor an ICMP echo or error.";
    Fragment = 5, Pass, "fragment", "A fragment of a packet for a VIP that is neither TCP nor UDP.";
    RoutingHeader = 6, Pass, "routing_header", "An IPv6 routing header says that the VIP is only a waypoint.";
    EchoAnswered = 7, Answer, "echo_answered", "An ICMP echo request to a VIP was answered.";
    Truncated = 8, Drop, "truncated", "The frame ends before its headers do.";
    BadIpHeader = 9, Drop, "bad_ip_header", "The IP version, header length or total length is impossible.";
    BadIpChecksum = 10, Drop, "bad_ip_checksum", "The IPv4 header checksum is wrong.";
    TtlExpired = 11, Drop, "ttl_expired", "The TTL or hop limit is used up.";
    MartianSource = 12, Drop, "martian_source", "The source address cannot be a client's.";
    BadTransportHeader = 13, Drop, "bad_transport_header", "The length of the TCP, UDP or SCTP header is impossible.";
    BadTcpFlags = 14, Drop, "bad_tcp_flags", "The combination of TCP flags is one that no stack sends.";
    PortZero = 15, Drop, "port_zero", "The source or destination port is 0.";
    TooManyExtensions = 16, Drop, "too_many_extensions", "More IPv6 extension headers than the program follows.";
    NoBackend = 17, Drop, "no_backend", "The service has no backend that takes new flows.";
    BackendUnresolved = 18, Drop, "backend_unresolved", "The flow's backend has no known MAC address at the moment.";
    BackendGone = 19, Drop, "backend_gone", "The flow's backend is no longer known.";
    MapMissing = 20, Drop, "map_missing", "A map entry that must exist does not: a fault of the daemon.";
    IcmpUnrelated = 21, Pass, "icmp_unrelated", "An ICMP error to a VIP quotes no packet that a backend sent for it.";
    BadIcmpQuote = 22, Drop, "bad_icmp_quote", "An ICMP error to a VIP quotes too little of a packet, or nonsense.";
    NoLease = 23, Drop, "no_lease", "Somebody asked for the MAC address of a VIP that this director does not hold at the moment.";
    AllFull = 24, Drop, "all_full", "Every backend of the service has as many connections as it may have.";
    ResetSent = 25, Answer, "reset_sent", "A TCP segment of a connection that was ended, or that nobody knows, was answered with a reset.";
    UnknownFlow = 26, Drop, "unknown_flow", "The packet is in the middle of a connection that nobody knows.";
    TooBigAnswered = 27, Answer, "too_big_answered", "A packet too long for the tunnel was answered with the length that fits.";
    TooBigUnanswered = 28, Drop, "too_big_unanswered", "A packet too long for the tunnel: too many answers were due already.";
    Loop = 29, Drop, "loop", "The packet came from the very machine that it is to be forwarded to.";
    NoHeadroom = 30, Drop, "no_headroom", "The driver leaves no room in front of the packet for the tunnel's headers.";
    ErrorLost = 31, Drop, "error_lost", "An error from the way to a backend could not be sent on to the client.";
    NoTranslation = 32, Drop, "no_translation", "A packet that would have to be translated, and belongs to no connection.";
    TranslationLost = 33, Drop, "translation_lost", "The translation of the packet's connection is gone: the next packet begins another.";
    TranslationConflict = 34, Drop, "translation_conflict", "The client has another connection to the same backend from the same port.";
    TranslationsFull = 35, Drop, "translations_full", "The table of translations has no room for another connection.";
    PoolExhausted = 36, Drop, "pool_exhausted", "The pool of addresses and ports has nothing left for another connection.";
    FragmentHeld = 37, Drop, "fragment_held", "A fragment came before the first one of its packet, and is held until that comes.";
    FragmentUnknown = 38, Drop, "fragment_unknown", "The first fragment of the packet never came, or there is no room to wait for it.";
    BadFragment = 39, Drop, "bad_fragment", "A fragment is so short or lies so that no stack can have sent it.";
    SourceFlood = 40, Drop, "source_flood", "The client has begun more connections in this second than it may.";
    NestedTunnel = 41, Drop, "nested_tunnel", "The packet for a VIP is a tunnel's, with another packet in it.";
}

impl Reason {
    /// Number of counters, one more than the largest number.
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// Whether the frame alone can have this reason: [`parse`](crate::packet::parse) gives it. All others take services, flows
    /// or backends, or a driver.
    #[must_use]
    pub const fn is_of_the_frame(self) -> bool {
        match self {
            Self::NotIp
            | Self::NotVip
            | Self::NotUnicastMac
            | Self::OtherProtocol
            | Self::Fragment
            | Self::RoutingHeader
            | Self::EchoAnswered
            | Self::Truncated
            | Self::BadIpHeader
            | Self::BadIpChecksum
            | Self::TtlExpired
            | Self::MartianSource
            | Self::BadTransportHeader
            | Self::BadTcpFlags
            | Self::PortZero
            | Self::TooManyExtensions
            | Self::NestedTunnel
            | Self::IcmpUnrelated
            | Self::BadIcmpQuote => true,
            Self::NoService
            | Self::NoBackend
            | Self::BackendUnresolved
            | Self::BackendGone
            | Self::MapMissing
            | Self::NoLease
            | Self::AllFull
            | Self::ResetSent
            | Self::UnknownFlow
            | Self::TooBigAnswered
            | Self::TooBigUnanswered
            | Self::Loop
            | Self::NoHeadroom
            | Self::ErrorLost
            | Self::NoTranslation
            | Self::TranslationLost
            | Self::TranslationConflict
            | Self::TranslationsFull
            | Self::PoolExhausted
            | Self::FragmentHeld
            | Self::FragmentUnknown
            | Self::BadFragment
            | Self::SourceFlood => false,
        }
    }

    /// The number, as it indexes the counter map.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_dense_so_that_they_index_an_array() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.number() as usize, index, "{reason:?}");
        }
    }

    #[test]
    fn slugs_are_unique_and_speakable() {
        let slugs: BTreeSet<_> = Reason::ALL.iter().map(|r| r.slug()).collect();
        assert_eq!(slugs.len(), Reason::ALL.len());
        for slug in slugs {
            assert!(
                slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{slug}"
            );
        }
    }

    #[test]
    fn sentences_end_like_sentences() {
        for reason in Reason::ALL {
            assert!(reason.sentence().ends_with('.'), "{reason:?}");
        }
    }
}
