//! The parser on the host and the program in the kernel agree on frames that are right, nearly right, and wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use lb_common::{
    flow_state::FlowState,
    packet::{FlowKey, Parsed, parse},
    reason::{Fate, Reason},
    tcp_state,
};
use lb_tests::prog_run::{Action, Flow, Rig, SIZES};
use lb_userspace::datapath::MapSizes;
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};

use crate::{
    not_ours::{collides4, collides6},
    packets::*,
    world::{DNS, WEB, address, desired},
};

/// What a frame is made of before something goes wrong with it.
#[derive(Debug, Clone)]
struct Recipe {
    kind: Kind,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ports: [u16; 2],
    flags: u8,
    payload: Vec<u8>,
    options: usize,
    extensions: Vec<Extension>,
    tags: Vec<u16>,
    accidents: Vec<Accident>,
    repaired: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
    Ping4,
    Ping6,
    Error4,
    Error6,
}

#[derive(Debug, Clone)]
enum Accident {
    /// A byte of the headers is another.
    Byte(Index, u8),
    /// A length field says more or less than before: IPv4's or IPv6's, or UDP's.
    Length(LengthField, i16),
    /// The TTL or the hop limit.
    Ttl(u8),
    /// The protocol, or the first next header.
    Protocol(u8),
    /// IPv4's flags and fragment offset.
    Fragment(u16),
    /// The destination MAC's first byte.
    Mac(u8),
    /// The rest is missing.
    Cut(Index),
    /// Something follows.
    Padding(usize),
}

#[derive(Debug, Clone, Copy)]
enum LengthField {
    Network,
    Udp,
}

fn kind() -> impl Strategy<Value = Kind> {
    use Kind::*;
    select(vec![Tcp4, Tcp6, Udp4, Udp6, Ping4, Ping6, Error4, Error6])
}

/// Mostly the client and the VIP (`None`), else somebody of either family; one of the wrong family is not used.
fn source() -> impl Strategy<Value = Option<IpAddr>> {
    let v4 = [
        [0, 0, 0, 1],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255; 4],
        VIP4.octets(),
    ];
    let v6 = [
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        Ipv6Addr::from(0xFF02 << 112 | 1),
        VIP6,
    ];
    let martians = v4.map(IpAddr::from).into_iter().chain(v6.map(IpAddr::V6));
    prop_oneof![
        8 => Just(None),
        2 => select(martians.collect::<Vec<_>>()).prop_map(Some),
        2 => any::<u32>().prop_map(|a| Some(Ipv4Addr::from(a).into())),
        2 => any::<u128>().prop_map(|a| Some(Ipv6Addr::from(a).into())),
    ]
}

fn destination() -> impl Strategy<Value = Option<IpAddr>> {
    let others: [IpAddr; 3] = [collides4().into(), collides6().into(), CLIENT4.into()];
    prop_oneof![12 => Just(None), 1 => select(others.to_vec()).prop_map(Some)]
}

fn extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        3 => (1..4u8).prop_map(|units| padding_options(HOP_BY_HOP, units)),
        6 => (1..40u8).prop_map(|units| padding_options(DESTINATION_OPTIONS, units)),
        2 => Just(routing(0)),
        1 => Just(routing(2)),
        1 => any::<(u8, bool)>().prop_map(|(offset, more)| fragment(offset.into(), more)),
    ]
}

fn accident() -> impl Strategy<Value = Accident> {
    let field = select(vec![LengthField::Network, LengthField::Udp]);
    let protocol = select(vec![0, 1, 4, 6, 17, 41, 43, 44, 47, 50, 58, 59, 60, 255]);
    prop_oneof![
        6 => any::<(Index, u8)>().prop_map(|(at, byte)| Accident::Byte(at, byte)),
        3 => (field, -60..60i16).prop_map(|(field, by)| Accident::Length(field, by)),
        1 => select(vec![0, 1, 255]).prop_map(Accident::Ttl),
        1 => protocol.prop_map(Accident::Protocol),
        1 => any::<u16>().prop_map(Accident::Fragment),
        1 => any::<u8>().prop_map(Accident::Mac),
        2 => any::<Index>().prop_map(Accident::Cut),
        2 => (1..60usize).prop_map(Accident::Padding),
    ]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let port = || prop_oneof![6 => select(vec![80, 53]), 1 => Just(0), 1 => any::<u16>()];
    let flags = prop_oneof![
        3 => select(vec![SYN, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, SYN | ACK]),
        1 => any::<u8>(),
    ];
    let headers = (
        prop_oneof![3 => Just(0), 1 => 0..=10usize],
        prop_oneof![
            2 => Just(Vec::new()),
            2 => proptest::collection::vec(extension(), 0..5),
            1 => proptest::collection::vec(Just(padding_options(DESTINATION_OPTIONS, 1)), 5..9),
        ],
        prop_oneof![
            6 => proptest::collection::vec(select(vec![0x8100, 0x88A8]), 0..3),
            1 => Just(vec![0x8100; 3]),
        ],
    );
    let accidents = prop_oneof![2 => Just(Vec::new()), 3 => proptest::collection::vec(accident(), 1..4)];
    (
        (kind(), source(), destination(), [port(), port()]),
        (flags, proptest::collection::vec(any::<u8>(), 0..40)),
        headers,
        (accidents, prop::bool::weighted(0.6)),
    )
        .prop_map(
            |(
                (kind, source, destination, ports),
                (flags, payload),
                (options, extensions, tags),
                (accidents, repaired),
            )| {
                Recipe {
                    kind,
                    source,
                    destination,
                    ports,
                    flags,
                    payload,
                    options,
                    extensions,
                    tags,
                    accidents,
                    repaired,
                }
            },
        )
}

