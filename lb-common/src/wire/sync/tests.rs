use core::net::IpAddr;
use proptest::prelude::*;
use std::{string::String, vec, vec::Vec};

use super::*;
use crate::{
    packet::{FlowKey, FlowKey4, FlowKey6},
    wire::seal::{Greeting, NodeId},
};

const CLOCK: u64 = 0x0102_0304_0506_0708;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(source: &str, destination: &str) -> FlowKey {
    FlowKey {
        source: ip(source),
        destination: ip(destination),
        source_port: 0x1234,
        destination_port: 443,
        protocol: 6,
    }
}

fn written(write: impl FnOnce(u64, &mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(CLOCK, &mut bytes);
    bytes
}

fn body(bytes: &[u8]) -> Body<'_> {
    let message = Message::parse(bytes).unwrap();
    assert_eq!(message.clock, CLOCK);
    message.body
}

fn target() -> Target {
    Target {
        service: ServiceId(0x1111_1111_1111_1111),
        backend: ip("10.0.0.11"),
        port: 0x1F90,
        rewrite: Rewrite::Nothing,
    }
}

fn record<K>(key: K) -> Record<K> {
    Record {
        key,
        target: Some(0),
        state: 1,
        stamp: Stamp(0xA1A2_A3A4),
        idle: Span(0xB1B2),
        age: Span(0xC1C2),
        pool_port: 0,
    }
}

#[test]
fn updates_are_their_bytes() {
    let four = record(key("198.51.100.7", "192.0.2.10").to_v4().unwrap());
    let six = record(key("2001:db8::7", "2001:db8::10").to_v6().unwrap());
    let mut block = BlockBuilder::new(500);
    block.push4(&four, Some((77, &target()))).unwrap();
    block.push6(&six, Some((77, &target()))).unwrap();
    block.push4(&four, None).unwrap();
    let bytes = written(|clock, to| write::updates(0x91, &block, clock, to));
    #[rustfmt::skip]
    let expected = [
        2, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
        0, 0, 0, 0, 0, 0, 0, 0x91,
        0, 2, 0, 1, 1, 1, 1, 0,
        // IPv4 frontend
        192, 0, 2, 10, 0x01, 0xBB, 6, 0, 0, 0,
        // IPv6 frontend
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0xBB, 6, 0, 0, 0,
        // target
        0, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 10, 0, 0, 11, 0x1F, 0x90,
        // IPv4 records
        198, 51, 100, 7, 0x12, 0x34, 0, 0, 1, 0xA1, 0xA2, 0xA3, 0xA4, 0xB1, 0xB2, 0xC1, 0xC2,
        198, 51, 100, 7, 0x12, 0x34, 0, 255, 0, 0xA1, 0xA2, 0xA3, 0xA4, 0xB1, 0xB2, 0xC1, 0xC2,
        // IPv6 record
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x12, 0x34,
        0, 0, 1, 0xA1, 0xA2, 0xA3, 0xA4, 0xB1, 0xB2, 0xC1, 0xC2,
    ];
    assert_eq!(bytes, expected);
    let Body::Updates { number, block } = body(&bytes) else {
        panic!("no updates");
    };
    assert_eq!((number, block.len()), (0x91, 3));
    assert_eq!(block.targets().collect::<Vec<_>>(), [target()]);
    let gone = Record {
        target: None,
        state: 0,
        ..four
    };
    assert_eq!(block.records4().collect::<Vec<_>>(), [four, gone]);
    assert_eq!(block.records6().collect::<Vec<_>>(), [six]);
}

#[test]
fn translated_connections_have_the_port_of_their_pool() {
    let pooled = Target {
        rewrite: Rewrite::Both(ip("2001:db8::99")),
        ..target()
    };
    let record = Record {
        pool_port: 0x4242,
        ..record(key("198.51.100.7", "192.0.2.10").to_v4().unwrap())
    };
    let mut block = BlockBuilder::new(500);
    block.push4(&record, Some((1, &pooled))).unwrap();
    let bytes = written(|clock, to| write::updates(1, &block, clock, to));
    assert_eq!(bytes[bytes.len() - 2..], [0x42, 0x42]);
    let Body::Updates { block, .. } = body(&bytes) else {
        panic!("no updates");
    };
    assert_eq!(block.targets().collect::<Vec<_>>(), [pooled]);
    assert_eq!(block.records4().collect::<Vec<_>>(), [record]);
}

