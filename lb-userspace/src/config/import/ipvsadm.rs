//! The rules that `ipvsadm -Sn` writes and `ipvsadm -R` reads → our configuration.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use super::{
    ImportError, Imported, Place, Report,
    document::{Document, Table},
    forward::{Method, Tunnel},
    lvs::{self, Backend, Register, Service},
    report::{Comments, Outcome},
    scheduling,
};
use crate::core::model::{Frontend, Protocol};

/// Imports rules. `name` stands for them in messages.
///
/// # Errors
/// There is no rule among them that adds a service, or one that cannot be understood.
pub fn import(name: &str, text: &str, interfaces: &[String]) -> Result<Imported, ImportError> {
    let name: Rc<str> = name.into();
    let mut importer = Importer::default();
    let mut rules = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let rule = line.trim();
        if rule.is_empty() || rule.starts_with('#') {
            continue;
        }
        let place = Place {
            file: Rc::clone(&name),
            line: number,
        };
        let words: Vec<&str> = rule.split_whitespace().collect();
        if !words.iter().any(|word| ADDS.contains(word)) {
            let outcome = Outcome::needless("only rules that add something are for a configuration");
            importer.report.enter(&place, rule, outcome);
            continue;
        }
        let parsed = Rule::parse(&words).map_err(|problem| ImportError::Syntax {
            place: place.clone(),
            problem,
        })?;
        if parsed.is_service
            && let Some((vip, _)) = endpoint(parsed.service)
        {
            importer.register.vip(vip);
        }
        rules.push((place, rule, parsed));
    }
    for (place, text, rule) in rules {
        importer.rule(&place, text, &rule);
    }
    importer.report.sort();
    importer.finish(&name, interfaces)
}

/// Commands that add something.
const ADDS: [&str; 4] = ["-A", "--add-service", "-a", "--add-server"];

/// A rule that adds something.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rule<'a> {
    /// Whether it adds a service, and no server.
    is_service: bool,
    protocol: Option<Protocol>,
    service: &'a str,
    server: Option<&'a str>,
    scheduler: Option<&'a str>,
    flags: Option<&'a str>,
    /// How long clients keep their servers, in seconds; empty where only that is said.
    persistent: Option<&'a str>,
    mask: Option<&'a str>,
    one_packet: bool,
    method: Option<&'a str>,
    tunnel: Tunnel<'a>,
    weight: Option<&'a str>,
    upper: Option<&'a str>,
    lower: Option<&'a str>,
    /// What else was asked for, and why nothing comes of it.
    others: Vec<(&'a str, &'static str)>,
}

/// Seconds that a client keeps its server where `-p` stands alone.
const USUAL_PERSISTENCE: u64 = 300;

