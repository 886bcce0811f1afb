//! The fixtures leave no reason out.

use std::collections::BTreeSet;

use lb_common::reason::{Fate, Reason};
use lb_tests::prog_run::Action;

use crate::{
    backends, case::Case, connections, echo, forwarding, header_v4, header_v6, icmp, nat, neighbour,
    not_ours, path_errors, transport, tunnels,
};

/// Every fixture there is.
pub(crate) fn all_cases() -> Vec<Case> {
    let tables = [
        backends::cases,
        connections::cases,
        echo::cases,
        forwarding::cases,
        header_v4::cases,
        header_v6::cases,
        icmp::cases,
        neighbour::cases,
        not_ours::cases,
        transport::cases,
        tunnels::cases,
    ];
    tables.into_iter().flat_map(|cases| cases()).collect()
}

#[test]
fn every_reason_has_a_fixture() {
    let cases = all_cases();
    let covered: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| case.expected.counted.keys())
        .filter_map(|counter| counter.strip_prefix("reason."))
        .chain(path_errors::REASONS)
        .chain(nat::REASONS)
        .collect();
    let all: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.slug()).collect();
    assert_eq!(covered, all);
}

/// What the fixtures expect is what the table of reasons promises.
#[test]
fn each_reason_meets_its_fate() {
    for case in all_cases() {
        for reason in Reason::ALL {
            if !case
                .expected
                .counted
                .contains_key(&format!("reason.{}", reason.slug()))
            {
                continue;
            }
            let promised = match reason.fate() {
                Fate::Pass => Action::Pass,
                Fate::Drop => Action::Drop,
                Fate::Answer => Action::Tx,
            };
            assert_eq!(case.expected.action, promised, "{reason:?}");
        }
    }
}
