//! The page in Markdown: short for the README, and long with all that a sceptic asks for.

use std::fmt::Write as _;

use lb_userspace::bench::trial::Delay;

use super::{Page, aims::aims};
use crate::bench::{
    fastpath::in_words,
    report,
    stats::Summary,
    throughput::report::{Report, Row},
};

/// The load at which the short page says how long packets take.
const LOAD: f64 = 0.5;

pub(super) fn short(page: &Page) -> String {
    let mut text = machine(page);
    text.push_str(&packets(&page.throughput));
    text.push('\n');
    text.push_str(&connections(page));
    text.push('\n');
    text.push_str(&requests(page));
    text.push('\n');
    // Those that stand for the others are those that have a target.
    text.push_str(&program(page, |row| row.target.is_some()));
    text.push_str(&noise(page));
    text
}

pub(super) fn full(page: &Page) -> String {
    let mut text = machine(page);
    text.push_str(&packets(&page.throughput));
    text.push('\n');
    let settings = &page.throughput6.settings;
    let _ = writeln!(text, "The same with {}, {}:\n", settings.family, settings.frames);
    text.push_str(&packets(&page.throughput6));
    text.push('\n');
    text.push_str(&by_flows(page));
    text.push_str(&delays(page));
    text.push('\n');
    text.push_str(&connections(page));
    text.push('\n');
    text.push_str(&requests(page));
    text.push('\n');
    text.push_str(&program(page, |_| true));
    text.push('\n');
    text.push_str(&aimed(page));
    text.push_str(&noise(page));
    text.push('\n');
    text.push_str(&configurations(page));
    text
}

fn machine(page: &Page) -> String {
    let machine = &page.throughput.machine;
    let settings = &page.throughput.settings;
    format!(
        "Measured on a {} with {} CPUs ({}) and {:.0} GiB of memory, Linux {}, Tandem {}, between network namespaces (veth). \
         What forwards has one CPU. Packets of {} and of {} flows; {} clients.\n\n",
        if machine.is_virtual {
            "virtual machine"
        } else {
            "machine"
        },
        machine.cpus,
        machine.cpu,
        machine.memory_mib as f64 / 1024.0,
        machine.kernel,
        machine.tandem,
        settings.frames,
        settings.flows,
        page.connections.settings.clients,
    )
}

/// A cell with a summary's range.
fn range(summary: &Summary, digits: usize) -> String {
    format!("{:.digits$} .. {:.digits$}", summary.min, summary.max)
}

fn at(row: &Row, load: f64) -> Option<&Delay> {
    row.delays.iter().find(|delay| delay.load == load)
}

fn packets(report: &Report) -> String {
    // Older results have no such row.
    let has_rewrite = report.rows.iter().any(|row| row.of_rewrite.is_some());
    let (title, column) = if has_rewrite {
        (" of one that writes MACs |", "--:|")
    } else {
        ("", "")
    };
    let mut text = format!(
        "| packets through a director | millions for a CPU second | min .. max | of a redirect |{title} µs under way at half load, median | 99 % |\n\
         |---|--:|--:|--:|{column}--:|--:|\n"
    );
    for row in &report.rows {
        let of_rewrite = match row.of_rewrite {
            Some(share) => format!(" {:.0} % |", share * 100.0),
            None => column.replace("--:", " "),
        };
        let share = row.of_redirect.map(|share| format!("{:.0} %", share * 100.0));
        let delay = at(row, LOAD);
        let of = |value: &dyn Fn(&Delay) -> f64| {
            delay.map_or_else(String::new, |delay| format!("{:.1}", value(delay)))
        };
        let _ = writeln!(
            text,
            "| {} | {:.2} | {} | {} |{of_rewrite} {} | {} |",
            row.name,
            row.mpps.median,
            range(&row.mpps, 2),
            share.unwrap_or_default(),
            of(&|delay| delay.median_us),
            of(&|delay| delay.p99_us),
        );
    }
    for reason in &report.left_out {
        let _ = writeln!(text, "\nLeft out: {reason}.");
    }
    text
}

