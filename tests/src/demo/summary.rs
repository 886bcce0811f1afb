//! What the demonstration found, for people and for machines.

use std::{collections::BTreeMap, io};

use serde::Serialize;

use super::{
    backends::{Drain, Failure},
    pair::{Failover, Handover},
};

/// The result of a demonstration.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Connections of all clients.
    pub connections: Connections,
    /// New connections by backend.
    pub share: BTreeMap<String, Share>,
    /// A backend that was drained under load.
    pub drain: Drain,
    /// A backend that was killed under load.
    pub backend_failure: Failure,
    /// Time that the XDP program took for a packet, in nanoseconds, as the kernel measured it under this traffic.
    pub ns_per_packet: Option<f64>,
    /// Packets that the XDP program saw while that was measured.
    pub packets: u64,
    /// The Active of a pair dies under traffic.
    pub failover: Failover,
    /// The VIPs of a pair are handed over and back under traffic.
    pub handover: Handover,
}

/// Connections of all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Connections {
    /// Opened and answered.
    pub made: u64,
    /// Answered by the same backend to the end.
    pub kept: u64,
    /// Not opened, not answered any more, or answered by another backend.
    pub broken: u64,
}

/// New connections of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Share {
    /// What its weight asks for, in percent, over the phases in which it was configured.
    pub weight: f64,
    /// What it got, in percent.
    pub got: f64,
}

impl Summary {
    /// Whether all went as it should: every connection kept, also while a backend was drained, and every share within `tolerance` percent points.
    #[must_use]
    pub fn is_good(&self, tolerance: f64) -> bool {
        let Connections { made, kept, broken } = self.connections;
        made > 0
            && kept == made
            && broken == 0
            && self.drain.client_errors == 0
            && self.backend_failure.others == 0
            && self.failover.reset == 0
            && self.failover.kept == self.failover.held
            && self.handover.lost_packets == 0
            && self.share.values().all(|s| (s.weight - s.got).abs() <= tolerance)
    }

    /// The table at the end.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub fn print(&self, out: &mut impl io::Write) -> io::Result<()> {
        let Connections { made, kept, broken } = self.connections;
        writeln!(
            out,
            "\n  connections  made {made}   kept {kept}   broken {broken}\n"
        )?;
        writeln!(out, "  {:<12} {:>12} {:>12}", "backend", "by weight", "got")?;
        for (backend, share) in &self.share {
            writeln!(
                out,
                "  {backend:<12} {:>10.1} % {:>10.1} %",
                share.weight, share.got
            )?;
        }
        let (drain, failure) = (&self.drain, &self.backend_failure);
        writeln!(
            out,
            "\n  drained in {:.1} s with {} client errors; a killed backend was out after {:.0} ms, with {} client errors",
            drain.seconds, drain.client_errors, failure.detect_ms, failure.client_errors
        )?;
        let Handover {
            packets,
            lost_packets,
        } = self.handover;
        writeln!(
            out,
            "\n  planned handover, there and back: {lost_packets} of {packets} packets lost"
        )?;
        let Failover {
            gap_ms,
            held,
            known,
            kept,
            reset,
        } = self.failover;
        writeln!(
            out,
            "  death of the Active: no answer for {gap_ms:.0} ms; of {held} connections the other director knew {known}, kept {kept}, reset {reset}"
        )?;
        match self.ns_per_packet {
            Some(cost) => writeln!(
                out,
                "\n  {cost:.0} ns per packet in the XDP program ({} packets)",
                self.packets
            ),
            None => writeln!(out, "\n  ns per packet: this kernel does not measure programs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(connections: Connections, got: f64) -> Summary {
        let share = BTreeMap::from([("web1".to_owned(), Share { weight: 50.0, got })]);
        Summary {
            connections,
            share,
            drain: Drain::default(),
            backend_failure: Failure::default(),
            ns_per_packet: None,
            packets: 0,
            failover: Failover::default(),
            handover: Handover::default(),
        }
    }

    #[test]
    fn good_means_nothing_broken_and_fair_shares() {
        let all = Connections {
            made: 10,
            kept: 10,
            broken: 0,
        };
        assert!(summary(all, 51.0).is_good(2.0));
        assert!(!summary(all, 53.0).is_good(2.0));
        assert!(!summary(Connections { kept: 9, ..all }, 50.0).is_good(2.0));
        assert!(!summary(Connections { broken: 1, ..all }, 50.0).is_good(2.0));
        assert!(!summary(Connections::default(), 50.0).is_good(2.0));
    }

    #[test]
    fn machines_find_the_documented_keys() {
        let json = serde_json::to_value(summary(
            Connections {
                made: 3,
                kept: 2,
                broken: 1,
            },
            49.0,
        ))
        .unwrap();
        assert_eq!(json["connections"]["made"], 3);
        assert_eq!(json["connections"]["kept"], 2);
        assert_eq!(json["connections"]["broken"], 1);
        assert_eq!(json["share"]["web1"]["weight"], 50.0);
        assert_eq!(json["share"]["web1"]["got"], 49.0);
        assert!(json.get("ns_per_packet").is_some());
        assert_eq!(json["failover"]["gap_ms"], 0.0);
        assert_eq!(json["handover"]["lost_packets"], 0);
        for keys in [
            ["drain", "client_errors"],
            ["drain", "seconds"],
            ["backend_failure", "detect_ms"],
            ["backend_failure", "client_errors"],
            ["failover", "held"],
            ["failover", "kept"],
            ["failover", "reset"],
        ] {
            assert!(json[keys[0]].get(keys[1]).is_some(), "{keys:?}");
        }
    }
}
