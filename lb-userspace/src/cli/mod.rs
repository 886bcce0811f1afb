//! The `tandem` command line, in the grammar of `ip` and `bpftool`: an object, bare or with a verb.
//!
//! One file per object, each with its arguments, what it asks the daemon, and how it shows the answer. docs/cli.md
//! describes it.

mod backend;
mod bench;
mod check;
mod config;
mod director;
mod doctor;
mod events;
mod exit;
mod flow;
mod generate;
mod ha;
mod import;
mod ipvsadm;
mod key;
mod leave;
mod order;
mod pcapng;
mod prefix;
mod service;
mod stats;
mod status;
mod sync;
mod table;
#[cfg(test)]
mod testdata;
mod top;
mod trace;
mod units;
mod watch;

use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use serde::Serialize;

pub use self::exit::{CliError, Exit};
use crate::{
    api::{Client, DEFAULT_SOCKET},
    config::Time,
};

/// Shows what the director does, and checks what it is to do.
#[derive(Debug, Parser)]
#[command(
    name = "tandem",
    version,
    infer_subcommands = true,
    disable_help_subcommand = true,
    subcommand_value_name = "OBJECT",
    subcommand_help_heading = "Objects",
    after_help = "Objects and verbs may be shortened as long as they remain unique: `tandem b` is `tandem backend`.\n\n\
                  Exit codes: 0 done, 1 negative answer, 2 wrong command line, 3 daemon not running, 4 no permission, \
                  5 no answer in time."
)]
struct Cli {
    /// Socket of the daemon.
    #[arg(long, global = true, display_order = 100, value_name = "PATH", env = "TANDEM_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// How long the daemon may take to answer.
    #[arg(long, global = true, display_order = 100, value_name = "SECONDS", default_value = "5", value_parser = patience)]
    timeout: Duration,
    /// JSON instead of text.
    #[arg(short, long, global = true, display_order = 100)]
    json: bool,
    /// Show it again and again [seconds: 2].
    #[arg(short, long, global = true, display_order = 100, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "2", value_parser = patience)]
    watch: Option<Duration>,
    #[command(subcommand)]
    object: Object,
}

#[derive(Debug, Subcommand)]
enum Object {
    /// The director: version, interfaces, configuration.
    Status,
    /// Services: where clients come in.
    Service(service::Arguments),
    /// Backends: who serves them.
    // As long as it was the only one with this letter, people have typed no more.
    #[command(aliases = ["b", "be"])]
    Backend(backend::Arguments),
    /// Orders that stand: what is drained, offline, removed or of another weight.
    Order,
    /// The whole director: drains it, and lifts all orders.
    Director(director::Arguments),
    /// Flows: the connections there are now.
    Flow(flow::Arguments),
    /// The pair: who holds the VIPs, why, and since when.
    Ha(ha::Arguments),
    /// Connections of the other directors: how far they are known, and how late.
    Sync(sync::Arguments),
    /// Packets that were not forwarded and why, other events, how full the tables are.
    Stats(stats::Arguments),
    /// What goes on, live: traffic, flows, backends, the pair.
    Top(top::Arguments),
    /// A packet: where it would go, and why; or those that are under way.
    Trace(trace::Arguments),
    /// Writes packets to a file, as they come in and as they leave, with what was decided.
    Capture(trace::CaptureArguments),
    /// Events: what happened, to whom, and why.
    Events(events::Arguments),
    /// The configuration in force: shows it, compares it with a file, applies the file.
    Config(config::Arguments),
    /// Keys of a cluster: makes them, and tells them apart.
    Key(key::Arguments),
    /// Makes a configuration of one for LVS, and says what became of each statement.
    Import(import::Arguments),
    /// Checks a configuration file and changes nothing.
    Check(check::Arguments),
    /// Looks for what would make the director fail or be slow.
    Doctor(doctor::Arguments),
    /// Measures: packets a second through a director, and what its program costs.
    Bench(bench::Arguments),
    /// Manual pages and completions, for packages.
    #[command(hide = true)]
    Generate(generate::Arguments),
}

impl Object {
    /// Whether it shows something, changes nothing, and comes to an end.
    fn only_shows(&self) -> bool {
        match self {
            Self::Status | Self::Order | Self::Sync(_) | Self::Stats(_) => true,
            Self::Trace(arguments) => arguments.only_shows(),
            Self::Service(arguments) => arguments.only_shows(),
            Self::Backend(arguments) => arguments.only_shows(),
            Self::Director(arguments) => arguments.only_shows(),
            Self::Flow(arguments) => arguments.only_shows(),
            Self::Ha(arguments) => arguments.only_shows(),
            Self::Events(arguments) => arguments.only_shows(),
            Self::Config(arguments) => arguments.only_shows(),
            Self::Check(_) | Self::Doctor(_) => true,
            Self::Capture(_)
            | Self::Top(_)
            | Self::Key(_)
            | Self::Import(_)
            | Self::Bench(_)
            | Self::Generate(_) => false,
        }
    }
}

