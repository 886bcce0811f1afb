//! What is known of the health of backends, and what follows from it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{director::Director, verdicts::likes};
use crate::{
    api::health::{CheckView, HealthView},
    core::{
        backend::{self, Health},
        event,
        health::{
            Check, Finding, Lately, Like, Probe, ProbeTarget, Report, Route, Start, Target, Verdict, Watch,
            WatchKey, compose,
        },
        model::{Backend, Config, Forward, Frontend, Service},
    },
    datapath::Kernel,
    probe::Watches,
};

/// What is known of the health of backends.
#[derive(Debug, Default)]
pub(super) struct HealthBook {
    reports: Reports,
    /// Whether a backend served under an earlier daemon: it is as healthy as it was until something else is known, so that
    /// a restart changes nothing.
    inherited: BTreeMap<(Arc<str>, IpAddr), bool>,
    /// What was told of each backend, by the name of the service.
    told: BTreeMap<String, BTreeMap<IpAddr, Health>>,
    quorum: BTreeMap<String, bool>,
}

/// The last outcome of each check, by service, and there by backend and number of the check: whoever asks has the name of the
/// service at hand, and all of them are asked for whenever one is new.
#[derive(Debug, Default)]
struct Reports(BTreeMap<Arc<str>, BTreeMap<(IpAddr, u32), Report>>);

impl Reports {
    fn get(&self, service: &str, backend: IpAddr, check: u32) -> Option<&Report> {
        self.0.get(service)?.get(&(backend, check))
    }

    fn insert(&mut self, watch: WatchKey, report: Report) -> Option<Report> {
        let WatchKey {
            service,
            backend,
            check,
        } = watch;
        let of_service = self.0.entry(service).or_default();
        of_service.insert((backend, check), report)
    }

    fn retain(&mut self, mut keep: impl FnMut(&WatchKey) -> bool) {
        for (service, reports) in &mut self.0 {
            reports.retain(|(backend, check), _| keep(&key(service, *backend, *check)));
        }
        self.0.retain(|_, reports| !reports.is_empty());
    }
}

impl HealthBook {
    /// What the maps say of an earlier daemon's verdicts.
    pub(super) fn inherit(kernel: &Kernel) -> Self {
        let inventory = kernel.tables.inventory();
        let mut inherited = BTreeMap::new();
        for (number, name) in &inventory.services {
            let name: Arc<str> = name.as_str().into();
            let slots = kernel.tables.slot_counts(*number);
            for (backend, assigned) in &inventory.backends {
                if assigned.service == *number {
                    inherited.insert((Arc::clone(&name), assigned.address), slots.contains_key(backend));
                }
            }
        }
        Self {
            inherited,
            ..Self::default()
        }
    }

    pub(super) fn report(&self, service: &str, backend: IpAddr, check: u32) -> Option<&Report> {
        self.reports.get(service, backend, check)
    }
}

fn key(service: &str, backend: IpAddr, check: u32) -> WatchKey {
    WatchKey {
        service: service.into(),
        backend,
        check,
    }
}

/// What a check of a service asks of a backend.
fn target(service: &Service, backend: &Backend, check: &Check) -> ProbeTarget {
    // A frontend that the backend's own address can stand for, if there is one.
    let suits = |frontend: &&Frontend| frontend.vip.is_ipv4() == backend.address.is_ipv4();
    let suitable = service.frontends.iter().find(suits);
    let frontend = suitable.or_else(|| service.frontends.first());
    ProbeTarget {
        address: backend.address,
        port: match check.probe {
            Probe::Icmp => 0,
            _ => check
                .port
                .unwrap_or_else(|| frontend.map_or(0, |frontend| frontend.port)),
        },
        route: match (check.target, service.forward) {
            (Target::Backend, _) | (Target::Vip, Forward::Nat | Forward::FullNat) => None,
            (Target::Vip, Forward::Dr) => suitable.map(|frontend| Route {
                vip: frontend.vip,
                tunnel: None,
            }),
            (Target::Vip, Forward::Tunnel(encapsulation)) => frontend
                .filter(|frontend| suits(frontend) || !hears_of_closed_ports(&check.probe))
                .map(|frontend| Route {
                    vip: frontend.vip,
                    tunnel: Some((encapsulation, backend.address)),
                }),
        },
        probe: check.probe.clone(),
    }
}

