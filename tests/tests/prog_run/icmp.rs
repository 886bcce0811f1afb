//! ICMP errors to a VIP: they reach the backend whose reply they quote.

use std::net::IpAddr;

use lb_common::packet::FlowKey;
use lb_tests::prog_run::{Action, INGRESS, Outcome, Rig, SIZES, one_service};
use lb_userspace::core::model::{Frontend, Protocol};

use crate::{
    case::{Case, Flow, check},
    packets::*,
    world::{self, DNS, ELSEWHERE, Service, WEB},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Destination unreachable, fragmentation needed.
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;

fn needed4(quote: &[u8]) -> Vec<u8> {
    error4(UNREACHABLE, FRAGMENTATION_NEEDED, quote)
}

fn too_big6(quote: &[u8]) -> Vec<u8> {
    error6(PACKET_TOO_BIG, 0, quote)
}

/// A quote with four-byte words of options behind its IPv4 header.
fn quote_with_options(mut quote: Vec<u8>, words: u8) -> Vec<u8> {
    quote[0] += words;
    quote.splice(20..20, vec![1; usize::from(words) * 4]);
    quote
}

/// A quote with these extension headers behind its IPv6 header.
fn quote_with_extensions(quote: Vec<u8>, extensions: &[Extension]) -> Vec<u8> {
    with_extensions([vec![0; IP], quote].concat(), extensions).split_off(IP)
}

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let quote4 = || reply4(80, TCP, &[7; 500]);
    let quote6 = || reply6(80, TCP, &[7; 1100]);
    let short4 = || quote4()[..28].to_vec();
    let short6 = || quote6()[..48].to_vec();
    let options = || padding_options(DESTINATION_OPTIONS, 1);
    let vlans = [0x88A8, 0x8100];
    let ping_reply4 = || echo_reply4(1, b"12345678").split_off(IP);
    let ping_reply6 = || echo_reply6(1, b"12345678").split_off(IP);
    let to = |service: &'static Service, packet: Vec<u8>| move |name| Case::forwards(name, service, Flow::Old, packet);
    vec![
        to(&WEB, needed4(&quote4()))("IPv4 fragmentation needed about TCP"),
        to(&WEB, needed4(&short4()))("IPv4 with eight bytes of TCP"),
        to(&WEB, too_big6(&quote6()))("IPv6 packet too big about TCP"),
        to(&WEB, too_big6(&short6()))("IPv6 with eight bytes of TCP"),
        to(&DNS, needed4(&reply4(53, UDP, b"answer")))("IPv4 about UDP"),
        to(&DNS, too_big6(&reply6(53, UDP, b"answer")))("IPv6 about UDP"),
        to(&DNS, needed4(&reply4(53, UDP, &[])))("IPv4 about an empty datagram"),
        to(&WEB, error4(UNREACHABLE, 1, &short4()))("IPv4 host unreachable"),
        to(&WEB, error4(UNREACHABLE, 3, &short4()))("IPv4 port unreachable"),
        to(&WEB, error4(11, 0, &short4()))("IPv4 time exceeded"),
        to(&WEB, error4(12, 0, &short4()))("IPv4 parameter problem"),
        to(&WEB, error6(1, 4, &short6()))("IPv6 destination unreachable"),
        to(&WEB, error6(3, 0, &short6()))("IPv6 time exceeded"),
        to(&WEB, error6(4, 1, &short6()))("IPv6 parameter problem"),
        Case::forwards("IPv4 by another interface", &ELSEWHERE, Flow::Old, needed4(&reply4(81, TCP, &[]))).redirected(),
        to(&WEB, tagged(needed4(&short4()), &vlans))("IPv4 in two VLANs"),
        to(&WEB, tagged(too_big6(&short6()), &vlans))("IPv6 in two VLANs"),
        to(&WEB, with_options(needed4(&short4()), &[1; 40]))("IPv4 error with options"),
        to(&WEB, with_extensions(too_big6(&short6()), &[options()]))("IPv6 error with an extension header"),
        to(&WEB, needed4(&quote_with_options(short4(), 1)))("IPv4 quote with an option"),
        to(&WEB, needed4(&quote_with_options(short4(), 10)))("IPv4 quote with all the options there can be"),
        to(&WEB, with_options(needed4(&quote_with_options(short4(), 10)), &[1; 40]))("IPv4 options in and out"),
        to(&WEB, too_big6(&quote_with_extensions(short6(), &[options()])))("IPv6 quote with an extension header"),
        to(&WEB, too_big6(&quote_with_extensions(short6(), &[(); 6].map(|()| options()))))("IPv6 quote with six extension headers"),
        to(&WEB, needed4(&with(short4(), 6, &[0x20, 0])))("IPv4 quote of a first fragment"),
        to(&WEB, needed4(&with(short4(), 10, &[0xBA, 0xD0])))("IPv4 quote whose checksum a router left wrong"),
        to(&WEB, needed4(&with(short4(), 2, &[0, 0])))("IPv4 quote whose length a router left wrong"),
        to(&WEB, needed4(&short4()))("IPv4 about a known flow").after([tcp4(80, SYN, &[])]),
        to(&WEB, too_big6(&short6()))("IPv6 about a known flow").after([tcp6(80, SYN, &[])]),

        Case::passes("IPv4 about somebody else's packet", "icmp_unrelated", needed4(&with(short4(), 12, &[9, 9, 9, 9]))),
        Case::passes("IPv6 about somebody else's packet", "icmp_unrelated", too_big6(&with(short6(), 8, &[0xFD]))),
        Case::passes("IPv4 about a packet to the VIP", "icmp_unrelated", needed4(&tcp4(80, SYN, &[])[IP..])),
        Case::passes("IPv6 about a packet to the VIP", "icmp_unrelated", too_big6(&tcp6(80, SYN, &[])[IP..])),
        Case::passes("IPv4 about the director's own echo reply", "icmp_unrelated", error4(UNREACHABLE, 1, &ping_reply4())),
        Case::passes("IPv6 about the director's own echo reply", "icmp_unrelated", error6(1, 0, &ping_reply6())),
        Case::passes("IPv4 about a port that is no service", "no_service", needed4(&reply4(8080, TCP, &[]))),
        Case::passes("IPv6 about a port that is no service", "no_service", too_big6(&reply6(8080, TCP, &[]))),

        Case::passes("IPv4 redirect", "other_protocol", error4(5, 1, &short4())),
        Case::passes("IPv4 source quench", "other_protocol", error4(4, 0, &short4())),
        Case::passes("IPv6 error of an unknown type", "other_protocol", error6(100, 0, &short6())),
        Case::passes("IPv6 neighbour solicitation", "other_protocol", error6(135, 0, &short6())),

        Case::drops("IPv4 without a quote", "bad_icmp_quote", needed4(&[])),
        Case::drops("IPv6 without a quote", "bad_icmp_quote", too_big6(&[])),
        Case::drops("IPv4 quote of seven bytes of TCP", "bad_icmp_quote", needed4(&short4()[..27])),
        Case::drops("IPv6 quote of seven bytes of TCP", "bad_icmp_quote", too_big6(&short6()[..47])),
        Case::drops("IPv4 quote in the frame's padding", "bad_icmp_quote",
            with_ip(needed4(&short4()), 2, &[0, 55])),
        Case::drops("IPv6 quote in the frame's padding", "bad_icmp_quote",
            with(too_big6(&short6()), IP + 4, &[0, 55])),
        Case::drops("IPv4 error quoting an IPv6 packet", "bad_icmp_quote", needed4(&short6())),
        Case::drops("IPv6 error quoting an IPv4 packet", "bad_icmp_quote", too_big6(&quote4())),
        Case::drops("IPv4 quote of a header of four words", "bad_icmp_quote", needed4(&with(short4(), 0, &[0x44]))),
        Case::drops("IPv4 quote whose options run past its end", "bad_icmp_quote", needed4(&with(short4(), 0, &[0x4F]))),
        Case::drops("IPv4 quote of a later fragment", "bad_icmp_quote", needed4(&with(short4(), 6, &[0, 185]))),
        Case::drops("IPv6 quote whose extension header runs past its end", "bad_icmp_quote",
            too_big6(&with(quote_with_extensions(short6(), &[options()]), 41, &[9]))),
        Case::drops("IPv6 quote with seven extension headers", "bad_icmp_quote",
            too_big6(&quote_with_extensions(short6(), &[(); 7].map(|()| options())))),
        Case::drops("IPv4 quote from port 0", "bad_icmp_quote", needed4(&with(short4(), 20, &[0, 0]))),
        Case::drops("IPv6 quote to port 0", "bad_icmp_quote", too_big6(&with(short6(), 42, &[0, 0]))),
    ]
}

