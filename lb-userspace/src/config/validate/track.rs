//! What instances depend on.

use std::{ops::RangeInclusive, time::Duration};

use toml::Spanned;

use super::Validator;
use crate::{
    config::{diagnostic::Diagnostic, duration::Time, file::track as table},
    core::model::{Track, Tracked},
};

/// Things that one instance depends on.
const MAX_TRACKS: usize = 16;
const WEIGHTS: RangeInclusive<i64> = -254..=254;
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

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
        let interface = table
            .interface
            .as_ref()
            .map(|name| self.interface(name).map(Tracked::Interface));
        let ping = table.ping.as_ref().map(|address| {
            let address = self.address("machine to ping", address.get_ref(), &address.span());
            address.map(Tracked::Ping)
        });
        let file = table.file.as_ref().map(|path| self.path(path).map(Tracked::File));
        let process = table.process.as_ref().map(|name| {
            self.name("process", name);
            Some(Tracked::Process(name.get_ref().clone()))
        });
        let program = table
            .program
            .as_ref()
            .map(|command| self.command(command).map(Tracked::Program));
        let mut whats = [interface, ping, file, process, program].into_iter().flatten();
        let (first, second) = (whats.next(), whats.next());
        if first.is_none() || second.is_some() {
            self.report(Diagnostic::error("it is not clear what is tracked").at(
                given.span(),
                "expected exactly one of `interface`, `ping`, `file`, `process` and `program`",
            ));
        }
        let interval = self.time("interval", table.interval.as_ref(), DEFAULT_INTERVAL, &INTERVALS);
        let timeout = self.time("timeout", table.timeout.as_ref(), interval, &TIMEOUTS);
        if timeout > interval
            && let Some(given) = &table.timeout
        {
            let Time(longest) = Time(interval);
            self.report(Diagnostic::error("`timeout` is longer than `interval`").at(
                given.span(),
                format!("expected at most {}: the next look comes then", Time(longest)),
            ));
        }
        let weight = table.weight.as_ref().map_or(0, |weight| {
            if !WEIGHTS.contains(weight.get_ref()) {
                self.report(
                    Diagnostic::error("`weight` is out of range").at(weight.span(), "expected -254 to 254"),
                );
            }
            *weight.get_ref() as i16
        });
        Some(Track {
            what: first??,
            weight,
            interval,
            timeout,
            rise: self.number("rise", table.rise.as_ref(), 1, &(1..=100)) as u8,
            fall: self.number("fall", table.fall.as_ref(), 1, &(1..=100)) as u8,
        })
    }
}
