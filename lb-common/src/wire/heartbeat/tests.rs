use core::net::IpAddr;
use std::{string::String, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

fn report() -> impl Strategy<Value = Report> {
    let group = (
        any::<u64>(),
        0..3_u8,
        any::<[bool; 4]>(),
        any::<[u8; 2]>(),
        any::<u64>(),
    )
        .prop_map(
            |(group, role, [fit, link, claims, takes], [priority, health], successor)| Group {
                group,
                role: [Role::Out, Role::Backup, Role::Active][usize::from(role)],
                fit,
                link,
                claims,
                takes,
                priority,
                health,
                successor: NodeId(successor),
            },
        );
    let hears = any::<u64>().prop_map(NodeId);
    let address = any::<IpAddr>().prop_map(Address);
    (
        any::<(u64, u64, u64, u16, bool, bool)>(),
        ("[a-z]{1,63}", "[0-9.]{0,15}"),
        any::<(u64, u64, u64, u16)>(),
        proptest::collection::vec(address, 0..=MAX_ADDRESSES),
        proptest::collection::vec(hears, 0..=MAX_PEERS),
        proptest::collection::vec(group, 0..4),
    )
        .prop_map(|(fixed, texts, sync, addresses, hears, groups)| Report {
            node: NodeId(fixed.0),
            epoch: fixed.1,
            number: fixed.2,
            valid: fixed.3,
            maintenance: fixed.4,
            leaving: fixed.5,
            name: Text::new(&texts.0),
            version: Text::new(&texts.1),
            config: sync.0,
            sync: Sync {
                position: sync.1,
                digest: sync.2,
                completeness: sync.3,
            },
            addresses: addresses.into_iter().collect(),
            hears: hears.into_iter().collect(),
            groups: groups.into_iter().collect(),
        })
}

const RETURNS: [Return; 1] = [Return {
    peer: NodeId(9),
    sent: 11,
    held: 12,
}];

fn written(reports: &[Report], room: usize) -> Option<Vec<u8>> {
    let beat = Beat {
        interval: 100,
        sequence: 7,
        sent: 0xFFFF_FFFF,
    };
    let mut greeting = Greeting::new(0x0123_4567_89ab_cdef);
    greeting.push(NodeId(9), 10);
    let mut buffer = vec![0xa5; room];
    let length = emit(beat, &greeting, &RETURNS, reports, &mut buffer)?;
    buffer.truncate(length);
    Some(buffer)
}

/// Byte by byte, so that nobody changes the format without noticing.
#[test]
fn a_heartbeat_as_documented() {
    let report = Report {
        node: NodeId(0x0102_0304_0506_0708),
        epoch: 5,
        number: 6,
        valid: 7,
        maintenance: true,
        leaving: false,
        name: Text::new("a"),
        version: Text::new("0.1"),
        config: 8,
        sync: Sync {
            position: 1,
            digest: 2,
            completeness: 10_000,
        },
        addresses: [Address("192.0.2.2".parse().unwrap())].into_iter().collect(),
        hears: [NodeId(9)].into_iter().collect(),
        groups: [Group {
            group: 10,
            role: Role::Active,
            fit: true,
            link: true,
            claims: false,
            takes: false,
            priority: 150,
            health: 100,
            successor: NodeId(9),
        }]
        .into_iter()
        .collect(),
    };
    #[rustfmt::skip]
    let expected = [
        &[1, 0, 0, 100, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff][..],
        &[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1],
        &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10],
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 11, 0, 0, 0, 12],
        &[1, 0, 106],
        &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 7, 1],
        &[1, b'a', 3, b'0', b'.', b'1'],
        &[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0x27, 0x10],
        &[1, 4, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0, 9],
        &[1, 0, 0, 0, 0, 0, 0, 0, 10, 2 | 4 | 8, 150, 100, 0, 0, 0, 0, 0, 0, 0, 9],
    ].concat();
    assert_eq!(written(&[report], MAX_LENGTH).unwrap(), expected);
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(Text::<3>::new("aä").as_str(), "aä");
    assert_eq!(Text::<3>::new("aaä").as_str(), "aa");
    assert_eq!(Text::<3>::new("ääää").as_str(), "ä");
    assert_eq!(Text::<0>::new("a").as_str(), "");
}

