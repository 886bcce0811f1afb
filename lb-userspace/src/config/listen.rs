//! `192.0.2.10:80/tcp` and `[2001:db8::10]:80`: where clients come in.

use std::{net::IpAddr, ops::Range};

use super::diagnostic::quote;
use crate::core::model::{Area, Frontend, Protocol, bits, masked};

/// The text is not a `VIP:port/protocol`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {}", problem.expected())]
pub struct ListenError {
    /// What is wrong.
    pub problem: ListenProblem,
    /// Which bytes of the text are at fault.
    pub at: Range<usize>,
}

/// What is wrong with a `VIP:port/protocol`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenProblem {
    /// No address, or none that can be understood.
    #[error("{} is not an IP address", quote(.0))]
    Address(String),
    /// An address alone.
    #[error("{} has no port", quote(.0))]
    NoPort(String),
    /// A network with something behind its prefix, or with a prefix that is too long.
    #[error("{} is not a network", quote(.0))]
    Network(String),
    /// Not a number, 0, or too large.
    #[error("{} is not a port", quote(.0))]
    Port(String),
    /// An IPv6 address and perhaps a port, and no telling where the one ends.
    #[error("{} is an IPv6 address without brackets", quote(.0))]
    NoBrackets(String),
    /// A protocol that is not balanced.
    #[error("{} is not a protocol that can be balanced", quote(.0))]
    Protocol(String),
}

impl ListenProblem {
    /// What should have been there.
    pub const fn expected(&self) -> &'static str {
        match self {
            Self::Address(_) => {
                "expected an address such as 192.0.2.10 or [2001:db8::10] (names are not looked up)"
            }
            Self::NoPort(_) => "expected a port after the address, as in 192.0.2.10:80 or [2001:db8::10]:80",
            Self::Network(_) => "expected its first address and the length of its prefix, as in 192.0.2.0/24",
            Self::Port(_) => "expected a port from 1 to 65535",
            Self::NoBrackets(_) => "expected brackets around the address, as in [2001:db8::10]:80",
            Self::Protocol(_) => "expected tcp, udp or sctp",
        }
    }
}

/// Where clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// One address and port.
    Frontend(Frontend),
    /// More.
    Area(Area),
}

/// Reads what [`parse_frontend`] does, and the same with a network for the address (`192.0.2.0/24`, `[2001:db8::/64]`), or a range
/// of ports (`8000-8099`, `*`) for the port.
///
/// # Errors
/// Where, and what was expected.
pub fn parse_listen(text: &str) -> Result<Listen, ListenError> {
    match parse_area(text) {
        Some(area) => area.map(Listen::Area),
        None => parse_frontend(text).map(Listen::Frontend),
    }
}

/// The area; `None` where it is none.
fn parse_area(text: &str) -> Option<Result<Area, ListenError>> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner
            .split_once(']')
            .map(|(host, rest)| (host, rest.strip_prefix(':')))?,
        None => text.split_once(':').map(|(host, rest)| (host, Some(rest)))?,
    };
    let rest = rest?;
    let (ports, protocol) = match rest.split_once('/') {
        None => (rest, Protocol::Tcp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((ports, "sctp")) => (ports, Protocol::Sctp),
        Some(_) => return None,
    };
    let network = host.split_once('/');
    let address: IpAddr = network.map_or(host, |(address, _)| address).parse().ok()?;
    if address.is_ipv6() != text.starts_with('[') {
        return None;
    }
    let number = |digits: &str| {
        digits
            .parse()
            .ok()
            .filter(|port| *port > 0 && !digits.starts_with('+'))
    };
    let range = match ports.split_once('-') {
        _ if ports == "*" => Some((1, u16::MAX)),
        Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last),
        None if network.is_some() => number(ports).map(|port| (port, port)),
        None => return None,
    };
    let start = usize::from(address.is_ipv6());
    let fail = |problem: fn(String) -> ListenProblem, at: Range<usize>| {
        Some(Err(ListenError {
            problem: problem(text[at.clone()].to_owned()),
            at,
        }))
    };
    let Some((first, last)) = range else {
        let at = text.len() - rest.len();
        return fail(ListenProblem::Port, at..at + ports.len());
    };
    let prefix = match network.map(|(_, length)| length.parse::<u8>()) {
        None => Some(bits(address)),
        Some(length) => length
            .ok()
            .filter(|length| *length <= bits(address) && masked(address, *length) == address),
    };
    let Some(prefix) = prefix else {
        return fail(ListenProblem::Network, start..start + host.len());
    };
    Some(Ok(Area {
        network: address,
        prefix,
        first,
        last,
        protocol,
    }))
}