impl<'a> Rule<'a> {
    fn parse(words: &[&'a str]) -> Result<Self, String> {
        let mut rule = Self::default();
        let mut words = words.iter().copied().peekable();
        while let Some(word) = words.next() {
            let (option, attached) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            let mut value = || {
                attached
                    .or_else(|| words.next())
                    .ok_or_else(|| format!("`{option}` without a value"))
            };
            match option {
                "ipvsadm" => {}
                "-A" | "--add-service" => rule.is_service = true,
                "-a" | "--add-server" => {}
                "-t" | "--tcp-service" => (rule.protocol, rule.service) = (Some(Protocol::Tcp), value()?),
                "-u" | "--udp-service" => (rule.protocol, rule.service) = (Some(Protocol::Udp), value()?),
                "--sctp-service" => (rule.protocol, rule.service) = (Some(Protocol::Sctp), value()?),
                "-f" | "--fwmark-service" => {
                    rule.service = value()?;
                    rule.others.push((
                        option,
                        "a firewall mark names no addresses: write those that are marked into `listen`",
                    ));
                }
                "-r" | "--real-server" => rule.server = Some(value()?),
                "-s" | "--scheduler" => rule.scheduler = Some(value()?),
                "-w" | "--weight" => rule.weight = Some(value()?),
                "-g" | "--gatewaying" | "-m" | "--masquerading" | "-i" | "--ipip" => {
                    rule.method = Some(option);
                }
                "-p" | "--persistent" => {
                    // The timeout may be missing.
                    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
                    let timeout = attached.or_else(|| words.next_if(is_number));
                    rule.persistent = Some(timeout.unwrap_or_default());
                }
                "-M" | "--netmask" => rule.mask = Some(value()?),
                "--pe" => {
                    value()?;
                    rule.others
                        .push((option, "clients are told apart by their addresses alone"));
                }
                "-x" | "--u-threshold" => rule.upper = Some(value()?),
                "-y" | "--l-threshold" => rule.lower = Some(value()?),
                "-b" | "--sched-flags" => rule.flags = Some(value()?),
                "-o" | "--ops" => rule.one_packet = true,
                "--tun-type" => rule.tunnel.kind = Some(value()?),
                "--tun-port" => rule.tunnel.port = Some(value()?),
                "--tun-nocsum" | "--tun-csum" | "--tun-remcsum" => {
                    rule.tunnel.checksum = option.strip_prefix("--tun-");
                }
                "-6" | "--ipv6" | "-n" | "--numeric" => {}
                _ => return Err(format!("ipvsadm has no option `{word}`")),
            }
        }
        match (rule.service, rule.server) {
            ("", _) => Err("a rule without a service".to_owned()),
            (_, None) if !rule.is_service => Err("a server without an address".to_owned()),
            _ => Ok(rule),
        }
    }
}

impl Rule<'_> {
    /// How the server is reached, and what of that is not as it was.
    fn method(&self) -> Result<(Method, Option<Outcome>), Outcome> {
        match self.method {
            Some("-m" | "--masquerading") => Ok((Method::Nat, None)),
            Some("-i" | "--ipip") => self.tunnel.method(),
            Some(_) | None => Ok((Method::Direct, None)),
        }
    }
}

#[derive(Default)]
struct Importer<'a> {
    report: Report,
    register: Register,
    /// With what names it in the rules.
    services: Vec<(Option<Protocol>, &'a str, Service)>,
    /// Of all services.
    timeouts: toml::Table,
}

impl<'a> Importer<'a> {
    fn rule(&mut self, place: &Place, text: &str, rule: &Rule<'a>) {
        let (outcome, into) = if rule.is_service {
            self.service(rule)
        } else {
            self.server(rule)
        };
        let mut outcomes = vec![outcome];
        outcomes.extend(
            rule.others
                .iter()
                .map(|(option, why)| Outcome::approximated(format!("without `{option}`: {why}"))),
        );
        let outcome = together(outcomes);
        if let Some(comments) = into.and_then(|into| self.comments(into)) {
            comments.add(place, text, &outcome);
        }
        self.report.enter(place, text, outcome);
    }

    /// Where to comment on a service, or on a backend of it.
    fn comments(&mut self, (service, backend): (usize, Option<usize>)) -> Option<&mut Comments> {
        let (.., service) = self.services.get_mut(service)?;
        match backend {
            Some(backend) => service
                .backends
                .get_mut(backend)
                .map(|backend| &mut backend.comments),
            None => Some(&mut service.comments),
        }
    }

    fn service(&mut self, rule: &Rule<'a>) -> (Outcome, Option<(usize, Option<usize>)>) {
        let frontend = match frontend(rule) {
            Ok(frontend) => frontend,
            Err(outcome) => return (outcome, None),
        };
        let name = self.register.name(&lvs::name_of(&frontend));
        if let Err(outcome) = self.register.listen(frontend, &name) {
            return (outcome, None);
        }
        let mut outcomes = vec![Outcome::translated(format!("[[service]] {name}"))];
        let mut service = Service {
            name,
            frontends: vec![frontend],
            ..Service::default()
        };
        outcomes.extend(rule.scheduler.map(|name| service.chosen.scheduler(name)));
        let flags = rule.flags.into_iter().flat_map(|flags| flags.split(','));
        outcomes.extend(flags.map(|name| service.chosen.flag(name)));
        let connections = &mut service.connections;
        outcomes.extend(
            rule.persistent
                .map(|seconds| connections.persistent(seconds, USUAL_PERSISTENCE)),
        );
        outcomes.extend(rule.mask.map(|mask| connections.mask(mask)));
        outcomes.extend(rule.one_packet.then(|| connections.one_packet()));
        self.services.push((rule.protocol, rule.service, service));
        (together(outcomes), Some((self.services.len() - 1, None)))
    }