impl Recipe {
    /// Mostly that of an error.
    fn error_type(&self) -> u8 {
        match (self.kind, self.flags % 8) {
            (_, 7) => self.flags,
            (Kind::Error4, n) => [3, 11, 12][usize::from(n) % 3],
            (_, n) => 1 + n % 4,
        }
    }

    /// The quote with another byte here and there, or with less at its end.
    fn quote(&self, mut quote: Vec<u8>) -> Vec<u8> {
        if let [at, byte, by, ..] = self.payload[..]
            && by % 2 == 0
        {
            let at = usize::from(at) % quote.len();
            quote[at] = byte;
        }
        if let Some(cut) = self.payload.get(3).filter(|&&cut| cut < 64) {
            quote.truncate(quote.len() - usize::from(*cut).min(quote.len()));
        }
        quote
    }

    fn frame(&self) -> Vec<u8> {
        let [from, to] = self.ports;
        let (mut frame, is_v4) = match self.kind {
            Kind::Tcp4 => (tcp4(to, self.flags, &self.payload), true),
            Kind::Tcp6 => (tcp6(to, self.flags, &self.payload), false),
            Kind::Udp4 => (udp4(to, &self.payload), true),
            Kind::Udp6 => (udp6(to, &self.payload), false),
            Kind::Ping4 => (echo4(VIP4, to, &self.payload), true),
            Kind::Ping6 => (echo6(VIP6, to, &self.payload), false),
            Kind::Error4 => (
                error4(self.error_type(), self.flags, &self.quote(reply4(to, 6, &[]))),
                true,
            ),
            Kind::Error6 => (
                error6(self.error_type(), self.flags, &self.quote(reply6(to, 6, &[]))),
                false,
            ),
        };
        let transport = if is_v4 { L4_OF_V4 } else { L4_OF_V6 };
        match self.kind {
            Kind::Tcp4 | Kind::Tcp6 => {
                frame = with(frame, transport, &from.to_be_bytes());
                frame[transport + 13] = self.flags;
            }
            Kind::Udp4 | Kind::Udp6 => frame = with(frame, transport, &from.to_be_bytes()),
            Kind::Ping4 | Kind::Ping6 | Kind::Error4 | Kind::Error6 => {}
        }
        for (address, v4, v6) in [(self.source, 12, 8), (self.destination, 16, 24)] {
            match address {
                Some(IpAddr::V4(address)) if is_v4 => frame = with_ip(frame, v4, &address.octets()),
                Some(IpAddr::V6(address)) if !is_v4 => frame = with(frame, IP + v6, &address.octets()),
                _ => {}
            }
        }
        for accident in &self.accidents {
            accident.befall_packet(&mut frame, is_v4, transport);
        }
        if is_v4 {
            frame = with_options(frame, &vec![1; self.options * 4]);
        } else {
            frame = with_extensions(frame, &self.extensions);
        }
        for accident in &self.accidents {
            accident.befall_lengths(&mut frame, is_v4);
        }
        if is_v4 && self.repaired {
            repair(&mut frame, IP);
        }
        let mut frame = tagged(frame, &self.tags);
        for accident in &self.accidents {
            accident.befall_frame(&mut frame);
        }
        frame
    }
}

impl Accident {
    /// Before options and extension headers are added.
    fn befall_packet(&self, frame: &mut [u8], is_v4: bool, transport: usize) {
        match self {
            Self::Ttl(ttl) => frame[IP + if is_v4 { 8 } else { 7 }] = *ttl,
            Self::Protocol(protocol) => frame[IP + if is_v4 { 9 } else { 6 }] = *protocol,
            Self::Fragment(bits) if is_v4 => frame[IP + 6..IP + 8].copy_from_slice(&bits.to_be_bytes()),
            Self::Mac(first) => frame[0] = *first,
            Self::Length(LengthField::Udp, by) => change(frame, transport + 4, *by),
            Self::Byte(at, byte) => {
                let at = at.index(frame.len().min(transport + 20));
                frame[at] = *byte;
            }
            Self::Fragment(_) | Self::Length(LengthField::Network, _) | Self::Cut(_) | Self::Padding(_) => {}
        }
    }

