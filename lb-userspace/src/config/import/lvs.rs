//! What `ipvsadm` and keepalived have in common: services of IPVS, and what they become.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::{MOST_AREAS, POOL_ADDRESSES};

use super::{
    connections::Connections,
    document::{Document, Table},
    forward::Method,
    report::{Comments, Outcome},
    scheduling::{self, Chosen},
};
use crate::{
    config::validate::{MOST_CHECKS, not_one_host},
    core::{
        model::{Area, Frontend, Limits, MAX_WEIGHT, Protocol, bits},
        schedule::Scheduling,
        slots,
    },
};

/// What a protocol becomes; `None` if it cannot be balanced.
pub(super) fn protocol(name: &str) -> Option<Protocol> {
    match name.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// A service, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) comments: Comments,
    /// Where clients come in; port 0 is all ports.
    pub(super) frontends: Vec<Frontend>,
    pub(super) chosen: Chosen,
    pub(super) connections: Connections,
    /// How its backends are reached; direct routing if nobody says.
    pub(super) method: Option<Method>,
    /// Addresses that full NAT takes.
    pub(super) pool: Vec<IpAddr>,
    /// How all backends are checked.
    pub(super) checks: Vec<toml::Table>,
    pub(super) health: toml::Table,
    pub(super) backends: Vec<Backend>,
}

/// A real server.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: Option<String>,
    pub(super) comments: Comments,
    pub(super) address: IpAddr,
    /// The port that it serves, where that is not the VIP's.
    pub(super) port: Option<u16>,
    pub(super) weight: u32,
    /// Thresholds; 0 for none.
    pub(super) upper: u32,
    pub(super) lower: u32,
    /// Whether it serves only when no other can.
    pub(super) backup: bool,
    /// How it is checked.
    pub(super) checks: Vec<toml::Table>,
}

impl Backend {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            name: None,
            comments: Comments::default(),
            address,
            port: None,
            weight: 1,
            upper: 0,
            lower: 0,
            backup: false,
            checks: Vec::new(),
        }
    }
}