/// Reads `ADDRESS:PORT` or `ADDRESS:PORT/PROTOCOL`; an IPv6 address stands in brackets, and the protocol is
/// TCP if none is given.
///
/// Checks the form only: whether the address can be a VIP is a question for validation.
pub fn parse_frontend(text: &str) -> Result<Frontend, ListenError> {
    let fail = |problem: fn(String) -> ListenProblem, at: Range<usize>| {
        Err(ListenError {
            problem: problem(text[at.clone()].to_owned()),
            at,
        })
    };
    let (socket, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((socket, "tcp")) => (socket, Protocol::Tcp),
        Some((socket, "udp")) => (socket, Protocol::Udp),
        Some((socket, "sctp")) => (socket, Protocol::Sctp),
        Some((socket, _)) => return fail(ListenProblem::Protocol, socket.len() + 1..text.len()),
    };

    let colon = socket.rfind(':').filter(|colon| !socket[*colon..].contains(']'));
    let host_end = colon.unwrap_or(socket.len());
    let host = &socket[..host_end];
    let vip = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None if host.contains(':') && !host.contains(['[', ']']) => {
            return fail(ListenProblem::NoBrackets, 0..socket.len());
        }
        None => host.parse().ok().map(IpAddr::V4),
    };
    let Some(vip) = vip else {
        return fail(ListenProblem::Address, 0..host_end);
    };
    let Some(colon) = colon else {
        return fail(ListenProblem::NoPort, 0..socket.len());
    };

    let digits = &socket[colon + 1..];
    match digits.parse() {
        Ok(port @ 1..) if !digits.starts_with('+') => Ok(Frontend { vip, port, protocol }),
        _ => fail(ListenProblem::Port, colon + 1..socket.len()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frontend(vip: &str, port: u16, protocol: Protocol) -> Frontend {
        Frontend {
            vip: vip.parse().expect("an address"),
            port,
            protocol,
        }
    }

    #[test]
    fn good_ones() {
        for (text, want) in [
            ("192.0.2.10:80", frontend("192.0.2.10", 80, Protocol::Tcp)),
            ("192.0.2.10:80/tcp", frontend("192.0.2.10", 80, Protocol::Tcp)),
            ("192.0.2.10:53/udp", frontend("192.0.2.10", 53, Protocol::Udp)),
            (
                "192.0.2.10:38412/sctp",
                frontend("192.0.2.10", 38_412, Protocol::Sctp),
            ),
            ("[2001:db8::10]:443", frontend("2001:db8::10", 443, Protocol::Tcp)),
            (
                "[2001:db8::10]:65535/udp",
                frontend("2001:db8::10", 65_535, Protocol::Udp),
            ),
        ] {
            assert_eq!(parse_frontend(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn areas() {
        for (text, shown) in [
            ("192.0.2.0/24:80", "192.0.2.0/24:80/tcp"),
            ("192.0.2.10:8000-8099/udp", "192.0.2.10:8000-8099/udp"),
            ("192.0.2.10:*", "192.0.2.10:*/tcp"),
            ("192.0.2.10:1-65535", "192.0.2.10:*/tcp"),
            ("192.0.2.10:7-7", "192.0.2.10:7/tcp"),
            ("[2001:db8::/64]:443/tcp", "[2001:db8::/64]:443/tcp"),
            ("[2001:db8::10]:*/udp", "[2001:db8::10]:*/udp"),
            ("[::/0]:*", "[::/0]:*/tcp"),
        ] {
            match parse_listen(text) {
                Ok(Listen::Area(area)) => assert_eq!(area.to_string(), shown),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(parse_listen("192.0.2.10:80"), Ok(Listen::Frontend(_))));
        for (text, culprit) in [
            ("192.0.2.1/24:80", "192.0.2.1/24"),
            ("192.0.2.0/33:80", "192.0.2.0/33"),
            ("192.0.2.0/:80", "192.0.2.0/"),
            ("[2001:db8::1/64]:80", "2001:db8::1/64"),
            ("192.0.2.10:90-80", "90-80"),
            ("192.0.2.0/24:0", "0"),
        ] {
            let error = parse_listen(text).expect_err(text);
            assert_eq!(&text[error.at.clone()], culprit, "{text}: {error}");
        }
    }

    #[test]
    fn bad_ones_and_where() {
        use ListenProblem as P;
        type Case = (&'static str, fn(String) -> P, &'static str);
        let cases: [Case; 22] = [
            ("", P::Address, ""),
            (":80", P::Address, ""),
            ("web:80", P::Address, "web"),
            ("web", P::Address, "web"),
            ("80", P::Address, "80"),
            ("192.0.2.300:80", P::Address, "192.0.2.300"),
            (" 192.0.2.10:80", P::Address, " 192.0.2.10"),
            ("[192.0.2.10]:80", P::Address, "[192.0.2.10]"),
            ("[2001:db8::10:80", P::Address, "[2001:db8::10"),
            ("[fe80::1%eth0]:80", P::Address, "[fe80::1%eth0]"),
            ("[2001:db8::10]80", P::Address, "[2001:db8::10]80"),
            ("192.0.2.10", P::NoPort, "192.0.2.10"),
            ("[2001:db8::10]/udp", P::NoPort, "[2001:db8::10]"),
            ("192.0.2.10:", P::Port, ""),
            ("192.0.2.10:0", P::Port, "0"),
            ("192.0.2.10:65536", P::Port, "65536"),
            ("192.0.2.10:+80", P::Port, "+80"),
            ("192.0.2.10:http/tcp", P::Port, "http"),
            ("2001:db8::10:80", P::NoBrackets, "2001:db8::10:80"),
            ("2001:db8::10", P::NoBrackets, "2001:db8::10"),
            ("192.0.2.10:80/dccp", P::Protocol, "dccp"),
            ("192.0.2.10:80/", P::Protocol, ""),
        ];
        for (text, problem, culprit) in cases {
            let error = parse_frontend(text).expect_err(text);
            assert_eq!(error.problem, problem(culprit.to_owned()), "{text}");
            assert_eq!(&text[error.at.clone()], culprit, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(vip: IpAddr, port in 1_u16.., udp: bool) {
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            let frontend = Frontend { vip, port, protocol };
            prop_assert_eq!(parse_frontend(&frontend.to_string()), Ok(frontend));
        }

        #[test]
        fn any_text_gets_an_answer(text in r"[\[\]:/.0-9a-f%\PC]{0,40}") {
            if let Err(error) = parse_listen(&text) {
                prop_assert!(text.get(error.at).is_some());
            }
        }
    }
}
