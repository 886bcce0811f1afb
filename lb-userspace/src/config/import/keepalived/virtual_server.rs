//! `virtual_server` and `virtual_server_group`

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Notes,
    checker::Pace,
    needless,
    server::{self, Defaults},
    statement::Statement,
};
use crate::{
    config::import::{
        document::Document,
        forward::Method,
        lvs::{self, Register, Service},
        report::Outcome,
    },
    core::model::{Frontend, Protocol},
};

/// Most addresses of a range that are written out.
const MOST_ADDRESSES: u128 = 1024;

/// Addresses and ports, by the name of their group.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<String, Vec<(IpAddr, u16)>>);

impl Groups {
    pub(super) fn new(blocks: &[&Statement], notes: &mut Notes) -> Self {
        Self(gather(blocks, "`listen`", member, notes))
    }
}

/// Addresses that full NAT takes, by the name of their group.
#[derive(Debug, Default)]
pub(super) struct Pools(BTreeMap<String, Vec<IpAddr>>);

impl Pools {
    pub(super) fn new(blocks: &[&Statement], notes: &mut Notes) -> Self {
        Self(gather(blocks, "`pool`", |words| range(&words[0]), notes))
    }
}

/// What stands in blocks, each of which has a name.
fn gather<T>(
    blocks: &[&Statement],
    becomes: &str,
    member: impl Fn(&[String]) -> Result<Vec<T>, Outcome>,
    notes: &mut Notes,
) -> BTreeMap<String, Vec<T>> {
    let mut groups = BTreeMap::new();
    for block in blocks {
        notes.enter(
            block,
            Outcome::translated(format!("{becomes} of the services that name it")),
        );
        let mut members = Vec::new();
        for statement in block.inner() {
            let outcome = match member(&statement.words) {
                Ok(found) => {
                    members.extend(found);
                    Outcome::translated(becomes)
                }
                Err(outcome) => outcome,
            };
            notes.enter(statement, outcome);
        }
        groups.insert(block.argument().to_owned(), members);
    }
    groups
}

/// `ADDRESS [PORT]`, `RANGE [PORT]` or `fwmark N`.
fn member(words: &[String]) -> Result<Vec<(IpAddr, u16)>, Outcome> {
    let first = words[0].as_str();
    if first == "fwmark" {
        return Err(mark());
    }
    let addresses = range(first)?;
    let port = port(words.get(1))?;
    Ok(addresses.into_iter().map(|address| (address, port)).collect())
}

fn mark() -> Outcome {
    Outcome::missing("a firewall mark names no addresses: write those that are marked into `listen`")
}

fn port(word: Option<&String>) -> Result<u16, Outcome> {
    match word.map(|word| word.parse()) {
        Some(Ok(port)) => Ok(port),
        None => Ok(0),
        Some(Err(_)) => Err(Outcome::missing("no port")),
    }
}

/// `192.0.2.1-10`, `192.0.2.250-192.0.3.10`, `192.0.2.8/29`, or one address.
fn range(text: &str) -> Result<Vec<IpAddr>, Outcome> {
    let wrong = || Outcome::missing("no address, and no range of addresses");
    let (first, last) = if let Some((first, last)) = text.split_once('-') {
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        (first, end_of_range(first, last).ok_or_else(wrong)?)
    } else if let Some((first, length)) = text.split_once('/') {
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        (first, end_of_network(first, length).ok_or_else(wrong)?)
    } else {
        let address: IpAddr = text.parse().map_err(|_| wrong())?;
        (address, address)
    };
    let (from, to) = (number(first), number(last));
    if to < from {
        return Err(wrong());
    }
    if to - from >= MOST_ADDRESSES {
        return Err(Outcome::missing(format!(
            "a range of more than {MOST_ADDRESSES} addresses"
        )));
    }
    Ok((from..=to)
        .map(|number| address(number, first.is_ipv4()))
        .collect())
}

/// The last part of the address, or a whole one.
fn end_of_range(first: IpAddr, last: &str) -> Option<IpAddr> {
    if let Ok(address) = last.parse::<IpAddr>() {
        return (address.is_ipv4() == first.is_ipv4()).then_some(address);
    }
    match first {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Some(IpAddr::from([a, b, c, last.parse().ok()?]))
        }
        IpAddr::V6(v6) => {
            let mut parts = v6.segments();
            parts[7] = u16::from_str_radix(last, 16).ok()?;
            Some(IpAddr::from(parts))
        }
    }
}

fn end_of_network(first: IpAddr, length: &str) -> Option<IpAddr> {
    let bits = if first.is_ipv4() { 32 } else { 128 };
    let length: u32 = length.parse().ok().filter(|length| *length <= bits)?;
    let mask = u128::MAX
        .checked_shl(bits - length)
        .map_or(u128::MAX, |high| !high);
    Some(address(number(first) | mask, first.is_ipv4()))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, is_v4: bool) -> IpAddr {
    if is_v4 {
        IpAddr::V4((number as u32).into())
    } else {
        IpAddr::V6(number.into())
    }
}