impl Service {
    /// Adds a backend, unless the configuration could not have it.
    pub(super) fn add(&mut self, mut backend: Backend, register: &Register) -> Result<(), Outcome> {
        let address = backend.address;
        if self.backends.iter().any(|other| other.address == address) {
            return Err(Outcome::missing(format!(
                "{address} is a backend of this service already, and a backend has one port"
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
        if self.pool.contains(&address) {
            return Err(Outcome::missing(format!(
                "{address} is one of the addresses that full NAT takes"
            )));
        }
        let other = |frontend: &&Frontend| frontend.vip.is_ipv4() != address.is_ipv4();
        if self.translates()
            && let Some(frontend) = self.frontends.iter().find(other)
        {
            return Err(Outcome::missing(format!(
                "{address} cannot serve {}, since NAT keeps the family: make a service for each family, or take a tunnel",
                written(frontend)
            )));
        }
        backend.name = self.unique_name(backend.name.take(), address);
        self.backends.push(backend);
        Ok(())
    }

    /// Takes the method by which one of its backends is reached. All are reached by one.
    pub(super) fn reach(&mut self, method: Method) -> Outcome {
        let sctp = self
            .frontends
            .iter()
            .any(|frontend| frontend.protocol == Protocol::Sctp);
        if sctp && method.translates() {
            self.method = Some(Method::Direct);
            return Outcome::approximated(
                "forward = \"dr\", with which the backend holds the VIP: SCTP is not translated",
            );
        }
        let first = *self.method.get_or_insert(method);
        if first == method {
            return method.outcome();
        }
        Outcome::approximated(format!(
            "{}, as the service has it: all its backends are reached by one method",
            first.words()
        ))
    }

    /// Takes addresses for full NAT, as far as they will do; where they do not, it is NAT. What becomes of them.
    pub(super) fn take_pool(&mut self, addresses: &[IpAddr], register: &Register) -> Outcome {
        let families: BTreeSet<bool> = self
            .frontends
            .iter()
            .map(|frontend| frontend.vip.is_ipv4())
            .collect();
        for v4 in &families {
            let of_family = |address: &&IpAddr| {
                address.is_ipv4() == *v4
                    && !address.is_loopback()
                    && !register.vips.contains(address)
                    && not_one_host(**address).is_none()
            };
            let unique: BTreeSet<&IpAddr> = addresses.iter().filter(of_family).collect();
            self.pool.extend(unique.into_iter().take(POOL_ADDRESSES));
        }
        let served: BTreeSet<bool> = self.pool.iter().map(IpAddr::is_ipv4).collect();
        if served != families {
            self.pool.clear();
            self.method = Some(Method::Nat);
            return Outcome::missing(
                "it names no address that full NAT could take for each family of the VIPs",
            );
        }
        if self.pool.len() < addresses.len() {
            return Outcome::approximated(format!(
                "`pool`, of {POOL_ADDRESSES} addresses of each family at most, and without VIPs"
            ));
        }
        Outcome::translated("`pool`")
    }

    /// Takes the port that a backend serves; 0 for that of the VIP.
    pub(super) fn serve_at(&self, port: u16, backend: &mut Backend) -> Outcome {
        const BACKEND: &str = "[[service.backend]]";
        let all_ports = self.frontends.iter().any(|frontend| frontend.port == 0);
        if port == 0 || all_ports || self.frontends.iter().all(|frontend| frontend.port == port) {
            return Outcome::translated(BACKEND);
        }
        if self.translates() {
            backend.port = Some(port);
            return Outcome::translated(format!("{BACKEND} with `port`"));
        }
        Outcome::approximated(format!(
            "{BACKEND}; the port stays that of the VIP, as it does in IPVS without NAT"
        ))
    }

    /// Checks the backends of the service as the first one is that is checked, and calls `tell` where that differs from before.
    pub(super) fn settle_checks(&mut self, mut tell: impl FnMut(usize, &mut Backend, Outcome)) {
        let mut checked = self.backends.iter().filter(|backend| !backend.checks.is_empty());
        let Some(first) = checked.next() else {
            return;
        };
        self.checks = first.checks[..first.checks.len().min(MOST_CHECKS)].to_vec();
        let model = first.address;
        for (index, backend) in self.backends.iter_mut().enumerate() {
            if backend.checks != self.checks {
                let why = format!("it is checked as {model} is: the backends of a service are checked alike");
                tell(index, backend, Outcome::approximated(why));
            }
        }
    }

    fn translates(&self) -> bool {
        self.method.is_some_and(Method::translates)
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
        let listen: Vec<String> = self.frontends.iter().map(written).collect();
        table.set("name", self.name.as_str()).set("listen", listen);
        scheduling::write(&self.scheduling(), &mut table);
        self.connections.write(&self.frontends, &mut table);
        if let Some(method) = self.method {
            method.write(&self.pool, &mut table);
        }
        match &self.checks[..] {
            [] => {}
            [only] => {
                table.set("check", only.clone());
            }
            several => {
                table.set("check", several.to_vec());
            }
        }
        if !self.health.is_empty() {
            table.set("health", self.health.clone());
        }
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
            table.set("address", backend.address.to_string());
            if let Some(port) = backend.port {
                table.set("port", i64::from(port));
            }
            table.set("weight", i64::from(backend.weight));
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
        let areas = self
            .frontends
            .keys()
            .filter(|frontend| frontend.port == 0)
            .count();
        if frontend.port == 0 && areas >= MOST_AREAS as usize {
            return Err(Outcome::missing(format!(
                "more than {MOST_AREAS} addresses at all ports: write a network of them into `listen`"
            )));
        }
        match self.frontends.get(&frontend) {
            None => {
                self.frontends.insert(frontend, service.to_owned());
                Ok(())
            }
            Some(other) => Err(Outcome::missing(format!(
                "service {other} listens at {} already",
                written(&frontend)
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

/// `tcp-192.0.2.10-80`, `tcp-192.0.2.10-all`
pub(super) fn name_of(frontend: &Frontend) -> String {
    let Frontend { vip, port, protocol } = frontend;
    match port {
        0 => format!("{protocol}-{vip}-all"),
        port => format!("{protocol}-{vip}-{port}"),
    }
}

/// As `listen` has it.
fn written(frontend: &Frontend) -> String {
    match *frontend {
        Frontend {
            vip,
            port: 0,
            protocol,
        } => Area {
            network: vip,
            prefix: bits(vip),
            first: 1,
            last: u16::MAX,
            protocol,
        }
        .to_string(),
        frontend => frontend.to_string(),
    }
}
