//! `tandem doctor`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{CliError, Exit, Show, units::plural};
use crate::{
    api::Client,
    datapath::DEFAULT_DIRECTORY,
    doctor::{Finding, Level, Scope, examine, gather},
};

/// Examined if there is such a file and nothing else is named.
const DEFAULT_CONFIG: &str = "/etc/tandem/tandem.toml";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration that the daemon has or is to get [default: /etc/tandem/tandem.toml, if there is one]
    #[arg(short, long, value_name = "FILE", conflicts_with = "interface")]
    config: Option<PathBuf>,
    /// Interface that is balanced or is to be; may be given several times [default: those of the configuration, or of
    /// the running daemon]
    #[arg(short, long, value_name = "NAME")]
    interface: Vec<String>,
    /// Directory in which maps and links are pinned.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY)]
    bpffs: PathBuf,
}

/// What JSON says.
#[derive(Serialize)]
struct Report {
    problems: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

impl Report {
    fn new(findings: Vec<Finding>) -> Self {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        Self {
            problems: count(Level::Problem),
            warnings: count(Level::Warning),
            findings,
        }
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let default = || {
        let default = Path::new(DEFAULT_CONFIG);
        (arguments.interface.is_empty() && default.exists()).then(|| default.to_owned())
    };
    let scope = Scope {
        interfaces: arguments.interface.clone(),
        config: arguments.config.clone().or_else(default),
        pins: arguments.bpffs.clone(),
    };
    let report = Report::new(examine(&gather(&scope, client).await));
    if show.json {
        show.json(&report)?;
    } else {
        render(&report, show.out)?;
    }
    Ok(if report.problems > 0 {
        Exit::Negative
    } else {
        Exit::Success
    })
}

fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for finding in &report.findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        writeln!(out, "{level:<9}{}", finding.what)?;
        if let Some(why) = &finding.why {
            writeln!(out, "{:<9}why: {why}", "")?;
        }
        if let Some(advice) = &finding.advice {
            writeln!(out, "{:<9}do:  {advice}", "")?;
        }
    }
    let (problems, warnings) = (
        plural(report.problems, "problem"),
        plural(report.warnings, "warning"),
    );
    writeln!(out, "{problems}, {warnings}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(check: &'static str, level: Level) -> Finding {
        let bad = |text: &str| (level != Level::Ok).then(|| text.to_owned());
        Finding {
            check,
            level,
            what: format!("{check} was seen"),
            why: bad("it matters"),
            advice: bad("mend it"),
        }
    }

    fn report() -> Report {
        Report::new(vec![
            finding("kernel", Level::Ok),
            finding("xdp", Level::Problem),
            finding("mtu", Level::Warning),
            finding("veth", Level::Problem),
        ])
    }

    #[test]
    fn what_is_wrong_is_explained() {
        let mut out = Vec::new();
        render(&report(), &mut out).unwrap();
        let expected = "\
ok       kernel was seen
PROBLEM  xdp was seen
         why: it matters
         do:  mend it
warning  mtu was seen
         why: it matters
         do:  mend it
PROBLEM  veth was seen
         why: it matters
         do:  mend it
2 problems, 1 warning
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_has_the_same() {
        let report = serde_json::to_value(report()).unwrap();
        assert_eq!((&report["problems"], &report["warnings"]), (&json!(2), &json!(1)));
        assert_eq!(
            report["findings"][0],
            json!({"check": "kernel", "level": "ok", "what": "kernel was seen", "why": null, "advice": null})
        );
        assert_eq!(report["findings"][1]["level"], "problem");
        assert_eq!(report["findings"][2]["advice"], "mend it");
    }
}
