//! The rules that a configuration must keep beyond its syntax. Every breach is reported, not just the first.

mod api;
mod check;
mod cluster;
mod connections;
mod events;
mod forward;
mod heartbeat;
mod instance;
mod metrics;
mod scheduling;
mod service;
mod sync;
mod track;

use std::{collections::BTreeMap, ops::Range};

use crate::config::Spanned;

pub(super) use self::{
    check::MOST_CHECKS,
    scheduling::{MAX_THRESHOLD, SLOTS_PER_BACKEND, next_prime},
    service::not_one_host,
};
use super::{
    diagnostic::{Diagnostic, Source, quote},
    file,
    size::Size,
};
use crate::core::{
    model::{Config, Director, Limits, Service},
    slots,
};

/// Most flows of a family: 2 GiB of IPv4 flows, 4 GiB of IPv6 flows.
const MAX_FLOWS: u32 = 1 << 26;

/// Fewest flows of a family. Less is no saving.
const MIN_FLOWS: u32 = 1 << 10;

/// Most backends over all services.
const MAX_BACKENDS: u32 = 1 << 16;

/// Most schedule slots: 256 MiB.
const MAX_SLOTS: u32 = 1 << 26;

/// Longest name of a director, service or backend.
const MAX_NAME: usize = 63;

/// Longest name of an interface: the kernel's IFNAMSIZ without its NUL (linux/if.h).
const MAX_INTERFACE_NAME: usize = 15;

/// What `file` asks for, and what is wrong with it. If there are errors, what they concern is left out of the
/// configuration.
pub(super) fn validate(file: &file::File, source: &Source, host_name: &str) -> (Config, Vec<Diagnostic>) {
    let mut validator = Validator {
        source,
        diagnostics: Vec::new(),
    };
    let instances = validator.instances(&file.instances);
    let config = Config {
        director: validator.director(&file.director, host_name),
        cluster: file.cluster.as_ref().map(|table| validator.cluster(table)),
        sync: validator.sync(file),
        limits: validator.limits(&file.limits),
        events: validator.events(&file.events),
        metrics: validator.metrics(&file.metrics),
        api: validator.api(&file.api),
        heartbeats: validator.heartbeats(&file.heartbeats, &instances, file.cluster.is_some()),
        instances,
        services: validator.services(&file.services),
    };
    validator.fits_together(&config, file);
    validator.metrics_can_be_reached(&config, &file.metrics);
    validator.capacities(&config, &file.limits);
    (config, validator.diagnostics)
}

/// Where the keys of one kind were seen first: the rule that something may be given only once.
type FirstSeen<K> = BTreeMap<K, Range<usize>>;

struct Validator<'a> {
    source: &'a Source,
    diagnostics: Vec<Diagnostic>,
}