#[test]
fn an_error_goes_to_the_backend_whose_reply_it_quotes() {
    check(&cases());
}

/// Builds an error about a quote.
type ErrorAbout = fn(&[u8]) -> Vec<u8>;

/// However much of the quote is missing, the packet is dropped until the ports are there, and then forwarded.
#[test]
fn eight_bytes_of_the_transport_header_are_enough_and_necessary() {
    let mut rig = world::rig();
    let quotes: [(ErrorAbout, Vec<u8>, usize); 4] = [
        (needed4, reply4(80, TCP, &[]), 28),
        (needed4, reply4(53, UDP, b"x"), 28),
        (too_big6, reply6(80, TCP, &[]), 48),
        (too_big6, reply6(53, UDP, b"x"), 48),
    ];
    for (error, quote, enough) in quotes {
        for length in 0..=quote.len() {
            let outcome = rig
                .run(&error(&quote[..length]))
                .expect("the kernel takes the packet");
            let expected = if length < enough { Action::Drop } else { Action::Tx };
            assert_eq!(outcome.action, expected, "{length} bytes: {:?}", outcome.counted);
            let dropped = outcome.counted.contains_key("reason.bad_icmp_quote");
            assert_eq!(dropped, length < enough, "{length} bytes: {:?}", outcome.counted);
        }
    }
}

