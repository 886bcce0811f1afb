//! What instances depend on.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use crate::config::Spanned;

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        duration::Time,
        file::track as table,
    },
    core::model::{Effect, Track, Tracked},
};

/// Things that one instance, or the director, depends on.
const MAX_TRACKS: usize = 16;
const WEIGHTS: RangeInclusive<i64> = -254..=254;
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const PERCENT: RangeInclusive<u32> = 1..=100;
/// What has to be free of a disk where the configuration does not say.
const DEFAULT_FREE: u32 = 5;

impl Validator<'_> {
    pub(super) fn tracks(&mut self, given: Option<&Spanned<Vec<Spanned<table::Track>>>>) -> Vec<Track> {
        let Some(list) = given else { return Vec::new() };
        if list.get_ref().len() > MAX_TRACKS {
            self.report(
                Diagnostic::error(format!("{} things are tracked", list.get_ref().len()))
                    .at(list.span(), format!("expected {MAX_TRACKS} at most")),
            );
        }
        list.get_ref()
            .iter()
            .filter_map(|track| self.track(track))
            .collect()
    }

    fn track(&mut self, given: &Spanned<table::Track>) -> Option<Track> {
        let table = given.get_ref();
        let what = self.tracked(given);
        let interval = self.time("interval", table.interval.as_ref(), DEFAULT_INTERVAL, &INTERVALS);
        let timeout = self.time("timeout", table.timeout.as_ref(), interval, &TIMEOUTS);
        if timeout > interval
            && let Some(given) = &table.timeout
        {
            self.report(Diagnostic::error("`timeout` is longer than `interval`").at(
                given.span(),
                format!("expected at most {}: the next look comes then", Time(interval)),
            ));
        }
        Some(Track {
            what: what?,
            effect: self.effect(table),
            interval,
            timeout,
            rise: self.number("rise", table.rise.as_ref(), 1, &(1..=100)) as u8,
            fall: self.number("fall", table.fall.as_ref(), 1, &(1..=100)) as u8,
        })
    }

    fn tracked(&mut self, given: &Spanned<table::Track>) -> Option<Tracked> {
        let table = given.get_ref();
        let interface = table
            .interface
            .as_ref()
            .map(|name| self.interface(name).map(Tracked::Interface));
        let route = table.route.as_ref().map(|route| self.route(route));
        let mut machine = |role: &str, given: Option<&Spanned<String>>| {
            given.map(|given| self.address(role, given.get_ref(), &given.span()))
        };
        let ping = machine("machine to ping", table.ping.as_ref()).map(|ip| ip.map(Tracked::Ping));
        let gateway = machine("gateway", table.gateway.as_ref()).map(|ip| ip.map(Tracked::Gateway));
        let file = table.file.as_ref().map(|path| self.path(path).map(Tracked::File));
        let process = table.process.as_ref().map(|name| {
            self.name("process", name);
            Some(Tracked::Process(name.get_ref().clone()))
        });
        let program = table
            .program
            .as_ref()
            .map(|command| self.command(command).map(Tracked::Program));
        let free = self.number("free", table.free.as_ref(), DEFAULT_FREE, &PERCENT) as u8;
        let disk = table
            .disk
            .as_ref()
            .map(|path| self.path(path).map(|path| Tracked::Disk { path, free }));
        if let (None, Some(free)) = (&disk, &table.free) {
            self.report(
                Diagnostic::error("only a disk has free space").at(free.span(), "expected `disk` beside it"),
            );
        }
        let backends = table.backends.as_ref().map(|percent| {
            let percent = self.number("backends", Some(percent), 100, &PERCENT);
            Some(Tracked::Backends(percent as u8))
        });
        let whats = [
            interface, route, ping, gateway, file, process, program, disk, backends,
        ];
        let mut whats = whats.into_iter().flatten();
        let (first, second) = (whats.next(), whats.next());
        if first.is_none() || second.is_some() {
            self.report(Diagnostic::error("it is not clear what is tracked").at(
                given.span(),
                "expected exactly one of `interface`, `route`, `ping`, `gateway`, `file`, `process`, `program`, `disk` and \
                 `backends`",
            ));
        }
        first?
    }

    fn effect(&mut self, table: &table::Track) -> Effect {
        if let Some(health) = &table.health {
            if table.weight.is_some() {
                self.report(Diagnostic::error("`weight` and `health` are given").at(
                    health.span(),
                    "expected one of them: `weight` changes the priority, `health` what comes after it",
                ));
            }
            return Effect::Health(self.number("health", Some(health), 100, &PERCENT) as u8);
        }
        let Some(weight) = &table.weight else {
            return Effect::Fault;
        };
        if !WEIGHTS.contains(weight.get_ref()) {
            self.report(
                Diagnostic::error("`weight` is out of range").at(weight.span(), "expected -254 to 254"),
            );
        }
        match *weight.get_ref() as i16 {
            0 => Effect::Fault,
            weight => Effect::Priority(weight),
        }
    }

    /// A network, with nothing set behind its prefix.
    fn route(&mut self, given: &Spanned<String>) -> Option<Tracked> {
        let text = given.get_ref();
        let parsed = text.split_once('/').and_then(|(network, prefix)| {
            let (network, prefix) = (network.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            let (bits, length) = match network {
                IpAddr::V4(network) => (u128::from(network.to_bits()) << 96, 32),
                IpAddr::V6(network) => (network.to_bits(), 128),
            };
            let behind = bits.checked_shl(prefix.into()).unwrap_or(0);
            (prefix <= length && behind == 0).then_some((network, prefix))
        });
        if parsed.is_none() {
            self.report(Diagnostic::error(format!("{} is no network", quote(text))).at(
                given.span(),
                "expected one without host bits, such as \"10.0.0.0/8\" or \"::/0\"",
            ));
        }
        parsed.map(|(network, prefix)| Tracked::Route { network, prefix })
    }
}
