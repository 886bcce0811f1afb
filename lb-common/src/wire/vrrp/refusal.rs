//! Why an advertisement was not obeyed.

macro_rules! refusals {
    ($($name:ident, $slug:literal, $sentence:literal;)+) => {
        /// Why a VRRP message that arrived was not obeyed. Each is counted by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $(#[doc = $sentence] $name,)+
        }

        impl Refusal {
            /// Every refusal, in the order of declaration, which is the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

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

refusals! {
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
    LocalOwner, "local_owner", "This director owns the addresses (priority 255) and yields to nobody.";
    NotRunning, "not_running", "The instance is stopped, or its interface is down.";
}
