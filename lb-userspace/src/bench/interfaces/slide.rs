//! What came out, for a slide.

use super::report::Report;
use crate::bench::{
    picture::{Bar, Picture},
    trial::Delay,
};

impl Report {
    /// The rates, and below them how long packets take.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let Self { settings, tx, rx, .. } = self;
        let title = settings.to.map_or_else(
            || format!("Packets from {} to {}", tx.interface, rx.interface),
            |to| format!("Packets through {to}"),
        );
        let mut rates: Vec<_> = self
            .rows
            .iter()
            .map(|row| Bar::of(&row.name, &row.mpps, 2))
            .collect();
        let without_loss = settings.without_loss();
        rates.push(match self.mpps_without_loss {
            Some(rate) => Bar::value(&without_loss, rate, 2).own(true),
            None => Bar::value(&without_loss, 0.0, 2).labelled("none"),
        });
        let delay = |delay: &Delay| {
            Bar::value(
                &format!("at {:.0} % of that", delay.load * 100.0),
                delay.median_us,
                1,
            )
            .up_to(delay.p99_us, 1)
            .own(true)
        };
        Picture::new(title)
            .panel(settings.unit(), rates)
            .panel(
                "microseconds under way: median, and a line to 99 %",
                self.delays.iter().map(delay).collect(),
            )
            .note(format!(
                "{}, {}; {} rounds of {} ms; by {tx}, back by {rx}",
                settings.packets(),
                settings.frames,
                settings.rounds,
                settings.turn_milliseconds
            ))
            .note(self.machine.note())
            .warning(self.rows.iter().map(|row| row.noisy))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::report::{Port, Row, Settings},
        *,
    };
    use crate::bench::{machine::Machine, trial::Trial};

    fn report() -> Report {
        let port = |name: &str| Port {
            interface: name.to_owned(),
            driver: Some("veth".to_owned()),
            mtu: 1500,
            mode: "native".to_owned(),
        };
        let trial = |received| Trial {
            sent: 4_000_000,
            received,
            seconds: 1.0,
        };
        Report {
            machine: Machine::describe(1).unwrap(),
            tx: port("eth0"),
            rx: port("eth1"),
            settings: Settings {
                to: Some(([192, 0, 2, 10], 53).into()),
                mac: "02:00:00:00:be:03".to_owned(),
                flows: Some(100),
                kind: "datagrams".to_owned(),
                frames: "64 bytes".to_owned(),
                mean_length: 64.0,
                rounds: 3,
                turn_milliseconds: 2000.0,
                tolerated_loss: 0.001,
            },
            rows: Row::of(&[trial(1_000_000), trial(2_000_000), trial(3_000_000)]),
            loss_at_full: 0.5,
            mpps_without_loss: Some(1.5),
            delays: vec![Delay {
                load: 0.5,
                median_us: 20.0,
                p99_us: 46.0,
                p999_us: 90.0,
            }],
        }
    }

    #[test]
    fn rates_and_delays_have_a_unit_each() {
        let svg = report().picture().svg();
        for text in [
            ">Packets through 192.0.2.10:53<",
            ">millions of packets a second<",
            ">came back<",
            "width=\"460.0\"",
            ">without loss (up to 0.1 %)<",
            ">1.50<",
            ">at 50 % of that<",
            ">20.0, 46.0<",
            "by eth0 (veth, native), back by eth1",
            "CPU 1 of",
            "NOISY: 1 of 2",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn where_packets_are_always_lost_there_are_no_delays() {
        let mut report = report();
        (report.mpps_without_loss, report.delays) = (None, Vec::new());
        (report.settings.to, report.settings.flows) = (None, None);
        let svg = report.picture().svg();
        for text in [
            ">Packets from eth0 to eth1<",
            ">millions of new flows a second<",
            ">none<",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(!svg.contains("microseconds"), "{svg}");
    }
}