    /// When the lengths are what they should be.
    fn befall_lengths(&self, frame: &mut [u8], is_v4: bool) {
        if let Self::Length(LengthField::Network, by) = self {
            change(frame, IP + if is_v4 { 2 } else { 4 }, *by);
        }
    }

    /// At the very end.
    fn befall_frame(&self, frame: &mut Vec<u8>) {
        match self {
            // The kernel runs no program on less than a link header.
            Self::Cut(at) => frame.truncate(at.index(frame.len() + 1).max(14)),
            Self::Padding(length) => frame.resize(frame.len() + length, 0xA5),
            _ => {}
        }
    }
}

fn change(frame: &mut [u8], at: usize, by: i16) {
    let old = u16::from_be_bytes([frame[at], frame[at + 1]]);
    frame[at..at + 2].copy_from_slice(&old.wrapping_add_signed(by).to_be_bytes());
}

/// Small flow tables, which are searched from end to end.
const SMALL: MapSizes = MapSizes {
    flows_v4: 8,
    flows_v6: 8,
    ..SIZES
};

fn is_vip(address: IpAddr) -> bool {
    address == IpAddr::V4(VIP4) || address == IpAddr::V6(VIP6)
}

/// The backend of whoever serves this flow.
fn served(key: &FlowKey) -> Option<IpAddr> {
    match (key.protocol, key.destination_port) {
        (6, 80) => Some(address(WEB.backend)),
        (17, 53) => Some(address(DNS.backend)),
        _ => None,
    }
}

/// The flow that the program leaves behind for a packet that is the first of its flow.
fn first_flow(parsed: &Parsed, backend: IpAddr) -> Option<Flow> {
    let state = match parsed.key.protocol {
        17 => FlowState::Udp,
        _ if parsed.flags.rst() => return None,
        _ => tcp_state::first(parsed.flags),
    };
    Some(Flow { backend, state })
}

/// Runs the frame through both; what became of it, in one word.
fn compare(rig: &mut Rig, frame: &[u8]) -> Result<&'static str, TestCaseError> {
    rig.forget_flows();
    let outcome = rig.run(frame).expect("the kernel takes the frame");
    let refused = |reason: Reason| {
        let expected = BTreeMap::from([(format!("reason.{}", reason.slug()), 1)]);
        prop_assert_eq!(&outcome.counted, &expected);
        let action = match reason.fate() {
            Fate::Pass => Action::Pass,
            Fate::Drop => Action::Drop,
            Fate::Answer => Action::Tx,
        };
        prop_assert_eq!(outcome.action, action);
        if reason.fate() != Fate::Answer {
            prop_assert_eq!(&outcome.packet, frame);
        }
        Ok(reason.slug())
    };
    let parsed = match parse(frame, is_vip) {
        Ok(parsed) => parsed,
        // What becomes of fragments depends on others of their packet, and has tests of its own.
        Err(Reason::Fragment) => return Ok(Reason::Fragment.slug()),
        Err(reason) => return refused(reason),
    };
    let Some(backend) = served(&parsed.key) else {
        return refused(Reason::NoService);
    };
    prop_assert_eq!(outcome.action, Action::Tx);
    prop_assert_eq!(&outcome.packet[12..], &frame[12..]);
    if parsed.quoted {
        prop_assert_eq!(rig.flow(&parsed.key), None);
        return Ok("forwarded_error");
    }
    prop_assert_eq!(rig.flow(&parsed.key), first_flow(&parsed, backend));
    Ok("forwarded")
}

#[test]
fn host_and_program_agree() {
    let mut rig = Rig::new(&SMALL).expect("the tests of the program need root");
    rig.configure(&desired(&[WEB, DNS])).expect("two services fit");
    let rig = std::cell::RefCell::new(rig);
    let seen = std::cell::RefCell::new(BTreeMap::<&str, u32>::new());
    let config = Config {
        cases: 6000,
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&recipe(), |recipe| {
        let became = compare(&mut rig.borrow_mut(), &recipe.frame())?;
        *seen.borrow_mut().entry(became).or_default() += 1;
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // The frames were various enough to say something: each end that depends on the frame alone came up.
    let expected: BTreeSet<&str> = Reason::ALL
        .iter()
        .filter(|reason| reason.is_of_the_frame())
        .map(|reason| reason.slug())
        .chain(["no_service", "forwarded", "forwarded_error"])
        .collect();
    let seen = seen.into_inner();
    assert_eq!(
        seen.keys().copied().collect::<BTreeSet<_>>(),
        expected,
        "{seen:?}"
    );
}
