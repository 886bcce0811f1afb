//! What `ipvsadm` and keepalived have in common: services of IPVS, and what they become.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    connections::Connections,
    document::{Document, Table},
    report::{Comments, Outcome},
    scheduling::{self, Chosen},
};
use crate::{
    config::validate::not_one_host,
    core::{
        model::{Frontend, Limits, MAX_WEIGHT, Protocol},
        schedule::Scheduling,
        slots,
    },
};

/// How IPVS gets packets to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Nat,
    Direct,
    Tunnel,
}

impl Method {
    /// What it becomes.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Direct => Outcome::translated("forward = \"dr\""),
            Self::Nat => Outcome::approximated(
                "forward = \"dr\", with which the backend holds the VIP and serves its port; to go on with NAT, write forward = \"nat\"",
            ),
            Self::Tunnel => Outcome::approximated(
                "forward = \"dr\", with which the backend is on the same link; to go on with tunnels, write forward = \"tunnel\"",
            ),
        }
    }
}

/// What a protocol becomes; `None` if it cannot be balanced.
pub(super) fn protocol(name: &str) -> Option<Protocol> {
    match name.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        _ => None,
    }
}

/// A service, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) comments: Comments,
    pub(super) frontends: Vec<Frontend>,
    pub(super) chosen: Chosen,
    pub(super) connections: Connections,
    pub(super) backends: Vec<Backend>,
}

/// A real server.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: Option<String>,
    pub(super) comments: Comments,
    pub(super) address: IpAddr,
    pub(super) weight: u32,
    /// Thresholds; 0 for none.
    pub(super) upper: u32,
    pub(super) lower: u32,
    /// Whether it serves only when no other can.
    pub(super) backup: bool,
}

impl Backend {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            name: None,
            comments: Comments::default(),
            address,
            weight: 1,
            upper: 0,
            lower: 0,
            backup: false,
        }
    }
}

impl Service {
    /// Adds a backend, unless the configuration could not have it.
    pub(super) fn add(&mut self, mut backend: Backend, register: &Register) -> Result<(), Outcome> {
        let address = backend.address;
        if self.backends.iter().any(|other| other.address == address) {
            return Err(Outcome::missing(format!(
                "{address} is a backend of this service already, and a backend has one port: that of the VIP"
            )));
        }
        if address.is_loopback() || register.vips.contains(&address) {
            return Err(Outcome::missing(
                "the director cannot be a backend of its own: serve this from another machine",
            ));
        }
        if let Some(kind) = not_one_host(address) {
            return Err(Outcome::missing(format!(
                "{address} cannot be a backend: it is {kind}"
            )));
        }
        backend.name = self.unique_name(backend.name.take(), address);
        self.backends.push(backend);
        Ok(())
    }

    /// The wanted name, or that by the address, or else one with a number; `None` for that by the address.
    fn unique_name(&self, wanted: Option<String>, address: IpAddr) -> Option<String> {
        let taken = |name: &str| {
            let named = |backend: &Backend| match &backend.name {
                Some(other) => other == name,
                None => backend.address.to_string() == name,
            };
            self.backends.iter().any(named)
        };
        let by_address = address.to_string();
        match wanted.filter(|name| !taken(name) && *name != by_address) {
            Some(name) => Some(name),
            None if !taken(&by_address) => None,
            None => (2..)
                .map(|n| format!("{by_address}-{n}"))
                .find(|name| !taken(name)),
        }
    }

    pub(super) fn write(&self, timeouts: &toml::Table, document: &mut Document) {
        let mut table = Table::new("[[service]]");
        for comment in self.comments.lines() {
            table.comment(comment);
        }
        let listen: Vec<String> = self.frontends.iter().map(ToString::to_string).collect();
        table.set("name", self.name.as_str()).set("listen", listen);
        scheduling::write(&self.scheduling(), &mut table);
        self.connections.write(&self.frontends, &mut table);
        if !timeouts.is_empty() {
            table.set("timeouts", timeouts.clone());
        }
        document.tables.push(table);
        for backend in &self.backends {
            let mut table = Table::new("[[service.backend]]");
            for comment in backend.comments.lines() {
                table.comment(comment);
            }
            if let Some(name) = &backend.name {
                table.set("name", name.as_str());
            }
            table
                .set("address", backend.address.to_string())
                .set("weight", i64::from(backend.weight));
            scheduling::write_thresholds(backend, &mut table);
            if backend.backup {
                table.set("backup", true);
            }
            document.tables.push(table);
        }
    }

