//! `real_server`

use std::net::IpAddr;

use super::{
    Notes,
    checker::{self, Checked, Pace},
    needless,
    statement::Statement,
};
use crate::config::import::{
    forward::{Method, Tunnel},
    lvs::{self, Backend, Register, Service},
    report::Outcome,
    scheduling,
};

/// What the virtual server says about the checks of its real servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) pace: Pace,
    pub(super) host: Option<&'a str>,
}

/// Makes a backend of a `real_server` or `sorry_server`, and says what became of each statement in it.
pub(super) fn translate(
    statement: &Statement,
    defaults: Defaults<'_>,
    service: &mut Service,
    register: &Register,
    notes: &mut Notes,
) {
    let mut own = Notes::default();
    let outcome = match backend(statement, defaults, service, register, &mut own) {
        Ok(outcome) => outcome,
        Err(outcome) => {
            notes.nothing(statement, outcome);
            return;
        }
    };
    let mut header = Notes::default();
    header.enter(statement, outcome);
    notes.report.0.append(&mut header.report.0);
    notes.report.0.append(&mut own.report.0);
    if let Some(backend) = service.backends.last_mut() {
        backend.comments = header.comments;
        backend.comments.append(own.comments);
    }
}

/// Adds the backend, and says what became of the statement itself; with an error nothing did.
fn backend(
    statement: &Statement,
    defaults: Defaults<'_>,
    service: &mut Service,
    register: &Register,
    notes: &mut Notes,
) -> Result<Outcome, Outcome> {
    let address = statement.argument().parse::<IpAddr>();
    let mut backend = Backend::new(address.map_err(|_| Outcome::missing("no address"))?);
    backend.backup = statement.keyword() == "sorry_server";
    let port = statement.words.get(2).and_then(|port| port.parse().ok());
    let pace = defaults.pace.within(statement);
    for part in statement.inner() {
        if checker::is_one(part.keyword()) {
            let own = statement
                .inner()
                .iter()
                .find(|part| part.keyword() == "virtualhost");
            let server = Checked {
                address: statement.argument(),
                // Another than that of the VIP, which is where checks go by themselves.
                port: port
                    .filter(|port| service.frontends[0].port != *port)
                    .unwrap_or(0),
                all_ports: service.frontends.iter().any(|frontend| frontend.port == 0),
                by_vip: !service.method.is_some_and(Method::translates),
                host: own.map(Statement::argument).or(defaults.host),
            };
            backend
                .checks
                .extend(checker::translate(part, server, pace, notes));
        } else {
            one(part, &mut backend, service, notes);
        }
    }
    let outcome = service.serve_at(port.unwrap_or(0), &mut backend);
    service.add(backend, register)?;
    Ok(outcome)
}

fn one(statement: &Statement, backend: &mut Backend, service: &mut Service, notes: &mut Notes) {
    let outcome = match statement.keyword() {
        "weight" => match lvs::weight(statement.argument()) {
            Ok((weight, outcome)) => {
                backend.weight = weight;
                outcome
            }
            Err(outcome) => outcome,
        },
        "uthreshold" => scheduling::threshold("upper_threshold", statement.argument(), &mut backend.upper),
        "lthreshold" => scheduling::threshold("lower_threshold", statement.argument(), &mut backend.lower),
        "snmp_name" => {
            backend.name = Some(lvs::name(statement.argument()));
            Outcome::translated("`name` of the backend")
        }
        "lvs_method" => match method(statement) {
            Ok((method, remark)) => {
                let outcome = service.reach(method);
                remark.filter(|_| !outcome.attention).unwrap_or(outcome)
            }
            Err(outcome) => outcome,
        },
        "virtualhost" => Outcome::translated("`host` of checks"),
        _ => match Pace::default().take(statement) {
            Some(outcome) => outcome,
            None => return notes.whole(statement, needless::REAL_SERVER),
        },
    };
    notes.enter(statement, outcome);
}

/// The method of an `lvs_method` or `lb_kind`, and what of it is not as it was.
pub(super) fn method(statement: &Statement) -> Result<(Method, Option<Outcome>), Outcome> {
    match statement.argument() {
        "NAT" => Ok((Method::Nat, None)),
        "FNAT" => Ok((Method::FullNat, None)),
        "DR" => Ok((Method::Direct, None)),
        "TUN" => tunnel(&statement.words[2..]).method(),
        other => Err(Outcome::missing(format!("`{other}` is no method of forwarding"))),
    }
}

/// `type gue port 6080 csum`
fn tunnel(words: &[String]) -> Tunnel<'_> {
    let mut tunnel = Tunnel::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "type" => tunnel.kind = words.next(),
            "port" => tunnel.port = words.next(),
            "nocsum" | "csum" | "remcsum" => tunnel.checksum = Some(word),
            _ => {}
        }
    }
    tunnel
}