/// Where an answer goes, and in what form.
struct Show<'a, W> {
    json: bool,
    out: &'a mut W,
}

impl<W: Write> Show<'_, W> {
    /// `value` as one line of JSON.
    fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer(&mut *self.out, value).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }
}

/// Does what the arguments say; the whole life of the process.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return prefix::explain(error).into(),
    };
    if cli.watch.is_some() && !cli.object.only_shows() {
        let wrong = "--watch is for what shows something and changes nothing, such as `tandem backend`";
        return prefix::explain(Cli::command().error(ErrorKind::ArgumentConflict, wrong)).into();
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = start(&cli, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    let exit = outcome.unwrap_or_else(|error| {
        let exit = error.exit();
        if exit != Exit::Success {
            // What was said so far comes first.
            let _ = out.flush();
            eprintln!("tandem: {error}");
        }
        exit
    });
    exit.into()
}

/// What `tandemd --drain-and-exit` does: `tandem director drain --exit`, with this deadline.
#[must_use]
pub fn drain_and_exit(socket: &Path, deadline: Option<Time>) -> ExitCode {
    let mut arguments: Vec<OsString> = ["tandem", "director", "drain", "--exit", "--socket"]
        .map(OsString::from)
        .into();
    arguments.push(socket.into());
    arguments.extend(deadline.map(|deadline| format!("--deadline={deadline}").into()));
    main(arguments)
}

fn start(cli: &Cli, out: &mut impl Write) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    match cli.watch {
        Some(interval) => runtime.block_on(watch::run(cli, interval, out)),
        None => runtime.block_on(run(cli, out)),
    }
}

async fn run(cli: &Cli, out: &mut impl Write) -> Result<Exit, CliError> {
    let client = Client::new(&cli.socket, cli.timeout);
    let patient = Client::new(&cli.socket, cli.timeout.max(trace::PATIENCE));
    let show = &mut Show { json: cli.json, out };
    match &cli.object {
        Object::Status => status::run(&client, show).await,
        Object::Service(arguments) => service::run(arguments, &client, show).await,
        Object::Backend(arguments) => backend::run(arguments, &client, show).await,
        Object::Order => order::list(&client, show).await,
        Object::Director(arguments) => director::run(arguments, &client, show).await,
        Object::Flow(arguments) => flow::run(arguments, &client, show).await,
        Object::Ha(arguments) => ha::run(arguments, &client, show).await,
        Object::Sync(arguments) => sync::run(arguments, &client, show).await,
        Object::Stats(arguments) => stats::run(arguments, &client, show).await,
        Object::Top(arguments) => top::run(arguments, &client, show).await,
        Object::Trace(arguments) => trace::run(arguments, &patient, show).await,
        Object::Capture(arguments) => trace::capture(arguments, &patient, show).await,
        Object::Events(arguments) => events::run(arguments, &client, show).await,
        Object::Config(arguments) => config::run(arguments, &client, show).await,
        Object::Key(arguments) => key::run(arguments, show),
        Object::Import(arguments) => import::run(arguments, show),
        Object::Check(arguments) => check::run(arguments, show),
        Object::Generate(arguments) => generate::run(arguments, show),
        Object::Doctor(arguments) => doctor::run(arguments, &client, show).await,
        Object::Bench(arguments) => bench::run(arguments, &client, show).await,
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    const MOST: f64 = 3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= MOST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected a number of seconds above 0 and up to {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// What each command and each verb says of itself, one after the other.
    fn helps(command: &clap::Command, called: &str, text: &mut String) {
        use std::fmt::Write as _;

        let help = command
            .clone()
            .bin_name(called)
            .term_width(100)
            .render_long_help();
        let _ = writeln!(text, "$ {called} --help\n{help}");
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            helps(verb, &format!("{called} {}", verb.get_name()), text);
        }
    }

    #[test]
    fn every_command_says_of_itself_what_it_said() {
        const BLESS: &str = "TANDEM_BLESS";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/testdata/help.txt");
        let mut cli = Cli::command();
        cli.build();
        let mut text = String::new();
        helps(&cli, "tandem", &mut text);
        // The value of this machine's variable is shown, too.
        let socket = std::env::var("TANDEM_SOCKET").unwrap_or_default();
        let text = text.replace(&format!("TANDEM_SOCKET={socket}"), "TANDEM_SOCKET=");
        // Lines of nothing but blanks are clap's.
        let text: String = text
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect();
        if std::env::var_os(BLESS).is_some_and(|value| value == "1") {
            std::fs::write(path, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == text,
            "{path} is not what the commands say: run again with {BLESS}=1, and look at the difference"
        );
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(patience("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "3601", "NaN", "inf", "5s", ""] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }
}