impl Validator<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether `key` is new. If not, `error` is reported with a pointer to the first one.
    fn once<K: Ord>(
        &mut self,
        seen: &mut FirstSeen<K>,
        key: K,
        span: &Range<usize>,
        error: impl FnOnce() -> Diagnostic,
    ) -> bool {
        match seen.get(&key) {
            None => {
                seen.insert(key, span.clone());
                true
            }
            Some(first) => {
                let error = error().related(first.clone(), "the first one");
                self.report(error);
                false
            }
        }
    }

    fn director(&mut self, table: &file::Director, host_name: &str) -> Director {
        let name = match &table.name {
            Some(name) => {
                self.name("director", name);
                name.get_ref().clone()
            }
            None => {
                if !is_name(host_name) {
                    self.report(
                        Diagnostic::error("the director has no name, and the host name cannot serve as one")
                            .note("set `name` under [director]"),
                    );
                }
                host_name.to_owned()
            }
        };
        Director {
            name,
            interfaces: self.interfaces(table),
            manage_vips: table.manage_vips.unwrap_or(true),
            pool_share: self.pool_share(table),
            track: self.tracks(table.track.as_ref()),
        }
    }

    fn interfaces(&mut self, table: &file::Director) -> Vec<String> {
        let given = table.interfaces.as_ref().map_or(&[][..], |list| list.get_ref());
        if given.is_empty() {
            let error = Diagnostic::error("there is no interface to balance on");
            self.report(match &table.interfaces {
                Some(list) => error.at(list.span(), "expected at least one, such as \"eth0\""),
                None => error
                    .note("name one with `interfaces = [\"eth0\"]` under [director], or --interface eth0"),
            });
        }
        let mut seen = FirstSeen::new();
        let mut interfaces = Vec::new();
        for interface in given {
            let (name, span) = (interface.get_ref(), interface.span());
            if !is_interface_name(name) {
                self.report(not_an_interface(interface));
            } else if self.once(&mut seen, name.clone(), &span, || {
                Diagnostic::error(format!("interface {} is given twice", quote(name)))
                    .at(span.clone(), "once is enough")
            }) {
                interfaces.push(name.clone());
            }
        }
        interfaces
    }

    /// Checks the form of a name that operators will type and logs will carry.
    fn name(&mut self, of: &str, name: &Spanned<String>) {
        if !is_name(name.get_ref()) {
            self.report(
                Diagnostic::error(format!("{} cannot be the name of a {of}", quote(name.get_ref()))).at(
                    name.span(),
                    "expected 1 to 63 letters (a-z, A-Z), digits, `.`, `_`, `:` or `-`, not `-` first",
                ),
            );
        }
    }

    fn limits(&mut self, table: &file::Limits) -> Limits {
        let default = Limits::default();
        Limits {
            flows_v4: self.limit(
                "flows_v4",
                table.flows_v4.as_ref(),
                default.flows_v4,
                MIN_FLOWS,
                MAX_FLOWS,
            ),
            flows_v6: self.limit(
                "flows_v6",
                table.flows_v6.as_ref(),
                default.flows_v6,
                MIN_FLOWS,
                MAX_FLOWS,
            ),
            translations_v4: self.limit(
                "translations_v4",
                table.translations_v4.as_ref(),
                default.translations_v4,
                MIN_FLOWS,
                MAX_FLOWS,
            ),
            translations_v6: self.limit(
                "translations_v6",
                table.translations_v6.as_ref(),
                default.translations_v6,
                MIN_FLOWS,
                MAX_FLOWS,
            ),
            backends: self.limit(
                "backends",
                table.backends.as_ref(),
                default.backends,
                1,
                MAX_BACKENDS,
            ),
            slots: self.limit(
                "slots",
                table.slots.as_ref(),
                default.slots,
                slots::ALIGNMENT,
                MAX_SLOTS,
            ),
        }
    }

    fn limit(&mut self, key: &str, size: Option<&Spanned<Size>>, default: u32, min: u32, max: u32) -> u32 {
        let Some(size) = size else { return default };
        match u32::try_from(size.get_ref().0) {
            Ok(number) if (min..=max).contains(&number) => number,
            Ok(_) | Err(_) => {
                let range = format!("expected {} to {}", Size(min.into()), Size(max.into()));
                self.report(Diagnostic::error(format!("`{key}` is out of range")).at(size.span(), range));
                default
            }
        }
    }

    /// Whether everything fits into the tables that are made at the start.
    fn capacities(&mut self, config: &Config, table: &file::Limits) {
        let needed = config
            .services
            .iter()
            .map(|service| service.backends.len() as u64)
            .sum::<u64>();
        if needed > u64::from(config.limits.backends) {
            self.report(over_limit(
                format!(
                    "there are {needed} backends, but room for {}",
                    config.limits.backends
                ),
                "backends",
                table.backends.as_ref(),
                needed,
            ));
        }

        let sizes = || {
            config
                .services
                .iter()
                .map(|service: &Service| slots::padded(scheduling::slots(service)))
        };
        let needed = sizes().sum::<u64>() + sizes().max().unwrap_or(0);
        if needed > u64::from(config.limits.slots) {
            self.report(
                over_limit(
                    format!(
                        "the services need {needed} schedule slots of {}",
                        config.limits.slots
                    ),
                    "slots",
                    table.slots.as_ref(),
                    needed,
                )
                .note("that is every schedule (`table_size`), and the largest once more for changing it under way"),
            );
        }
    }
}

/// The error that `[limits] key` is less than what is needed.
fn over_limit(what: String, key: &str, given: Option<&Spanned<Size>>, needed: u64) -> Diagnostic {
    match given {
        Some(size) => Diagnostic::error(what).at(size.span(), format!("expected at least {needed}")),
        None => Diagnostic::error(what).note(format!("set `{key}` under [limits] to {needed} or more")),
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('-') && name.chars().all(good)
}

fn not_an_interface(name: &Spanned<String>) -> Diagnostic {
    let what = quote(name.get_ref());
    Diagnostic::error(format!("{what} cannot be the name of an interface")).at(
        name.span(),
        "expected 1 to 15 bytes without blank, `/` or `:`; `ip link` lists them",
    )
}

/// As the kernel's `dev_valid_name` (net/core/dev.c) has it.
pub(super) fn is_interface_name(name: &str) -> bool {
    let bad = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    (1..=MAX_INTERFACE_NAME).contains(&name.len()) && name != "." && name != ".." && !name.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "web-1", "10.0.0.1", "2001:db8::1", "_x", &"n".repeat(63)] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in ["", "-a", "a b", "a/b", "ä", "a\n", &"n".repeat(64)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn interface_names() {
        for good in ["eth0", "enp3s0f1", "br-lan", "eth0.100", "fifteen-letters"] {
            assert!(is_interface_name(good), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "eth 0",
            "eth/0",
            "eth0:1",
            "a\u{7}",
            "sixteen-letters-",
        ] {
            assert!(!is_interface_name(bad), "{bad:?}");
        }
    }
}
