use super::*;
use proptest::prelude::*;
use std::{string::ToString, vec::Vec};

const V4: Endpoints = Endpoints::V4 {
    source: Ipv4Addr::new(10, 9, 0, 2),
    destination: GROUP_V4,
};
const V6: Endpoints = Endpoints::V6 {
    source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2),
    destination: GROUP_V6,
};

/// What keepalived 2.2.7 sends from 10.9.0.2: priority 150, 100 ms, 10.9.0.100 and 10.9.0.101.
const KEEPALIVED_V4: [u8; 16] = [
    0x31, 0x33, 0x96, 0x02, 0x00, 0x0a, 0x39, 0x47, 0x0a, 0x09, 0x00, 0x64, 0x0a, 0x09, 0x00, 0x65,
];
/// What keepalived 2.2.7 sends from fe80::ff:fe00:2: priority 150, 500 ms, fe80::100 and 2001:db8::100.
const KEEPALIVED_V6: [u8; 40] = [
    0x31, 0x33, 0x96, 0x02, 0x00, 0x32, 0x0d, 0x2e, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0,
];

const VIPS_V4: &[[u8; 4]] = &[[10, 9, 0, 100], [10, 9, 0, 101]];
const VIPS_V6: &[[u8; 16]] = &[
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
];

fn repr(addresses: Addresses<'_>, centiseconds: u16) -> Repr<'_> {
    Repr {
        vrid: 51,
        priority: 150,
        interval: Interval::from_centiseconds(centiseconds).unwrap(),
        coverage: Coverage::PseudoHeader,
        addresses,
    }
}

fn emit(repr: &Repr<'_>, endpoints: &Endpoints) -> Vec<u8> {
    let mut buffer = [0xEE; MAX_LENGTH];
    repr.emit(endpoints, &mut buffer).unwrap().to_vec()
}

/// `message` with `bytes` at `at` and a checksum that is right again.
fn altered(message: &[u8], at: usize, bytes: &[u8], endpoints: &Endpoints) -> Vec<u8> {
    let mut message = message.to_vec();
    message[at..at + bytes.len()].copy_from_slice(bytes);
    message[CHECKSUM].fill(0);
    let checksum = !fold(sum(&message) + endpoints.pseudo_header(message.len()));
    message[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    message
}

#[test]
fn keepalived_is_understood_and_spoken() {
    let four = repr(Addresses::V4(VIPS_V4), 10);
    assert_eq!(Repr::parse(&KEEPALIVED_V4, &V4, HOP_LIMIT), Ok(four));
    assert_eq!(emit(&four, &V4), KEEPALIVED_V4);
    let six = repr(Addresses::V6(VIPS_V6), 50);
    assert_eq!(Repr::parse(&KEEPALIVED_V6, &V6, HOP_LIMIT), Ok(six));
    assert_eq!(emit(&six, &V6), KEEPALIVED_V6);
}

#[test]
fn ipv4_without_pseudo_header_is_understood_and_spoken() {
    let repr = Repr {
        coverage: Coverage::Message,
        ..repr(Addresses::V4(VIPS_V4), 10)
    };
    let message = emit(&repr, &V4);
    assert_eq!(fold(sum(&message)), 0xFFFF);
    assert_eq!(Repr::parse(&message, &V4, HOP_LIMIT), Ok(repr));
}

#[test]
fn ipv6_always_has_the_pseudo_header() {
    let repr = Repr {
        coverage: Coverage::Message,
        ..repr(Addresses::V6(VIPS_V6), 50)
    };
    let mut message = emit(&repr, &V6);
    assert_eq!(message, KEEPALIVED_V6);
    message[CHECKSUM].fill(0);
    let alone = !fold(sum(&message));
    message[CHECKSUM].copy_from_slice(&alone.to_be_bytes());
    assert_eq!(Repr::parse(&message, &V6, HOP_LIMIT), Err(Refusal::Checksum));
}

#[test]
fn each_lie_has_its_refusal() {
    for (message, endpoints) in [(&KEEPALIVED_V4[..], V4), (&KEEPALIVED_V6[..], V6)] {
        for (at, bytes, refusal) in [
            (0, &[0x21][..], Refusal::Version2),
            (0, &[0x41], Refusal::UnknownVersion),
            (0, &[0x01], Refusal::UnknownVersion),
            (0, &[0x30], Refusal::UnknownType),
            (0, &[0x32], Refusal::UnknownType),
            (3, &[3], Refusal::Truncated),
            (3, &[255], Refusal::Truncated),
            (4, &[0, 0], Refusal::IntervalZero),
            (4, &[0xF0, 0], Refusal::IntervalZero),
        ] {
            let message = altered(message, at, bytes, &endpoints);
            assert_eq!(
                Repr::parse(&message, &endpoints, HOP_LIMIT),
                Err(refusal),
                "{bytes:02x?}"
            );
        }
        let none = altered(&message[..HEADER], 3, &[0], &endpoints);
        assert_eq!(
            Repr::parse(&none, &endpoints, HOP_LIMIT),
            Err(Refusal::NoAddresses)
        );
        for hop_limit in [0, 1, 64, 254] {
            assert_eq!(
                Repr::parse(message, &endpoints, hop_limit),
                Err(Refusal::HopLimit)
            );
        }
    }
}

#[test]
fn a_bit_that_flips_is_seen() {
    for (message, endpoints) in [(&KEEPALIVED_V4[..], V4), (&KEEPALIVED_V6[..], V6)] {
        for bit in 0..message.len() * 8 {
            let mut message = message.to_vec();
            message[bit / 8] ^= 1 << (bit % 8);
            assert!(Repr::parse(&message, &endpoints, HOP_LIMIT).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn the_checksum_covers_who_sent_it_and_to_whom() {
    let Endpoints::V4 { source, destination } = V4 else {
        unreachable!("a constant")
    };
    for endpoints in [
        Endpoints::V4 {
            source: Ipv4Addr::new(10, 9, 0, 3),
            destination,
        },
        Endpoints::V4 {
            source,
            destination: Ipv4Addr::new(10, 9, 0, 7),
        },
    ] {
        assert_eq!(
            Repr::parse(&KEEPALIVED_V4, &endpoints, HOP_LIMIT),
            Err(Refusal::Checksum)
        );
    }
}

#[test]
fn a_message_that_ends_early_is_refused_and_one_that_ends_late_is_not() {
    for (message, endpoints) in [(&KEEPALIVED_V4[..], V4), (&KEEPALIVED_V6[..], V6)] {
        for length in 0..message.len() {
            let outcome = Repr::parse(&message[..length], &endpoints, HOP_LIMIT);
            assert_eq!(outcome, Err(Refusal::Truncated), "{length}");
        }
        let whole = Repr::parse(message, &endpoints, HOP_LIMIT);
        let mut longer = message.to_vec();
        longer.extend([0xEE; 28]);
        assert_eq!(Repr::parse(&longer, &endpoints, HOP_LIMIT), whole);
    }
}

#[test]
fn what_does_not_fit_a_message_is_not_sent() {
    let many = [[10, 9, 1, 1]; MAX_ADDRESSES + 1];
    let mut buffer = [0xEE; MAX_LENGTH];
    for (addresses, endpoints, expected) in [
        (Addresses::V4(VIPS_V4), V6, Unsendable::OtherFamily),
        (Addresses::V6(VIPS_V6), V4, Unsendable::OtherFamily),
        (Addresses::V4(&[]), V4, Unsendable::NoAddresses),
        (
            Addresses::V4(&many),
            V4,
            Unsendable::TooManyAddresses { count: 256 },
        ),
    ] {
        assert_eq!(
            repr(addresses, 1).emit(&endpoints, &mut buffer),
            Err(expected),
            "{expected}"
        );
    }
    let most = repr(Addresses::V4(&many[1..]), 1);
    assert_eq!(
        Repr::parse(&emit(&most, &V4), &V4, HOP_LIMIT),
        Ok(most),
        "as many as fit"
    );
    let short = Unsendable::NoRoom { length: 16, room: 15 };
    assert_eq!(
        repr(Addresses::V4(VIPS_V4), 1).emit(&V4, &mut buffer[..15]),
        Err(short)
    );
    assert_eq!(buffer, [0xEE; MAX_LENGTH]);
}

#[test]
fn an_interval_is_what_twelve_bits_hold() {
    for (centiseconds, expected) in [
        (0, None),
        (1, Some(Duration::from_millis(10))),
        (100, Some(Duration::from_secs(1))),
        (4095, Some(Duration::from_millis(40_950))),
        (4096, None),
        (u16::MAX, None),
    ] {
        let interval = Interval::from_centiseconds(centiseconds);
        assert_eq!(interval.map(Interval::duration), expected, "{centiseconds}");
    }
}

#[test]
fn every_refusal_has_its_own_name_and_sentence() {
    for (index, refusal) in Refusal::ALL.iter().enumerate() {
        assert_eq!(*refusal as usize, index);
        assert!(refusal.sentence().ends_with('.'), "{refusal:?}");
        let name = refusal.slug();
        assert!(name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()));
        let same = Refusal::ALL.iter().filter(|other| other.slug() == name);
        assert_eq!(same.count(), 1, "{name}");
    }
    for unsendable in [Unsendable::OtherFamily, Unsendable::NoAddresses] {
        assert!(unsendable.to_string().contains(": "), "says what to do");
    }
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(source, destination)| Endpoints::V4 {
            source: source.into(),
            destination: destination.into(),
        }),
        any::<([u8; 16], [u8; 16])>().prop_map(|(source, destination)| Endpoints::V6 {
            source: source.into(),
            destination: destination.into(),
        }),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(message: Vec<u8>, endpoints in endpoints()) {
        let _ = Repr::parse(&message, &endpoints, HOP_LIMIT);
    }

    /// Random bytes seldom have the right checksum.
    #[test]
    fn what_is_accepted_is_written_again_as_it_was(
        header in (any::<u8>(), any::<u8>(), 0..6_u8, 0..=0x0FFF_u16),
        addresses in proptest::collection::vec(any::<u8>(), 0..100),
        endpoints in endpoints(),
    ) {
        let (vrid, priority, count, interval) = header;
        let [high, low] = interval.to_be_bytes();
        let mut message = std::vec![0x31, vrid, priority, count, high, low, 0, 0];
        message.extend(addresses);
        message.truncate(HEADER + usize::from(count) * endpoints.address_length());
        let message = altered(&message, 0, &[0x31], &endpoints);
        match Repr::parse(&message, &endpoints, HOP_LIMIT) {
            Ok(repr) => prop_assert_eq!(emit(&repr, &endpoints), message),
            Err(refusal) => prop_assert!(
                matches!(refusal, Refusal::Truncated | Refusal::NoAddresses | Refusal::IntervalZero),
                "{:?}", refusal
            ),
        }
    }
}