/// Ports of pools come into a block with the first record that has one, and those before it get none.
#[test]
fn a_block_is_widened_when_it_must_be() {
    let key = |n| FlowKey4::new(n, 1, 80 << 16 | n, 6);
    let plain = |n| Record {
        target: Some(0),
        ..record(key(n))
    };
    let nat = Target {
        rewrite: Rewrite::Destination,
        ..target()
    };
    let full = Target {
        rewrite: Rewrite::Both(ip("192.0.2.200")),
        ..target()
    };
    let pooled = |n| Record {
        target: Some(2),
        pool_port: 7,
        ..plain(n)
    };
    let translated = |n| Record {
        target: Some(1),
        ..plain(n)
    };
    let mut block = BlockBuilder::new(500);
    block.push4(&plain(1), Some((1, &target()))).unwrap();
    block.push4(&translated(2), Some((1, &nat))).unwrap();
    let mark = block.mark();
    block.push4(&pooled(3), Some((1, &full))).unwrap();
    block.roll_back(mark);
    block.push4(&pooled(4), Some((1, &full))).unwrap();
    let bytes = written(|clock, to| write::updates(1, &block, clock, to));
    let Body::Updates { block: parsed, .. } = body(&bytes) else {
        panic!("no updates");
    };
    assert_eq!(parsed.targets().collect::<Vec<_>>(), [target(), nat, full]);
    assert_eq!(
        parsed.records4().collect::<Vec<_>>(),
        [plain(1), translated(2), pooled(4)]
    );
    block.clear();
    block.push4(&plain(1), Some((1, &target()))).unwrap();
    let again = written(|clock, to| write::updates(1, &block, clock, to));
    assert_eq!(
        again.len(),
        write::UPDATES_OVERHEAD + 8 + 10 + 15 + 17,
        "narrow again"
    );

    // To widen what is there takes more room than there is.
    let mut block = BlockBuilder::new(150);
    let count = (0..).take_while(|n| block.push4(&plain(*n), Some((1, &target()))).is_ok());
    assert!(count.count() > 5);
    assert_eq!(block.push4(&pooled(9), Some((1, &target()))), Err(Full));
    let bytes = written(|clock, to| write::updates(1, &block, clock, to));
    assert!(matches!(body(&bytes), Body::Updates { block: parsed, .. } if parsed.len() == block.len()));
}

#[test]
fn a_hello_is_its_bytes() {
    let mut greeting = Greeting::new(0x55);
    greeting.push(NodeId(0x66), 0x77);
    let hello = Hello {
        oldest_version: 1,
        newest_version: 3,
        phase: Phase::Joining,
        answer_wanted: true,
        leaf_bits: 16,
        joined: 500,
        next: 0x21,
        oldest: 0x22,
        flows: 0x23,
        store: 0x24,
        services: 0x25,
        config: 0x26,
        name: "lb1".into(),
        greeting,
        acks: vec![Ack {
            peer: NodeId(0x31),
            salt: 0x32,
            position: 0x33,
            lost: 0x34,
        }],
    };
    let bytes = written(|clock, to| write::hello(&hello, clock, to));
    let mut expected = vec![1, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 1, 1, 16, 0, 0x01, 0xF4];
    for number in 0x21..=0x26_u64 {
        expected.extend(number.to_be_bytes());
    }
    expected.extend([1, 0, 3]);
    expected.extend(b"lb1");
    expected.extend([2, 0, 25]);
    expected.extend(0x55_u64.to_be_bytes());
    expected.push(1);
    expected.extend([0x66_u64, 0x77].map(u64::to_be_bytes).concat());
    expected.extend([3, 0, 28]);
    expected.extend([0x31_u64, 0x32, 0x33].map(u64::to_be_bytes).concat());
    expected.extend(0x34_u32.to_be_bytes());
    assert_eq!(bytes, expected);
    let Body::Hello(parsed) = body(&bytes) else {
        panic!("no hello");
    };
    assert_eq!(parsed, hello);

    // A later version of itself, with a section that nobody knows yet.
    let mut later = bytes.clone();
    later[1] = 9;
    later.extend([200, 0, 2, 0xFF, 0xFF]);
    let Body::Hello(parsed) = body(&later) else {
        panic!("no hello");
    };
    assert_eq!(parsed, hello);
}