/// Whether all that makes it fail is an ICMP error, which does not get from one family to the other.
const fn hears_of_closed_ports(probe: &Probe) -> bool {
    matches!(probe, Probe::Udp(udp) if udp.reply.is_none())
}

impl Director {
    /// What is to be watched under a configuration.
    pub(super) fn watches(&self, config: &Config) -> Watches {
        let mut watches = Watches::new();
        for service in &config.services {
            let likes = likes(service);
            for backend in &service.backends {
                for ((number, check), like) in (0..).zip(&service.health.checks).zip(&likes) {
                    let watch = Watch {
                        target: Arc::new(target(service, backend, check)),
                        timing: check.timing,
                        judge: check.judge,
                        assumed: self.assumed(service, backend, *like),
                    };
                    watches.insert(key(&service.name, backend.address, number), watch);
                }
            }
        }
        watches
    }

    /// What a check counts as before its first outcome: what another director has found, or else what it came to before a
    /// restart.
    fn assumed(&self, service: &Service, backend: &Backend, like: Like) -> Verdict {
        if let Some((_, found)) = self.heard(service, backend, like) {
            return found.state;
        }
        let inherited = self
            .health
            .inherited
            .get(&(service.name.as_str().into(), backend.address));
        match inherited {
            Some(true) => Verdict::Up,
            Some(false) | None => Verdict::Unknown,
        }
    }

    /// Takes note of news; whether more than the time that answers take is new.
    pub(super) fn note_health(&mut self, watch: WatchKey, report: Report) -> bool {
        let before = self.health.report(&watch.service, watch.backend, watch.check);
        if let Some(warning) = &report.warning
            && before.and_then(|before| before.warning.as_ref()) != Some(warning)
        {
            let name = self.name_of(&watch.service, watch.backend);
            self.events.tell(event::Backend::Warning {
                service: watch.service.to_string(),
                backend: name,
                warning: warning.clone(),
            });
        }
        let (finding, reason) = (report.finding, report.reason.clone());
        let before = self.health.reports.insert(watch, report);
        before.is_none_or(|before| (before.finding, before.reason) != (finding, reason))
    }

    fn name_of(&self, service: &str, address: IpAddr) -> String {
        let service = self.config.services.iter().find(|found| found.name == service);
        let backend =
            service.and_then(|service| service.backends.iter().find(|backend| backend.address == address));
        backend.map_or_else(|| address.to_string(), |backend| backend.name.clone())
    }

    /// The health of a backend, and what it says of itself.
    pub(super) fn health_of(&self, service: &Service, backend: &Backend) -> (Health, backend::Agent) {
        let (health, agent) = self.checks_of(service, backend);
        match self.ejected(service, backend) {
            Some(_) => (Health::Down, agent),
            None => (health, agent),
        }
    }

    /// The same, by its checks alone.
    pub(super) fn checks_of(&self, service: &Service, backend: &Backend) -> (Health, backend::Agent) {
        let findings: Vec<Finding> = (0..)
            .zip(&service.health.checks)
            .map(
                |(number, check)| match self.health.report(&service.name, backend.address, number) {
                    Some(report) => report.finding,
                    None => Finding {
                        verdict: self.assumed(service, backend, Like::of(check)),
                        ..Finding::NONE
                    },
                },
            )
            .collect();
        compose(
            backend.weight,
            &findings,
            service.health.require,
            service.health.start,
        )
    }