/// What more and more flows cost; nothing in older results.
fn by_flows(page: &Page) -> String {
    let Some(by_flows) = &page.throughput.by_flows else {
        return String::new();
    };
    let mut text = "| Tandem, direct routing, packets of | millions for a CPU second | min .. max | ns | times one flow |\n\
                    |---|--:|--:|--:|--:|\n"
        .to_owned();
    for row in &by_flows.rows {
        let _ = writeln!(
            text,
            "| {} flow{} | {:.2} | {} | {:.0} | {:.2} |",
            in_words(row.flows),
            if row.flows == 1 { "" } else { "s" },
            row.mpps.median,
            range(&row.mpps, 2),
            1000.0 / row.mpps.median,
            row.times
        );
    }
    text.push('\n');
    text
}

fn delays(page: &Page) -> String {
    let report = &page.throughput;
    let mut text = "| µs under way | no loss, Mpps | load | median | added | 99 % | 99.9 % |\n\
                    |---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for row in &report.rows {
        let rate = row
            .mpps_without_loss
            .map_or_else(|| "none".to_owned(), |rate| format!("{rate:.2}"));
        if row.delays.is_empty() {
            let _ = writeln!(text, "| {} | {rate} | | | | | |", row.name);
        }
        for delay in &row.delays {
            let added = report.added(delay).map(|added| format!("{added:+.1}"));
            let _ = writeln!(
                text,
                "| {} | {rate} | {:.0} % | {:.1} | {} | {:.1} | {:.1} |",
                row.name,
                delay.load * 100.0,
                delay.median_us,
                added.unwrap_or_default(),
                delay.p99_us,
                delay.p999_us
            );
        }
    }
    text
}

fn connections(page: &Page) -> String {
    let mut text = "| thousands for a CPU second | requests | min .. max | connections | min .. max |\n\
                    |---|--:|--:|--:|--:|\n"
        .to_owned();
    for row in &page.connections.rows {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {:.0} | {} |",
            row.name,
            row.requests.median,
            range(&row.requests, 0),
            row.connections.median,
            range(&row.connections, 0)
        );
    }
    for reason in &page.connections.left_out {
        let _ = writeln!(text, "\nLeft out: {reason}.");
    }
    text
}

fn requests(page: &Page) -> String {
    let mut text = "| µs for a request over HTTP, while | median | 99 % | longest | failed | changes |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for row in &page.latency.rows {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {} of {} | {} |",
            row.name,
            row.median_us,
            row.p99_us,
            row.max_us,
            row.failed,
            row.requests + row.failed,
            row.changes
        );
    }
    text
}

fn program(page: &Page, is_wanted: impl Fn(&report::Row) -> bool) -> String {
    let report = &page.fastpath;
    let mut text = "| the program in memory, ns a packet | above a program that only sends back | target | in all | min .. max |\n\
                    |---|--:|--:|--:|--:|\n"
        .to_owned();
    for row in report.rows.iter().filter(|row| is_wanted(row)) {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {} |",
            row.name,
            number(row.above_floor, 1),
            number(row.target, 0),
            row.nanoseconds.median,
            range(&row.nanoseconds, 1)
        );
    }
    text
}

fn aimed(page: &Page) -> String {
    let mut text = "| what it is to reach | wanted | measured | |\n|---|--:|--:|---|\n".to_owned();
    for aim in aims(page) {
        let verdict = if aim.is_reached() {
            "reached"
        } else {
            "not reached"
        };
        let _ = writeln!(
            text,
            "| {} | {} {:.1} × | {:.2} × | {verdict} |",
            aim.what,
            aim.relation(),
            aim.wanted,
            aim.measured
        );
    }
    text
}

fn noise(page: &Page) -> String {
    let noisy = page.noisy();
    if noisy.is_empty() {
        return String::new();
    }
    format!(
        "\nThe machine was noisy: half of the samples, or more, lie far apart, or were disturbed, for {}.\n",
        noisy.join("; ")
    )
}

/// How the others were configured, so that anybody can say that it was unfair.
fn configurations(page: &Page) -> String {
    let packets = page.throughput.rows.iter().map(|row| (&row.name, &row.how));
    let connections = page.connections.rows.iter().map(|row| (&row.name, &row.how));
    let mut text = String::new();
    for (kind, rows) in [
        ("packets", packets.collect::<Vec<_>>()),
        ("connections", connections.collect()),
    ] {
        for (name, how) in rows {
            let _ = writeln!(
                text,
                "<details><summary>How it was configured, {kind}: {name}</summary>\n\n```\n{}\n```\n</details>",
                how.trim_end()
            );
        }
    }
    text
}