#[test]
fn questions_and_answers_are_their_bytes() {
    let head = |kind: u8, rest: &[u8]| {
        let mut bytes = vec![kind, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        bytes.extend_from_slice(rest);
        bytes
    };
    let survey = SurveyId(0x99);
    let be = |number: u64| number.to_be_bytes();

    let nack = Nack {
        sender: NodeId(0x41),
        salt: 0x42,
        missing: vec![MissingRun {
            first: 0x43,
            count: 2,
        }],
    };
    let bytes = written(|clock, to| write::nack(&nack, clock, to));
    assert_eq!(
        bytes,
        head(
            3,
            &[&be(0x41)[..], &be(0x42), &[0, 1], &be(0x43), &[0, 2]].concat()
        )
    );
    assert!(matches!(body(&bytes), Body::Nack(parsed) if parsed == nack));

    let bytes = written(|clock, to| write::survey(survey, clock, to));
    assert_eq!(bytes, head(4, &be(0x99)));
    assert!(matches!(body(&bytes), Body::Survey(parsed) if parsed == survey));

    let digest = Digest {
        sum: 0x51,
        count: 0x52,
    };
    let range = write::DigestRange {
        survey,
        scope: 0x98,
        of_leaves: true,
        first: 0x0102,
    };
    let bytes = written(|clock, to| write::digests(range, [digest].into_iter(), clock, to));
    assert_eq!(bytes.len(), write::DIGESTS_OVERHEAD + write::DIGEST_LENGTH);
    assert_eq!(
        bytes,
        head(
            5,
            &[&be(0x99)[..], &be(0x98), &[1, 1, 2], &be(0x51), &[0, 0, 0, 0x52]].concat()
        )
    );
    let Body::Digests(parsed) = body(&bytes) else {
        panic!("no digests");
    };
    assert_eq!(
        (parsed.survey, parsed.of_leaves, parsed.first),
        (survey, true, 0x0102)
    );
    assert_eq!(parsed.iter().collect::<Vec<_>>(), [digest]);

    let bytes = written(|clock, to| write::wanted_digests(survey, &[1, 0x0203], clock, to));
    assert_eq!(bytes, head(6, &[&be(0x99)[..], &[0, 2, 0, 1, 2, 3]].concat()));
    assert!(matches!(body(&bytes), Body::WantedDigests { branches, .. } if branches == [1, 0x0203]));

    let leaves = Leaves {
        first: 0x0102,
        count: 3,
    };
    let bytes = written(|clock, to| write::wanted_leaves(&[leaves], clock, to));
    assert_eq!(bytes, head(7, &[0, 1, 1, 2, 0, 3]));
    assert!(matches!(body(&bytes), Body::WantedLeaves(parsed) if parsed == [leaves]));

    let part = LeafPart {
        leaves: Leaves {
            first: 0x0102,
            count: 1,
        },
        part: 4,
        last: true,
    };
    let block = BlockBuilder::new(100);
    let bytes = written(|clock, to| write::contents(part, &block, clock, to));
    assert_eq!(bytes, head(8, &[1, 2, 0, 1, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(
        matches!(body(&bytes), Body::Contents { part: parsed, block } if parsed == part && block.is_empty())
    );

    let items = [
        StoreItem {
            key: "a",
            stamp: 0x61,
            author: NodeId(0x62),
            value: Some("xy"),
        },
        StoreItem {
            key: "bc",
            stamp: 0x63,
            author: NodeId(0x64),
            value: None,
        },
    ];
    let bytes = written(|clock, to| write::store(items.into_iter(), clock, to));
    let expected = [
        &[0, 2, 1, b'a'][..],
        &be(0x61),
        &be(0x62),
        &[0, 2, b'x', b'y', 2, b'b', b'c'],
        &be(0x63),
        &be(0x64),
        &[0xFF, 0xFF],
    ];
    assert_eq!(bytes, head(9, &expected.concat()));
    assert!(matches!(body(&bytes), Body::Store(parsed) if parsed == items));
    let length: usize = items.iter().map(StoreItem::length).sum();
    assert_eq!(bytes.len(), write::STORE_OVERHEAD + length);

    let bytes = written(|clock, to| write::services([7, 8].into_iter(), clock, to));
    assert_eq!(bytes, head(10, &[be(7), be(8)].concat()));
    assert!(matches!(body(&bytes), Body::Services(parsed) if parsed == [be(7), be(8)]));
}

#[test]
fn each_fault_has_its_name() {
    let four = record(key("198.51.100.7", "192.0.2.10").to_v4().unwrap());
    let mut block = BlockBuilder::new(500);
    block.push4(&four, Some((1, &target()))).unwrap();
    let good = written(|clock, to| write::updates(1, &block, clock, to));
    let altered = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Message::parse(&bytes).map(|_| ()).unwrap_err()
    };
    for length in 0..good.len() {
        let error = Message::parse(&good[..length]).map(|_| ());
        assert_eq!(error, Err(Refusal::Truncated), "{length}");
    }
    let mut overlong = good.clone();
    overlong.push(0);
    assert_eq!(Message::parse(&overlong).map(|_| ()), Err(Refusal::Overlong));
    assert_eq!(altered(0, 0), Refusal::UnknownKind);
    assert_eq!(altered(0, 99), Refusal::UnknownKind);
    assert_eq!(altered(1, 0), Refusal::OtherVersion);
    assert_eq!(altered(1, VERSION + 1), Refusal::OtherVersion);
    let flags = HEAD + 8 + 7;
    assert_eq!(altered(flags, 2), Refusal::BadValue);
    let (frontend, target, state) = (good.len() - 11, good.len() - 10, good.len() - 9);
    assert_eq!(altered(frontend, 1), Refusal::BadValue, "there is one frontend");
    assert_eq!(altered(target, 1), Refusal::BadValue, "there is one target");
    assert_eq!(altered(target, 255), Refusal::BadValue, "it is not gone");
    assert_eq!(altered(state, 0), Refusal::BadValue, "it is not gone");
    assert_eq!(altered(state, 32), Refusal::BadValue);
    let form = good.len() - 17 - 15;
    assert_eq!(altered(form, 4), Refusal::BadValue, "a family of no pool");
    assert_eq!(altered(form, 10), Refusal::BadValue, "both ways of translating");
    assert_eq!(altered(form, 16), Refusal::BadValue);
}

#[test]
fn a_block_stays_within_its_limit() {
    for (limit, version) in [8, 30, 60, 100, 500, 1372]
        .into_iter()
        .flat_map(|limit| [(limit, 1), (limit, 2)])
    {
        let mut block = BlockBuilder::new(limit);
        block.clear_for(version);
        let mut pushed = 0;
        for n in 0..10_000_u32 {
            let key = FlowKey4::new(n, n % 3, n << 16 | 80, 6);
            let target = Target {
                backend: IpAddr::from([10, 0, 0, (n % 7) as u8]),
                ..target()
            };
            if block.push4(&record(key), Some((n % 7, &target))).is_err() {
                break;
            }
            pushed += 1;
        }
        let bytes = written(|clock, to| write::updates(1, &block, clock, to));
        assert!(bytes.len() <= write::UPDATES_OVERHEAD + limit);
        let Body::Updates { block: parsed, .. } = body(&bytes) else {
            panic!("no updates");
        };
        assert_eq!((parsed.len(), block.len()), (pushed, pushed));
        for (n, parsed) in (0..).zip(parsed.records4()) {
            assert_eq!(parsed.key, FlowKey4::new(n, n % 3, n << 16 | 80, 6));
            assert_eq!(parsed.target, Some((n % 7) as u8));
        }
        block.clear();
        assert!(block.is_empty());
    }
}

/// Every connection with a frontend and a backend of its own: the dictionaries end before the datagram does.
#[test]
fn dictionaries_are_bounded() {
    let mut block = BlockBuilder::new(60_000);
    let mut pushed = 0;
    for n in 0..1000_u32 {
        let target = Target {
            backend: IpAddr::from(n.to_be_bytes()),
            ..target()
        };
        let key = FlowKey4::new(n, n, n << 16, 6);
        if block.push4(&record(key), Some((n, &target))).is_err() {
            break;
        }
        pushed += 1;
    }
    assert_eq!(pushed, MAX_DICTIONARY);
    let bytes = written(|clock, to| write::updates(1, &block, clock, to));
    let Body::Updates { block, .. } = body(&bytes) else {
        panic!("no updates");
    };
    let keys: Vec<_> = block.records4().map(|record| record.key.words[0]).collect();
    let expected: Vec<_> = (0..255_u64).map(|n| n | n << 32).collect();
    assert_eq!(keys, expected);
    assert_eq!(block.targets().count(), 255);
}

/// What the issue of the whole protocol is: few bytes a connection.
#[test]
fn a_connection_takes_less_than_32_bytes_of_the_wire() {
    // An Ethernet frame's payload, less IPv4, UDP, envelope and message.
    let limit = 1500 - 28 - crate::wire::seal::OVERHEAD - write::UPDATES_OVERHEAD;
    let mut block = BlockBuilder::new(limit);
    for (version, backends, most) in [(1, 16, 25), (2, 16, 21), (1, 200, 37), (2, 200, 26)] {
        block.clear_for(version);
        for n in 0.. {
            let target = Target {
                backend: IpAddr::from([10, 0, 0, (n % backends) as u8]),
                ..target()
            };
            let key = FlowKey4::new(n, n % 2, (80 << 16) | (n % 60_000), 6);
            if block.push4(&record(key), Some((n % backends, &target))).is_err() {
                break;
            }
        }
        // With preamble, header, checksum and gap: all that the line carries.
        let each = 1538 / block.len();
        assert!(
            each < most,
            "{each} bytes, version {version}, {backends} backends"
        );
    }
}

/// Targets that differ in nothing but the backend are short for whoever understands that.
#[test]
fn a_target_may_be_like_the_one_before() {
    let to = |service, backend: &str, rewrite| Target {
        service: ServiceId(service),
        backend: ip(backend),
        rewrite,
        ..target()
    };
    let pool = Rewrite::Both(ip("192.0.2.200"));
    let targets = [
        to(7, "10.0.0.1", Rewrite::Nothing),
        to(7, "10.0.0.2", Rewrite::Nothing),
        to(7, "2001:db8::2", Rewrite::Nothing),
        to(7, "10.0.0.3", Rewrite::Destination),
        to(8, "10.0.0.4", Rewrite::Destination),
        to(8, "10.0.0.5", pool),
        to(8, "10.0.0.6", pool),
    ];
    let mut lengths = Vec::new();
    for version in [1, 2] {
        let mut block = BlockBuilder::new(1000);
        block.clear_for(version);
        for (n, target) in (0..).zip(&targets) {
            let key = FlowKey4::new(n, 9, n << 16 | 80, 6);
            block.push4(&record(key), Some((n, target))).unwrap();
        }
        let bytes = written(|clock, to| write::updates(1, &block, clock, to));
        assert_eq!(bytes[1], version);
        let Body::Updates { block: parsed, .. } = body(&bytes) else {
            panic!("no updates");
        };
        assert_eq!(parsed.targets().collect::<Vec<_>>(), targets);
        lengths.push(bytes.len());
        // The first one has none before it.
        block.clear();
        block
            .push4(&record(FlowKey4::new(1, 9, 80, 6)), Some((1, &targets[1])))
            .unwrap();
        assert_eq!(block.version(), 1);
    }
    // Service, port, and once the address of the pool.
    assert_eq!(lengths[0] - lengths[1], 10 + 10 + 14);
}

#[test]
fn stamps_wrap_and_spans_round_down() {
    assert!(Stamp(1).is_after(Stamp(0)) && !Stamp(0).is_after(Stamp(0)));
    assert!(Stamp(3).is_after(Stamp(u32::MAX)) && !Stamp(u32::MAX).is_after(Stamp(3)));
    assert_eq!(Stamp(u32::MAX).next(), Stamp(0));
    assert_eq!(Stamp::at(32).earlier_by(16), Stamp(1));
    for ms in [0, 16, 32_000, 32_752, 1_000_000, 86_400_000, 400 * 86_400_000] {
        let back = Span::of_ms(ms).ms();
        assert!(back <= ms && ms - back <= (ms / 2000).max(15), "{ms} {back}");
    }
    assert_eq!(Span::of_ms(32_752).ms(), 32_752);
    assert_eq!(Span::of_ms(u64::MAX), Span(u16::MAX));
}

fn address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>()
}

fn any_rewrite() -> impl Strategy<Value = Rewrite> {
    prop_oneof![
        Just(Rewrite::Nothing),
        Just(Rewrite::Destination),
        address().prop_map(Rewrite::Both),
    ]
}

prop_compose! {
    // Few services and ports, so that some are like those before.
    fn any_target()(
        service in 0..2_u64, backend in address(), port in 0..2_u16, rewrite in prop_oneof![Just(Rewrite::Nothing), any_rewrite()],
    ) -> Target {
        Target { service: ServiceId(service), backend, port, rewrite }
    }
}

prop_compose! {
    fn any_record()(
        words: [u64; 5], state in 1..32_u8, stamp: u32, idle: u16, age: u16, pool_port: u16,
    ) -> ([u64; 5], Record<()>) {
        let record = Record {
            key: (), target: None, state, stamp: Stamp(stamp), idle: Span(idle), age: Span(age), pool_port,
        };
        (words, record)
    }
}

fn with_key<K>(key: K, record: Record<()>, target: Option<u8>, pool_ports: bool) -> Record<K> {
    Record {
        key,
        target,
        state: if target.is_some() { record.state } else { 0 },
        stamp: record.stamp,
        idle: record.idle,
        age: record.age,
        pool_port: if pool_ports { record.pool_port } else { 0 },
    }
}

proptest! {
    #[test]
    fn any_block_round_trips(
        targets in proptest::collection::vec(any_target(), 1..20),
        records in proptest::collection::vec((any_record(), any::<bool>(), any::<Option<prop::sample::Index>>()), 0..40),
        pool_ports: bool,
        version in 1..3_u8,
    ) {
        let mut block = BlockBuilder::new(65_000);
        block.clear_for(version);
        let (mut four, mut six) = (Vec::new(), Vec::new());
        let mut used: Vec<u32> = Vec::new();
        for ((words, record), is_four, target) in records {
            let number = target.map(|index| index.index(targets.len()) as u32);
            let index = number.map(|number| {
                let known = used.iter().position(|used| *used == number);
                known.unwrap_or_else(|| { used.push(number); used.len() - 1 }) as u8
            });
            let told = number.map(|number| (number, &targets[number as usize]));
            if is_four {
                let key = FlowKey4 { words: [words[0], words[1]] };
                four.push(with_key(key, record, index, pool_ports));
                prop_assert!(block.push4(four.last().unwrap(), told).is_ok());
            } else {
                six.push(with_key(FlowKey6 { words }, record, index, pool_ports));
                prop_assert!(block.push6(six.last().unwrap(), told).is_ok());
            }
        }
        let bytes = written(|clock, to| write::updates(5, &block, clock, to));
        let Body::Updates { number: 5, block } = body(&bytes) else { panic!("no updates") };
        prop_assert_eq!(block.records4().collect::<Vec<_>>(), four);
        prop_assert_eq!(block.records6().collect::<Vec<_>>(), six);
        let expected: Vec<_> = used.iter().map(|number| targets[*number as usize]).collect();
        prop_assert_eq!(block.targets().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn any_span_is_what_it_is_made_of(span: u16) {
        prop_assert_eq!(Span::of_ms(Span(span).ms()), Span(span));
    }

    #[test]
    fn no_bytes_make_it_panic(kind in 0..12_u8, bytes: Vec<u8>) {
        let _ = read_all(&bytes);
        let mut message = vec![kind, 1, 0, 0];
        message.extend(bytes);
        let _ = read_all(&message);
    }
}

/// Reads everything that a message says.
fn read_all(bytes: &[u8]) -> Result<usize, Refusal> {
    Ok(match Message::parse(bytes)?.body {
        Body::Updates { block, .. } | Body::Contents { block, .. } => {
            let (four, six) = (block.records4().count(), block.records6().count());
            assert_eq!(four + six, block.len());
            let targets = block.targets().count();
            let told = block.records4().filter_map(|record| record.target);
            assert!(
                told.chain(block.records6().filter_map(|record| record.target))
                    .all(|t| usize::from(t) < targets)
            );
            block.len()
        }
        Body::Digests(digests) => digests.iter().count(),
        Body::Hello(hello) => {
            let name: String = hello.name;
            assert!(name.len() <= MAX_NAME && hello.acks.len() <= MAX_PEERS);
            1
        }
        Body::Nack(nack) => nack.missing.len(),
        Body::Survey(_) => 1,
        Body::WantedDigests { branches, .. } => branches.len(),
        Body::WantedLeaves(leaves) => leaves.len(),
        Body::Store(items) => items.len(),
        Body::Services(services) => services.len(),
    })
}