    fn scheduling(&self) -> Scheduling {
        self.chosen.scheduling(self.backends.len())
    }

    /// Most slots that its schedules may take.
    fn slots(&self) -> u32 {
        let backups = self.backends.iter().filter(|backend| backend.backup).count();
        let weights = self.backends.iter().map(|backend| backend.weight);
        self.scheduling().layout().most_slots(weights) + backups as u32
    }
}

/// `[limits]`, where the services do not fit into the usual ones.
pub(super) fn limits<'a>(services: impl Iterator<Item = &'a Service>, document: &mut Document) {
    let usual = Limits::default();
    let (mut slots, mut largest, mut backends) = (0, 0, 0);
    for service in services {
        let size = slots::padded(service.slots());
        slots += size;
        largest = largest.max(size);
        backends += service.backends.len() as u64;
    }
    slots += largest;
    let mut table = Table::new("[limits]");
    let mut needed = false;
    for (key, number, usual) in [
        ("backends", backends, usual.backends),
        ("slots", slots, usual.slots),
    ] {
        if number > u64::from(usual) {
            table.set(key, i64::try_from(number.next_power_of_two()).unwrap_or(i64::MAX));
            needed = true;
        }
    }
    if needed {
        document.tables.push(table);
    }
}

/// A weight as we have it.
pub(super) fn weight(text: &str) -> Result<(u32, Outcome), Outcome> {
    match text.parse::<u32>() {
        Ok(weight) if weight <= MAX_WEIGHT => Ok((weight, Outcome::translated("weight"))),
        Ok(_) => Ok((
            MAX_WEIGHT,
            Outcome::approximated(format!("weight = {MAX_WEIGHT}, the largest there is")),
        )),
        Err(_) => Err(Outcome::missing("not a weight; it is 1, as if none were given")),
    }
}

/// What there may be once only in a configuration.
#[derive(Debug, Default)]
pub(super) struct Register {
    names: BTreeSet<String>,
    /// Who listens where already.
    frontends: BTreeMap<Frontend, String>,
    /// Those of all services, none of which may be a backend of any.
    vips: BTreeSet<IpAddr>,
}

/// Longest name that is given; what distinguishes it from another comes behind.
const LONGEST: usize = 56;

impl Register {
    /// Takes note of a VIP, before any backend is added.
    pub(super) fn vip(&mut self, address: IpAddr) {
        self.vips.insert(address);
    }

    /// A name that is like `wanted` and that nobody has yet.
    pub(super) fn name(&mut self, wanted: &str) -> String {
        let name = name(wanted);
        let unique = std::iter::once(name.clone())
            .chain((2..).map(|n| format!("{name}-{n}")))
            .find(|name| !self.names.contains(name));
        let name = unique.unwrap_or(name);
        self.names.insert(name.clone());
        name
    }

    /// Notes that `service` listens there, unless another does.
    pub(super) fn listen(&mut self, frontend: Frontend, service: &str) -> Result<(), Outcome> {
        if let Some(kind) = not_one_host(frontend.vip) {
            return Err(Outcome::missing(format!(
                "{} cannot be a VIP: it is {kind}",
                frontend.vip
            )));
        }
        match self.frontends.get(&frontend) {
            None => {
                self.frontends.insert(frontend, service.to_owned());
                Ok(())
            }
            Some(other) => Err(Outcome::missing(format!(
                "service {other} listens at {frontend} already"
            ))),
        }
    }
}

/// A name as we have them that is like `wanted`.
pub(super) fn name(wanted: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    let name: String = wanted
        .chars()
        .map(|c| if good(c) { c } else { '-' })
        .take(LONGEST)
        .collect();
    match name.trim_matches('-') {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// `tcp-192.0.2.10-80`
pub(super) fn name_of(frontend: &Frontend) -> String {
    format!("{}-{}-{}", frontend.protocol, frontend.vip, frontend.port)
}
