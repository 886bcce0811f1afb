//! `tandem import`

use std::{
    fs,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    CliError, Exit, Show,
    table::{Table, words},
};
use crate::{
    config::{
        MAX_FILE_SIZE,
        import::{Fate, ImportError, Imported, Report, ipvsadm, keepalived},
    },
    io::file::{Present, put},
};

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "FROM", subcommand_help_heading = "From")]
#[command(
    after_help = "The configuration goes to standard output and the report to standard error; with --output, the \
                  configuration goes to the file and the report to standard output."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    from: From,
    /// File for the configuration, which must not exist yet.
    #[arg(short, long, global = true, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long, global = true, requires = "output")]
    force: bool,
    /// Interface that clients come in by; may be repeated [default: those of the VRRP instances]
    #[arg(short, long, global = true, value_name = "NAME")]
    interface: Vec<String>,
    /// Also report what was translated, and what needs no translation.
    #[arg(short, long, global = true)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum From {
    /// A configuration of keepalived 2.
    Keepalived {
        /// The file, such as /etc/keepalived/keepalived.conf.
        file: PathBuf,
        /// What lines that begin with `@` are for; keepalived's option of this name [default: the host name]
        #[arg(long, value_name = "ID")]
        config_id: Option<String>,
    },
    /// Rules of IPVS, as `ipvsadm -Sn` writes them.
    Ipvsadm {
        /// The file; standard input if none is given.
        file: Option<PathBuf>,
    },
}

/// What JSON says.
#[derive(Serialize)]
struct Answer<'a> {
    toml: &'a str,
    translated: usize,
    approximated: usize,
    ignored: usize,
    /// How many of them need a look.
    attention: usize,
    report: &'a Report,
}

pub(super) fn run<W: Write>(arguments: &Arguments, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let imported = match &arguments.from {
        From::Keepalived { file, config_id } => {
            let options = keepalived::Options {
                config_id: config_id.clone().unwrap_or_else(first_part_of_host_name),
                interfaces: arguments.interface.clone(),
            };
            keepalived::import(file, &options)
        }
        From::Ipvsadm { file } => rules(file.as_deref())
            .and_then(|(name, text)| ipvsadm::import(&name, &text, &arguments.interface)),
    };
    let Imported { toml, report } = imported?;
    if let Some(output) = &arguments.output {
        let present = if arguments.force {
            Present::Replaced
        } else {
            Present::Kept
        };
        put(output, toml.as_bytes(), present).map_err(|source| CliError::File {
            path: output.clone(),
            source,
        })?;
    }
    if show.json {
        show.json(&Answer {
            toml: &toml,
            translated: report.count(Fate::Translated),
            approximated: report.count(Fate::Approximated),
            ignored: report.count(Fate::Ignored),
            attention: report.attention(),
            report: &report,
        })?;
        return Ok(Exit::Success);
    }
    match &arguments.output {
        None => {
            write!(show.out, "{toml}")?;
            show.out.flush()?;
            tell(&report, arguments.all, &mut io::stderr().lock())?;
        }
        Some(output) => {
            tell(&report, arguments.all, show.out)?;
            let output = output.display();
            writeln!(show.out, "{output}: written; next: tandem check {output}")?;
        }
    }
    Ok(Exit::Success)
}

/// The rules, and what they are called.
fn rules(file: Option<&Path>) -> Result<(String, String), ImportError> {
    let path = file.unwrap_or(Path::new("/dev/stdin"));
    let unreadable = |source| ImportError::Unreadable {
        path: path.into(),
        source,
    };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_SIZE).read_to_string(&mut text))
        .map_err(unreadable)?;
    let name = file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string());
    Ok((name, text))
}

fn tell(report: &Report, all: bool, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        words("PLACE"),
        words("WHAT BECAME OF IT"),
        words("STATEMENT"),
        words("WHY"),
    ]);
    for note in report.notes().iter().filter(|note| all || note.attention) {
        table.row(vec![
            note.place.to_string(),
            note.fate.to_string(),
            note.statement.clone(),
            note.why.clone(),
        ]);
    }
    if table.pending() > 1 {
        table.flush(out)?;
    }
    let [translated, approximated, ignored] =
        [Fate::Translated, Fate::Approximated, Fate::Ignored].map(|fate| report.count(fate));
    let attention = match report.attention() {
        0 => "nothing needs a look".to_owned(),
        1 => "1 statement needs a look".to_owned(),
        more => format!("{more} statements need a look"),
    };
    writeln!(
        out,
        "{translated} statements translated, {approximated} approximated, {ignored} ignored; {attention}"
    )
}

/// What keepalived takes unless it is told otherwise.
fn first_part_of_host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().to_owned()
}