    /// Whether something is known of every backend, so that nobody has to be assumed to be well or not.
    pub(super) fn health_is_known(&self, config: &Config) -> bool {
        let of_all = |service: &Service| {
            let mut backends = service.backends.iter();
            backends.all(|backend| self.is_known(service, backend))
        };
        config.services.iter().all(of_all)
    }

    /// Whether something is known of a backend.
    pub(super) fn is_known(&self, service: &Service, backend: &Backend) -> bool {
        let is_known = |(number, check): (u32, &Check)| {
            let report = self.health.report(&service.name, backend.address, number);
            report.is_some() || self.assumed(service, backend, Like::of(check)) != Verdict::Unknown
        };
        service.health.start == Start::Up || (0..).zip(&service.health.checks).all(is_known)
    }

    /// Forgets what is watched no more, or otherwise than before.
    pub(super) fn retain_health(&mut self, now: &Watches, before: &Watches) {
        let same = |key: &WatchKey| match (now.get(key), before.get(key)) {
            (Some(now), Some(before)) => now.target == before.target && now.judge == before.judge,
            (Some(_), None) | (None, _) => false,
        };
        self.health.reports.retain(same);
    }

    /// Why a backend is down, as a sentence.
    pub(super) fn why_down(&self, service: &Service, backend: &Backend) -> String {
        let reports = (0..).zip(&service.health.checks).filter_map(|(number, check)| {
            let Some(report) = self.health.report(&service.name, backend.address, number) else {
                let (by, found) = self.heard(service, backend, Like::of(check))?;
                let bad = found.state == Verdict::Down;
                return bad.then(|| {
                    format!(
                        "{}: {} (found by {by}, not checked here yet)",
                        found.check, found.why
                    )
                });
            };
            let bad = report.finding.verdict != Verdict::Up || report.finding.says != backend::Says::Up;
            let reason = match report.finding.says {
                backend::Says::Down => "the backend says so itself",
                backend::Says::Drain | backend::Says::Up => report.reason.as_str(),
            };
            bad.then(|| format!("{}: {reason}", check.probe.name()))
        });
        let ejected = self.ejected(service, backend).map(|lately: Lately| {
            let (failed, all) = (lately.failed(), lately.all());
            let how = match lately.refused {
                0 => "were not answered".to_owned(),
                refused if refused == failed => "were refused".to_owned(),
                refused => format!("were not answered, or refused ({refused})"),
            };
            format!("{failed} of {all} connections of late {how}, far more than those of others")
        });
        let reasons: Vec<String> = reports.chain(ejected).collect();
        if reasons.is_empty() {
            "not checked yet".to_owned()
        } else {
            reasons.join("; ")
        }
    }

    /// What is known of a backend.
    pub(super) fn health_view(&self, service: &Service, backend: &Backend) -> Option<HealthView> {
        if service.health.checks.is_empty() {
            return None;
        }
        let (health, _) = self.health_of(service, backend);
        let checks = (0..).zip(&service.health.checks).map(|(number, check)| {
            let report = self.health.report(&service.name, backend.address, number);
            let heard = match report {
                Some(_) => None,
                None => self.heard(service, backend, Like::of(check)),
            };
            let verdict = report
                .map(|report| report.finding.verdict)
                .or(heard.map(|(_, found)| found.state));
            let finding = report.map(|report| report.finding);
            CheckView {
                check: check.probe.name().to_owned(),
                state: match verdict.unwrap_or(Verdict::Unknown) {
                    Verdict::Unknown => "unknown",
                    Verdict::Up => "up",
                    Verdict::Down => "down",
                }
                .to_owned(),
                reason: report
                    .map(|report| &report.reason)
                    .or(heard.map(|(_, found)| &found.why))
                    .cloned()
                    .unwrap_or_default(),
                found_by: heard.map(|(by, _)| by.to_owned()),
                warning: report.and_then(|report| report.warning.clone()),
                took_ms: report
                    .and_then(|report| report.took)
                    .map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
                weight_percent: finding.map_or(100.0, |finding| {
                    f64::from(finding.weight.of(backend.weight).as_permille()) / 10.0
                }),
            }
        });
        Some(HealthView {
            state: match health {
                Health::Down => "down",
                Health::Up | Health::Unchecked => "up",
            }
            .to_owned(),
            checks: checks.collect(),
        })
    }