    fn server(&mut self, rule: &Rule<'a>) -> (Outcome, Option<(usize, Option<usize>)>) {
        let Some(index) = self
            .services
            .iter()
            .position(|(protocol, service, _)| (*protocol, *service) == (rule.protocol, rule.service))
        else {
            return (Outcome::missing("its service was not translated"), None);
        };
        let Some((address, port)) = rule.server.and_then(endpoint) else {
            return (Outcome::missing("its address cannot be read"), None);
        };
        let service = &mut self.services[index].2;
        let (method, remark) = match rule.method() {
            Ok(method) => method,
            Err(outcome) => return (outcome, None),
        };
        let mut outcomes = vec![service.reach(method)];
        outcomes.extend(remark);
        let mut backend = Backend::new(address);
        match rule.weight.map(lvs::weight) {
            Some(Ok((given, outcome))) => {
                backend.weight = given;
                if outcome.attention {
                    outcomes.push(outcome);
                }
            }
            Some(Err(outcome)) => outcomes.push(outcome),
            None => {}
        }
        for (key, given, into) in [
            ("upper_threshold", rule.upper, &mut backend.upper),
            ("lower_threshold", rule.lower, &mut backend.lower),
        ] {
            if let Some(given) = given.filter(|given| *given != "0") {
                outcomes.push(scheduling::threshold(key, given, into));
            }
        }
        outcomes.insert(0, service.serve_at(port, &mut backend));
        if let Err(outcome) = service.add(backend, &self.register) {
            return (outcome, None);
        }
        let into = (index, Some(service.backends.len() - 1));
        (together(outcomes), Some(into))
    }

    fn finish(self, name: &str, interfaces: &[String]) -> Result<Imported, ImportError> {
        if self.services.is_empty() {
            return Err(ImportError::Nothing {
                what: format!("{name} has no rule that adds a service (`-A …`)"),
            });
        }
        let mut document = Document {
            comments: vec!["Made of the output of `ipvsadm -Sn` by `tandem import ipvsadm`.".to_owned()],
            ..Document::default()
        };
        let mut director = Table::new("[director]");
        if interfaces.is_empty() {
            director.comment("IPVS does not know where clients come in: name the interface.");
            director.set("interfaces", vec!["eth0"]);
        } else {
            director.set("interfaces", interfaces.to_vec());
        }
        document.tables.push(director);
        lvs::limits(self.services.iter().map(|(.., service)| service), &mut document);
        for (.., service) in &self.services {
            service.write(&self.timeouts, &mut document);
        }
        Ok(Imported {
            toml: document.to_toml(),
            report: self.report,
        })
    }
}

/// The worst of them, with what all have to say.
fn together(outcomes: Vec<Outcome>) -> Outcome {
    let fate = outcomes.iter().map(|outcome| outcome.fate).max();
    let attention = outcomes.iter().any(|outcome| outcome.attention);
    let mut why: Vec<String> = Vec::new();
    for outcome in outcomes {
        if !why.contains(&outcome.why) {
            why.push(outcome.why);
        }
    }
    Outcome {
        fate: fate.unwrap_or(super::Fate::Ignored),
        attention,
        why: why.join("; "),
    }
}

fn frontend(rule: &Rule<'_>) -> Result<Frontend, Outcome> {
    let Some(protocol) = rule.protocol else {
        return Err(Outcome::missing("it names no address to listen at"));
    };
    match endpoint(rule.service) {
        Some((vip, port)) => Ok(Frontend { vip, port, protocol }),
        None => Err(Outcome::missing(
            "its address cannot be read: use `ipvsadm -Sn`, with `-n`",
        )),
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`, or an address alone.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((socket.ip(), socket.port()));
    }
    let address = text.trim_start_matches('[').trim_end_matches(']');
    address.parse().ok().map(|address| (address, 0))
}