/// Takes note of a virtual server's VIPs.
pub(super) fn note_vips(block: &Statement, groups: &Groups, register: &mut Register) {
    for frontend in Facts::of(block).listen(block, groups).into_iter().flatten() {
        register.vip(frontend.vip);
    }
}

/// A service that a virtual server became.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) service: Service,
}

impl Translation {
    /// `None` if it listens nowhere that we could.
    pub(super) fn of(
        block: &Statement,
        groups: &Groups,
        pools: &Pools,
        register: &mut Register,
        notes: &mut Notes,
    ) -> Option<Self> {
        let facts = Facts::of(block);
        let listen = match facts.listen(block, groups) {
            Ok(listen) => listen,
            Err(outcome) => {
                notes.nothing(block, outcome);
                return None;
            }
        };
        let mut service = Service::default();
        let wanted = match (facts.name, block.arguments()) {
            (Some(name), _) => name.to_owned(),
            (None, [group, name, ..]) if group == "group" => name.clone(),
            (None, _) => listen.first().map(lvs::name_of).unwrap_or_default(),
        };
        service.name = register.name(&wanted);
        let mut doubled = None;
        for frontend in listen {
            match register.listen(frontend, &service.name) {
                Ok(()) => service.frontends.push(frontend),
                Err(outcome) => doubled = Some(outcome),
            }
        }
        let outcome = doubled.unwrap_or_else(|| Outcome::translated(format!("[[service]] {}", service.name)));
        if service.frontends.is_empty() {
            notes.nothing(block, outcome);
            return None;
        }
        let outside = notes.take_comments();
        notes.enter(block, outcome);
        facts.unsaid(block, notes);
        let _ = service.reach(facts.method);
        if service.method == Some(Method::FullNat) {
            let addresses = facts.pool.and_then(|name| pools.0.get(name));
            let outcome = service.take_pool(addresses.map_or(&[][..], Vec::as_slice), register);
            for statement in block.inner() {
                if statement.keyword() == "laddr_group_name" {
                    notes.enter(statement, outcome.clone());
                }
            }
        }
        let defaults = Defaults {
            pace: Pace::default().within(block),
            host: facts.host,
        };
        let mut servers = Vec::new();
        for statement in block.inner() {
            if matches!(statement.keyword(), "real_server" | "sorry_server") {
                let before = service.backends.len();
                server::translate(statement, defaults, &mut service, register, notes);
                if service.backends.len() > before {
                    servers.push(statement);
                }
            } else {
                one(statement, block, facts.method, &mut service, notes);
            }
        }
        // There, the others leave as soon as their quorum is lost.
        if service.backends.iter().any(|backend| backend.backup) && service.health.contains_key("quorum") {
            service.health.insert("policy".to_owned(), "sorry".into());
        }
        service.settle_checks(|index, backend, outcome| {
            let Statement { place, text, .. } = servers[index];
            let text = format!("{text} (its checks)");
            backend.comments.add(place, &text, &outcome);
            notes.report.enter(place, &text, outcome);
        });
        service.comments = notes.take_comments();
        notes.comments = outside;
        Some(Self { service })
    }

    pub(super) fn write(&self, timeouts: &toml::Table, document: &mut Document) {
        self.service.write(timeouts, document);
    }
}

/// What has to be known of a virtual server before anything else can be said.
struct Facts<'a> {
    protocol: Option<Protocol>,
    method: Method,
    says_protocol: bool,
    says_method: bool,
    name: Option<&'a str>,
    /// Name of the addresses that full NAT takes.
    pool: Option<&'a str>,
    /// The name that web servers are asked for.
    host: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn of(block: &'a Statement) -> Self {
        let mut facts = Self {
            // What keepalived takes where a file does not say.
            protocol: Some(Protocol::Udp),
            method: Method::Nat,
            says_protocol: false,
            says_method: false,
            name: None,
            pool: None,
            host: None,
        };
        for statement in block.inner() {
            match statement.keyword() {
                "protocol" => {
                    facts.says_protocol = true;
                    facts.protocol = lvs::protocol(statement.argument());
                }
                "lvs_method" | "lb_kind" => {
                    facts.says_method = true;
                    if let Ok((method, _)) = server::method(statement) {
                        facts.method = method;
                    }
                }
                "snmp_name" => facts.name = Some(statement.argument()),
                "virtualhost" => facts.host = Some(statement.argument()),
                "laddr_group_name" => facts.pool = Some(statement.argument()),
                _ => {}
            }
        }
        facts
    }

    fn listen(&self, block: &Statement, groups: &Groups) -> Result<Vec<Frontend>, Outcome> {
        let protocol = self
            .protocol
            .ok_or_else(|| Outcome::missing("only TCP, UDP and SCTP are balanced"))?;
        let places = match block.arguments() {
            [group, name, ..] if group == "group" => match groups.0.get(name) {
                Some(members) if !members.is_empty() => members.clone(),
                Some(_) => {
                    return Err(Outcome::missing(
                        "its group has no address that can be listened at",
                    ));
                }
                None => return Err(Outcome::missing("there is no virtual_server_group of this name")),
            },
            [] => return Err(Outcome::missing("it names no address")),
            words => member(words)?,
        };
        let frontend = |(vip, port)| Frontend { vip, port, protocol };
        Ok(places.into_iter().map(frontend).collect())
    }

    /// What keepalived does where the file says nothing.
    fn unsaid(&self, block: &Statement, notes: &mut Notes) {
        let mut say = |what: &str, outcome| {
            notes.enter_text(&block.place, &format!("{} (without {what})", block.text), outcome);
        };
        if !self.says_method {
            say("lvs_method: NAT", Method::Nat.outcome());
        }
        if !self.says_protocol {
            let why = "udp, which keepalived 2.2 takes where no protocol is given; if you meant TCP, say so in `listen`";
            say("protocol: UDP", Outcome::approximated(why));
        }
    }
}

