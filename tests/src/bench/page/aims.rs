//! What was promised of one run, and what it says.

use super::Page;
use crate::bench::{fastpath::in_words, subject::Subject, throughput::flows};

/// A ratio within one run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aim {
    /// Of what.
    pub(super) what: String,
    /// What it should be.
    pub(super) wanted: f64,
    /// What it is.
    pub(super) measured: f64,
    /// Whether less is better.
    less_is_better: bool,
}

impl Aim {
    pub(super) fn is_reached(&self) -> bool {
        if self.less_is_better {
            self.measured <= self.wanted
        } else {
            self.measured >= self.wanted
        }
    }

    pub(super) fn relation(&self) -> &'static str {
        if self.less_is_better {
            "at most"
        } else {
            "at least"
        }
    }
}

/// Those that the page's rows allow.
pub(super) fn aims(page: &Page) -> Vec<Aim> {
    let packets = |subject: Subject| {
        let mut rows = page.throughput.rows.iter();
        let row = rows.find(|row| row.name == subject.name());
        row.map(|row| row.mpps.median)
    };
    let requests = |subject: Subject| {
        let mut rows = page.connections.rows.iter();
        let row = rows.find(|row| row.name == subject.name());
        row.map(|row| row.requests.median)
    };
    let beside = |what: &str, wanted, one: Option<f64>, other: Option<f64>| {
        Some(Aim {
            what: what.to_owned(),
            wanted,
            measured: one? / other?,
            less_is_better: false,
        })
    };
    let of_redirect = |subject: Subject| {
        beside(
            &format!("packets, {} beside a bare XDP redirect", subject.name()),
            0.9,
            packets(subject),
            packets(Subject::Redirect),
        )
    };
    let rows = page.throughput.by_flows.iter();
    let on_the_path = rows.flat_map(|by_flows| &by_flows.rows).filter_map(|row| {
        Some(Aim {
            what: format!(
                "packets, the time of one of {} flows beside one of 1",
                in_words(row.flows)
            ),
            wanted: flows::target(row.flows)?,
            measured: row.times,
            less_is_better: true,
        })
    });
    let mut aims: Vec<Aim> = [
        of_redirect(Subject::Dr),
        of_redirect(Subject::Ipip),
        beside(
            "packets, Tandem's NAT beside nftables DNAT",
            3.0,
            packets(Subject::Nat),
            packets(Subject::Nftables),
        ),
        beside(
            "requests, Tandem's NAT beside HAProxy",
            10.0,
            requests(Subject::Nat),
            requests(Subject::Haproxy),
        ),
        by_flows(page),
    ]
    .into_iter()
    .flatten()
    .collect();
    aims.extend(on_the_path);
    aims
}

/// What the program costs with the most flows beside what it costs with one, both above an empty program.
fn by_flows(page: &Page) -> Option<Aim> {
    let median = |name: &str| {
        let mut rows = page.fastpath.rows.iter();
        rows.find(|row| row.name == name)
            .map(|row| row.nanoseconds.median)
    };
    let empty = median("empty program")?;
    let one = median("established, 1 flow")?;
    let many = page.fastpath.rows.iter().filter(|row| {
        row.name.starts_with("established, ") && row.name.ends_with(" flows") && row.small.is_none()
    });
    let many = many.max_by(|a, b| a.nanoseconds.median.total_cmp(&b.nanoseconds.median))?;
    Some(Aim {
        what: format!("the program's time, {} beside 1 flow", many.name),
        wanted: if page.fastpath.settings.flows > 1_000_000 {
            3.0
        } else {
            2.5
        },
        measured: (many.nanoseconds.median - empty) / (one - empty),
        less_is_better: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_reached_from_its_own_side() {
        let aim = |measured, less_is_better| Aim {
            what: String::new(),
            wanted: 2.0,
            measured,
            less_is_better,
        };
        assert!(aim(2.0, true).is_reached() && aim(2.0, false).is_reached());
        assert!(!aim(2.1, true).is_reached() && aim(2.1, false).is_reached());
        assert!(aim(1.9, true).is_reached() && !aim(1.9, false).is_reached());
    }
}