#[test]
fn what_a_later_version_adds_to_a_report_is_passed_over() {
    let report = Report {
        name: Text::new("a"),
        ..Report::default()
    };
    let mut bytes = written(&[report, report], MAX_LENGTH).unwrap();
    let at = bytes.len() - 2 * report.length();
    bytes.splice(at + report.length()..at + report.length(), [1, 2, 3]);
    bytes[at + 1] += 3;
    let heartbeat = Heartbeat::parse(&bytes).unwrap();
    let reports: Vec<_> = heartbeat.reports().collect();
    assert_eq!(reports, [Ok(report), Ok(report)]);
}

/// The largest report there is, with all that seven others ask for.
#[test]
fn a_full_report_has_room() {
    let report = Report {
        name: Text::new(&"n".repeat(MAX_NAME)),
        version: Text::new(&"1".repeat(MAX_VERSION)),
        addresses: [Address::default(); MAX_ADDRESSES].into_iter().collect(),
        hears: [NodeId(1); 7].into_iter().collect(),
        groups: [Group::default(); MAX_GROUPS].into_iter().collect(),
        ..Report::default()
    };
    let mut greeting = Greeting::new(1);
    for _ in 0..7 {
        greeting.push(NodeId(9), 10);
    }
    let beat = Beat {
        interval: 10,
        sequence: 1,
        sent: 1,
    };
    let mut buffer = vec![0; MAX_LENGTH];
    let length = emit(beat, &greeting, &[RETURNS[0]; 7], [&report], &mut buffer).unwrap();
    let heartbeat = Heartbeat::parse(&buffer[..length]).unwrap();
    assert_eq!(heartbeat.reports().collect::<Vec<_>>(), [Ok(report)]);
    assert_eq!(heartbeat.greeting.echoes().len(), 7);
    assert_eq!(heartbeat.returns.as_slice().len(), 7);

    // With more, the report goes before everything else.
    while greeting.push(NodeId(9), 10) {}
    let length = emit(beat, &greeting, &[RETURNS[0]; MAX_PEERS], [&report], &mut buffer).unwrap();
    let heartbeat = Heartbeat::parse(&buffer[..length]).unwrap();
    assert_eq!(heartbeat.reports().collect::<Vec<_>>(), [Ok(report)]);
    assert!(heartbeat.greeting.echoes().is_empty());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(reports in proptest::collection::vec(report(), 1..4)) {
        let bytes = written(&reports, MAX_LENGTH).unwrap();
        let heartbeat = Heartbeat::parse(&bytes).unwrap();
        prop_assert_eq!(heartbeat.beat.sent, 0xFFFF_FFFF);
        prop_assert!(heartbeat.greeting.answers(NodeId(9), 10));
        prop_assert_eq!(heartbeat.returns.as_slice(), RETURNS);
        let read: Result<Vec<_>, _> = heartbeat.reports().collect();
        let read = read.unwrap();
        prop_assert!(!read.is_empty());
        prop_assert_eq!(&read[..], &reports[..read.len()]);
    }

    /// With little room, reports are left out from the end; without any, there is none.
    #[test]
    fn whatever_room_there_is_is_enough_or_refused(reports in proptest::collection::vec(report(), 1..9), room in 0..1500_usize) {
        if let Some(bytes) = written(&reports, room) {
            prop_assert!(bytes.len() <= room);
            let heartbeat = Heartbeat::parse(&bytes).unwrap();
            prop_assert!(heartbeat.reports().all(|report| report.is_ok()));
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>, reports in proptest::collection::vec(report(), 1..3), cut: usize, flips in proptest::collection::vec(any::<(usize, u8)>(), 0..4)) {
        for mut bytes in [bytes, written(&reports, MAX_LENGTH).unwrap()] {
            bytes.truncate(cut % (bytes.len() + 1));
            for (at, value) in &flips {
                let length = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at % length) {
                    *byte ^= value;
                }
            }
            if let Ok(heartbeat) = Heartbeat::parse(&bytes) {
                let reports = heartbeat.reports().take_while(Result::is_ok).count();
                prop_assert!(reports <= MAX_REPORTS);
            }
        }
    }

    #[test]
    fn texts_are_what_they_were(text in "\\PC{0,30}") {
        let whole = Text::<200>::new(&text);
        prop_assert_eq!(whole.as_str(), &text);
        let short = Text::<7>::new(&text);
        prop_assert!(text.starts_with(short.as_str()));
        prop_assert_eq!(String::from(short.as_str()).len() + 1, short.length());
    }
}