const BACKENDS: u8 = 50;
const FLOWS: u16 = 200;

fn frontend(vip: IpAddr) -> Frontend {
    Frontend {
        vip,
        port: 80,
        protocol: Protocol::Tcp,
    }
}

fn run(rig: &mut Rig, packet: &[u8]) -> Outcome {
    let outcome = rig.run(packet).expect("the kernel takes the packet");
    assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
    outcome
}

fn mac(outcome: &Outcome) -> &[u8] {
    &outcome.packet[..6]
}

/// A client's segment and the error about the reply to it, from the n-th of its ports.
fn segment_and_error(v4: bool, n: u16, flags: u8) -> (Vec<u8>, Vec<u8>) {
    let port = (10_000 + n).to_be_bytes();
    if v4 {
        let segment = with(tcp4(80, flags, &[]), L4_OF_V4, &port);
        (segment, needed4(&with(reply4(80, TCP, &[]), 22, &port)))
    } else {
        let segment = with(tcp6(80, flags, &[]), L4_OF_V6, &port);
        (segment, too_big6(&with(reply6(80, TCP, &[]), 42, &port)))
    }
}

/// Before there is a flow the error goes where the flow will be; then where it is, wherever new ones would go.
#[test]
fn an_error_follows_its_flow_whatever_the_schedule_says() {
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    let frontends = [frontend(VIP4.into()), frontend(VIP6.into())];
    let all = one_service(&frontends, BACKENDS, INGRESS);
    let mut fewer = all.clone();
    fewer.services[0].backends.truncate(3);
    for v4 in [true, false] {
        rig.configure(&all).expect("the backends fit");
        rig.forget_flows();
        let mut macs = Vec::new();
        for n in 0..FLOWS {
            let (syn, error) = segment_and_error(v4, n, SYN);
            let early = run(&mut rig, &error);
            assert!(
                !early.counted.contains_key("event.flow_created"),
                "{:?}",
                early.counted
            );
            let opened = run(&mut rig, &syn);
            assert!(opened.counted.contains_key("event.flow_created"));
            assert_eq!(mac(&early), mac(&opened), "flow {n}");
            macs.push(mac(&opened).to_vec());
        }
        rig.configure(&fewer).expect("fewer backends fit");
        for n in 0..FLOWS {
            let (_, error) = segment_and_error(v4, n, ACK);
            assert_eq!(mac(&run(&mut rig, &error)), macs[usize::from(n)], "flow {n}");
        }
        let distinct: std::collections::BTreeSet<_> = macs.into_iter().collect();
        assert!(distinct.len() > 40, "the flows were spread: {}", distinct.len());
    }
}

/// An error makes no flow, changes none, and keeps none alive.
#[test]
fn an_error_leaves_the_flow_table_alone() {
    use lb_common::flow_table::Entry as _;
    let mut rig = world::rig();
    let key = FlowKey {
        source: CLIENT4.into(),
        destination: VIP4.into(),
        source_port: CLIENT_PORT,
        destination_port: 80,
        protocol: TCP,
    };
    let error = needed4(&reply4(80, TCP, &[]));
    run(&mut rig, &error);
    assert_eq!(rig.flow(&key), None);
    run(&mut rig, &tcp4(80, SYN, &[]));
    let long_ago = |rig: &Rig| {
        let entries = rig
            .kernel
            .tables
            .flows_v4
            .iter()
            .flat_map(|bucket| &bucket.entries);
        entries
            .filter(|entry| entry.state().is_live())
            .for_each(|entry| entry.last_seen().store(1));
    };
    long_ago(&rig);
    let before = rig.flow(&key);
    assert!(before.is_some());
    run(&mut rig, &error);
    assert_eq!(rig.flow(&key), before);
    let entries = rig
        .kernel
        .tables
        .flows_v4
        .iter()
        .flat_map(|bucket| &bucket.entries);
    let stamps: Vec<u32> = entries
        .filter_map(lb_common::flow_table::Entry::snapshot)
        .map(|snapshot| snapshot.last_seen)
        .collect();
    assert_eq!(stamps, [1]);
}
