//! Services whose backend cannot be had.

use crate::{
    case::{Case, check},
    packets::*,
    world::{EMPTY, GONE, NARROW, OUTSIDE, UNRESOLVED},
};

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::drops("IPv4 nobody serves it", "no_backend", tcp4(EMPTY.port, SYN, &[])),
        Case::drops("IPv6 nobody serves it", "no_backend", tcp6(EMPTY.port, SYN, &[])),
        Case::drops("IPv4 backend without a MAC address", "backend_unresolved", tcp4(UNRESOLVED.port, SYN, &[]))
            .opens(&UNRESOLVED),
        Case::drops("IPv6 backend without a MAC address", "backend_unresolved", tcp6(UNRESOLVED.port, SYN, &[]))
            .opens(&UNRESOLVED),
        Case::drops("a known flow to a backend without a MAC address", "backend_unresolved", tcp4(UNRESOLVED.port, ACK, &[]))
            .after([tcp4(UNRESOLVED.port, SYN, &[])]),
        Case::drops("IPv4 backend that was forgotten", "backend_gone", tcp4(GONE.port, ACK, &[]))
            .after([tcp4(GONE.port, SYN, &[])]),
        Case::drops("IPv6 backend that was forgotten", "backend_gone", tcp6(GONE.port, ACK, &[]))
            .after([tcp6(GONE.port, SYN, &[])]),
        Case::drops("IPv4 backend with as many connections as it may have", "all_full", tcp4(NARROW.port, SYN, &[]))
            .after([tcp6(NARROW.port, SYN, &[])]),
        Case::drops("IPv6 backend with as many connections as it may have", "all_full", tcp6(NARROW.port, SYN, &[]))
            .after([tcp4(NARROW.port, SYN, &[])]),
        Case::drops("IPv4 service outside the map", "map_missing", tcp4(OUTSIDE.port, SYN, &[])),
        Case::drops("IPv6 service outside the map", "map_missing", tcp6(OUTSIDE.port, SYN, &[])),
    ]
}

#[test]
fn without_a_backend_nothing_is_forwarded() {
    check(&cases());
}
