//! `real_server`

use std::net::IpAddr;

use super::{Notes, needless, statement::Statement};
use crate::config::import::{
    lvs::{self, Backend, Method, Register, Service},
    report::Outcome,
    scheduling,
};

/// What the virtual server says about all of its real servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) method: Method,
    /// Of the virtual server; 0 for any.
    pub(super) port: u16,
}

/// Makes a backend of a `real_server` or `sorry_server`, and says what became of each statement in it.
pub(super) fn translate(
    statement: &Statement,
    defaults: Defaults,
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
    defaults: Defaults,
    service: &mut Service,
    register: &Register,
    notes: &mut Notes,
) -> Result<Outcome, Outcome> {
    let address = statement.argument().parse::<IpAddr>();
    let mut backend = Backend::new(address.map_err(|_| Outcome::missing("no address"))?);
    backend.backup = statement.keyword() == "sorry_server";
    for part in statement.inner() {
        one(part, &mut backend, notes);
    }
    service.add(backend, register)?;
    let port = statement.words.get(2).and_then(|port| port.parse::<u16>().ok());
    let vip_port = defaults.port;
    Ok(match port {
        Some(0) | None => Outcome::translated("[[service.backend]]"),
        Some(port) if port == vip_port => Outcome::translated("[[service.backend]]"),
        Some(port) if defaults.method == Method::Nat => Outcome::approximated(format!(
            "[[service.backend]]; it has to serve port {vip_port}, or with forward = \"nat\" gets `port = {port}`"
        )),
        Some(_) => Outcome::approximated(format!(
            "[[service.backend]]; the port stays {vip_port}, as it does in IPVS without NAT"
        )),
    })
}

fn one(statement: &Statement, backend: &mut Backend, notes: &mut Notes) {
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
        "lvs_method" => method(statement).map_or_else(|outcome| outcome, Method::outcome),
        keyword if needless::CHECKER[0].0.contains(&keyword) => {
            return notes.whole(statement, needless::CHECKER);
        }
        _ => return notes.whole(statement, needless::REAL_SERVER),
    };
    notes.enter(statement, outcome);
}

/// The method of an `lvs_method` or `lb_kind`.
pub(super) fn method(statement: &Statement) -> Result<Method, Outcome> {
    match statement.argument() {
        "NAT" => Ok(Method::Nat),
        "DR" => Ok(Method::Direct),
        "TUN" => Ok(Method::Tunnel),
        other => Err(Outcome::missing(format!("`{other}` is no method of forwarding"))),
    }
}