/// Seconds that a client keeps its server where `persistence_timeout` stands alone.
const USUAL_PERSISTENCE: u64 = 360;

fn one(statement: &Statement, block: &Statement, method: Method, service: &mut Service, notes: &mut Notes) {
    let (chosen, connections) = (&mut service.chosen, &mut service.connections);
    let outcome = match statement.keyword() {
        "lvs_sched" | "lb_algo" => chosen.scheduler(statement.argument()),
        flag @ ("flag-1" | "flag-2" | "flag-3" | "sh-port" | "sh-fallback" | "mh-port" | "mh-fallback") => {
            chosen.flag(flag)
        }
        "persistence_timeout" => connections.persistent(statement.argument(), USUAL_PERSISTENCE),
        "persistence_granularity" => connections.mask(statement.argument()),
        "ops" => connections.one_packet(),
        "lvs_method" | "lb_kind" => match server::method(statement) {
            Ok((Method::FullNat, _)) if service.pool.is_empty() => Outcome::approximated(
                "forward = \"nat\", since there are no addresses that full NAT could take",
            ),
            Ok((method, remark)) => remark.unwrap_or_else(|| service.reach(method)),
            Err(outcome) => outcome,
        },
        // What became of it was said when the method was known.
        "laddr_group_name" if method == Method::FullNat => return,
        "laddr_group_name" => Outcome::needless("only full NAT takes addresses of the director"),
        "protocol" => Outcome::translated("`listen`"),
        "virtualhost" => Outcome::translated("`host` of checks"),
        "quorum" => match statement.argument().parse::<u16>() {
            Ok(quorum) => {
                service
                    .health
                    .insert("quorum".to_owned(), i64::from(quorum).into());
                if weighs(block) {
                    Outcome::approximated("`quorum` of `health`, which counts backends, whatever they weigh")
                } else {
                    Outcome::translated("`quorum` of `health`")
                }
            }
            Err(_) => Outcome::missing("not a number of backends; it is 1"),
        },
        "hysteresis" => match statement.argument().parse::<u16>() {
            Ok(more) => {
                service
                    .health
                    .insert("hysteresis".to_owned(), i64::from(more).into());
                Outcome::translated("`hysteresis` of `health`")
            }
            Err(_) => Outcome::missing("not a number of backends; it is 0"),
        },
        "snmp_name" => Outcome::translated("`name` of the service"),
        _ => match Pace::default().take(statement) {
            Some(outcome) => outcome,
            None => return notes.whole(statement, needless::VIRTUAL_SERVER),
        },
    };
    notes.enter(statement, outcome);
}

/// Whether real servers have a weight other than 1.
fn weighs(block: &Statement) -> bool {
    let mut servers = block.inner().iter().flat_map(Statement::inner);
    servers.any(|statement| statement.keyword() == "weight" && statement.argument() != "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let shown = |text: &str| {
            range(text).map(|addresses| {
                let (first, last) = (addresses[0], addresses[addresses.len() - 1]);
                format!("{first} {last} {}", addresses.len())
            })
        };
        for (text, want) in [
            ("192.0.2.1", "192.0.2.1 192.0.2.1 1"),
            ("192.0.2.1-10", "192.0.2.1 192.0.2.10 10"),
            ("192.0.2.250-192.0.3.10", "192.0.2.250 192.0.3.10 17"),
            ("192.0.2.8/29", "192.0.2.8 192.0.2.15 8"),
            ("2001:db8::1-a", "2001:db8::1 2001:db8::a 10"),
            ("2001:db8::/124", "2001:db8:: 2001:db8::f 16"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(want), "{text}");
        }
        for wrong in [
            "x",
            "192.0.2.9-1",
            "192.0.2.1-256",
            "10.0.0.0/8",
            "2001:db8::/64",
            "10.0.0.1-2001:db8::1",
        ] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