    /// Tells of what has changed since it was last told.
    pub(super) fn tell_health(&mut self) {
        let mut events: Vec<event::What> = Vec::new();
        let mut told = BTreeMap::new();
        let watched = |service: &&Service| !service.health.checks.is_empty() || service.health.eject > 0;
        for service in self.config.services.iter().filter(watched) {
            let before = self.health.told.remove(&service.name).unwrap_or_default();
            let mut now = BTreeMap::new();
            for backend in &service.backends {
                let before = before.get(&backend.address).copied();
                let Some(health) = self.health_to_tell(service, backend, before.is_some()) else {
                    continue;
                };
                let before = before.or_else(|| self.inherited_health(service, backend));
                events.extend(self.news_of(service, backend, before.unwrap_or(Health::Unchecked), health));
                now.insert(backend.address, health);
            }
            told.insert(service.name.clone(), now);
            events.extend(self.news_of_quorum(service));
        }
        self.health.told = told;
        for service in self.config.services.iter().filter(watched) {
            if let Some(standing) = self.standing.get(&service.name) {
                let name = service.name.clone();
                self.health.quorum.insert(name, standing.has_quorum);
            }
        }
        events.into_iter().for_each(|event| self.events.tell(event));
    }

    /// How a backend is; `None` if nothing was told of it yet and too little is known.
    fn health_to_tell(&self, service: &Service, backend: &Backend, was_told: bool) -> Option<Health> {
        let mut checks = 0..service.health.checks.len() as u32;
        let is_unknown = |check| {
            self.health
                .report(&service.name, backend.address, check)
                .is_none()
        };
        if !was_told && checks.any(is_unknown) {
            return None;
        }
        let (health, agent) = self.health_of(service, backend);
        Some(match agent.says {
            backend::Says::Down => Health::Down,
            backend::Says::Up | backend::Says::Drain => health,
        })
    }

    /// How a backend was under an earlier daemon, if that is known.
    fn inherited_health(&self, service: &Service, backend: &Backend) -> Option<Health> {
        let key = (service.name.as_str().into(), backend.address);
        let up = self.health.inherited.get(&key)?;
        let health = if *up { Health::Up } else { Health::Down };
        (!service.health.checks.is_empty()).then_some(health)
    }

    fn news_of(
        &self,
        service: &Service,
        backend: &Backend,
        before: Health,
        health: Health,
    ) -> Option<event::What> {
        let news = match (before, health) {
            (Health::Up | Health::Unchecked, Health::Down) => event::Backend::Down {
                service: service.name.clone(),
                backend: backend.name.clone(),
                reason: self.why_down(service, backend),
            },
            (Health::Down, Health::Up | Health::Unchecked) => event::Backend::Up {
                service: service.name.clone(),
                backend: backend.name.clone(),
            },
            (Health::Up | Health::Unchecked, Health::Up | Health::Unchecked)
            | (Health::Down, Health::Down) => return None,
        };
        Some(news.into())
    }

    fn news_of_quorum(&self, service: &Service) -> Option<event::What> {
        let standing = self.standing.get(&service.name)?;
        let before = self.health.quorum.get(service.name.as_str()).copied();
        let (of, serving, quorum) = (service.name.clone(), standing.serving, service.health.quorum);
        let news = match (before.unwrap_or(true), standing.has_quorum) {
            (true, false) => event::Service::QuorumLost {
                service: of,
                serving,
                quorum,
                policy: service.health.policy,
            },
            (false, true) => event::Service::QuorumRegained {
                service: of,
                serving,
                quorum,
            },
            (true, true) | (false, false) => return None,
        };
        Some(news.into())
    }
}
