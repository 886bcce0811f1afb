//! What came out: for people, and for machines.

use std::fmt;

use serde::Serialize;

use super::{Bulk, Costs, Journal, Options, wire::Wire};
use crate::bench::machine::Machine;

/// The whole result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How.
    pub options: Options,
    /// On the packet path.
    pub journal: Journal,
    /// In one thread.
    pub costs: Costs,
    /// A director that joins.
    pub bulk: Bulk,
    /// On a network.
    pub wire: Wire,
}

/// Nanoseconds that noting adds to a new flow, and to a packet of a known one.
const NOTED: f64 = 30.0;
const UNNOTED: f64 = 1.0;
/// New connections a second that are sent, received and applied.
const RATE: f64 = 300_000.0;
/// Entries a second that are applied.
const APPLIED: f64 = 3e6;
/// Seconds for a copy of a million connections.
const COPY: f64 = 2.0;
/// Bytes on the wire for an IPv4 connection.
const BYTES: f64 = 32.0;
/// Milliseconds by which garbage may delay connections.
const DELAYED: f64 = 20.0;
/// Seconds from the end of a loss until tables are equal.
const EQUAL: f64 = 2.0;
/// Milliseconds to the other's table: of half of the connections, and of 99 in 100.
const LATE: [f64; 2] = [3.0, 15.0];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            options,
            journal,
            costs,
            bulk,
            wire,
        } = self;
        writeln!(
            f,
            "{}, Linux {}, {} CPUs; {} IPv4 connections",
            machine.cpu, machine.kernel, machine.cpus, options.flows
        )?;
        writeln!(f)?;
        let a_second = |nanoseconds: f64| 1e9 / nanoseconds;
        let millions = bulk.flows as f64 / 1e6;
        let rows = [
            (
                "noting a new flow in XDP, nanoseconds",
                journal.new_flow - journal.new_flow_mute,
                NOTED,
                false,
            ),
            (
                "  of a packet of a known flow",
                journal.established - journal.established_mute,
                UNNOTED,
                false,
            ),
            (
                "telling, one core, connections a second",
                a_second(costs.telling),
                RATE,
                true,
            ),
            (
                "taking in, one core, connections a second",
                a_second(costs.taking_in),
                RATE,
                true,
            ),
            (
                "applying alone, connections a second",
                a_second(costs.applying),
                APPLIED,
                true,
            ),
            ("bytes on the wire a connection", costs.bytes, BYTES, false),
            (
                "seconds for a copy of a million, one core",
                bulk.seconds / millions,
                COPY,
                false,
            ),
            ("between two threads, connections a second", wire.rate, RATE, true),
            (
                "  bare sockets, the same in datagrams",
                wire.bare * wire.connections_each,
                f64::NAN,
                true,
            ),
        ];
        writeln!(f, "{:44} {:>12} {:>12}", "", "measured", "target")?;
        for (what, measured, target, at_least) in rows {
            row(f, what, measured, target, at_least)?;
        }
        writeln!(
            f,
            "at {} new connections a second, milliseconds to the other's table",
            options.pace
        )?;
        row(f, "  half of them", wire.late.median, LATE[0], false)?;
        row(f, "  99 of 100", wire.late.p99, LATE[1], false)?;
        row(f, "  the last one", wire.late.most, f64::NAN, false)?;
        let garbage = &wire.garbage;
        writeln!(
            f,
            "the same under {:.0} datagrams of garbage a second, {:.0} of which were read and refused",
            garbage.sent, garbage.refused
        )?;
        row(f, "  half of them", garbage.late.median, f64::NAN, false)?;
        row(f, "  99 of 100", garbage.late.p99, wire.late.p99 + DELAYED, false)?;
        row(f, "  the last one", garbage.late.most, f64::NAN, false)?;
        let loss = &wire.loss;
        writeln!(
            f,
            "{} % of all datagrams lost for 10 s, {} connections: {} unknown at its end, {} updates repeated, {} connections \
             found by comparing",
            loss.lost_per_mille / 10,
            loss.connections,
            loss.missing,
            loss.repeated,
            loss.compared
        )?;
        row(
            f,
            "  seconds until the tables were equal",
            loss.equal_after,
            EQUAL,
            false,
        )
    }
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, measured: f64, target: f64, at_least: bool) -> fmt::Result {
    let number = |value: f64| match value {
        value if value.is_nan() => String::new(),
        value if value >= 1000.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    };
    let verdict = match (measured, target) {
        (_, target) if target.is_nan() => "",
        (measured, target) if (measured >= target) == at_least => "ok",
        _ => "missed",
    };
    writeln!(
        f,
        "{what:44} {:>12} {:>12}  {verdict}",
        number(measured),
        number(target)
    )
}
