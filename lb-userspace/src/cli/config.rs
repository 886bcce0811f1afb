//! `tandem config`

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::{CliError, Exit, Show, units::plural};
use crate::{
    api::{
        Client,
        config::{ConfigView, ReloadRequest},
    },
    config::{self, ConfigError},
};

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows what is in force, with every default written out.
    Show {
        /// What was in force before it instead.
        #[arg(long)]
        previous: bool,
        /// As it is in any case: every default is written out.
        #[arg(long)]
        effective: bool,
    },
    /// Shows what a file would change, and changes nothing. Exit code 1 if there is anything.
    Diff {
        /// The file; if not given, the one that the daemon would read.
        file: Option<PathBuf>,
    },
    /// Has the daemon read its file again, and says whether it is in force or why it was refused.
    Apply,
    /// Puts in force again what was in force before, and leaves the file as it is.
    Rollback,
}

/// What JSON says of a difference.
#[derive(Serialize)]
struct Difference {
    file: PathBuf,
    differs: bool,
    /// Lines, each behind `+`, `-` or a blank.
    lines: Vec<String>,
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        matches!(self.verb, None | Some(Verb::Show { .. } | Verb::Diff { .. }))
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    match &arguments.verb {
        None => print(&client.config().await?, false, show),
        Some(Verb::Show {
            previous,
            effective: _,
        }) => print(&client.config().await?, *previous, show),
        Some(Verb::Diff { file }) => diff(file.as_ref(), client.config().await?, show),
        Some(Verb::Apply) => reload(false, client, show).await,
        Some(Verb::Rollback) => reload(true, client, show).await,
    }
}

fn print<W: Write>(view: &ConfigView, previous: bool, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    if show.json {
        show.json(view)?;
        return Ok(Exit::Success);
    }
    let toml = if previous {
        view.previous.as_ref()
    } else {
        Some(&view.toml)
    };
    write!(show.out, "{}", toml.ok_or(CliError::NoPreviousConfig)?)?;
    Ok(Exit::Success)
}

async fn reload<W: Write>(rollback: bool, client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let answer = client.reload(ReloadRequest { rollback }).await?;
    if show.json {
        show.json(&answer)?;
    } else {
        write!(show.out, "{}", answer.warnings)?;
        writeln!(show.out, "in force, with {}", plural(answer.services, "service"))?;
        if rollback {
            writeln!(
                show.out,
                "the file is as it was: a reload or a restart brings it back (`tandem config diff` shows what differs)"
            )?;
        }
    }
    Ok(Exit::Success)
}

fn diff<W: Write>(
    file: Option<&PathBuf>,
    view: ConfigView,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let file = file.cloned().or(view.path).ok_or(CliError::NoConfigFile)?;
    let loaded = config::load(&file).map_err(|error| wrong(&error))?;
    let lines = lines(&view.toml, &config::to_toml(&loaded.config));
    let differs = !lines.is_empty();
    if show.json {
        show.json(&Difference { file, differs, lines })?;
    } else {
        render(&lines, show.out)?;
    }
    Ok(if differs { Exit::Negative } else { Exit::Success })
}

fn wrong(error: &ConfigError) -> CliError {
    CliError::Config(error.render())
}

fn render(lines: &[String], out: &mut impl Write) -> io::Result<()> {
    if lines.is_empty() {
        return writeln!(out, "no difference to what is in force");
    }
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// What differs, with the lines around it and the table that it is in; nothing if nothing does.
fn lines(old: &str, new: &str) -> Vec<String> {
    const AROUND: usize = 3;
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(AROUND) {
        if !lines.is_empty() {
            lines.push("...".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            lines.push(
                format!("{sign} {}", change.value().trim_end())
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let old =
            "[director]\nname = \"a\"\n\n[[service]]\nname = \"web\"\n\n[[service.backend]]\nweight = 100\n";
        assert!(lines(old, old).is_empty());
        let found = lines(old, &old.replace("100", "50"));
        assert!(found.contains(&"- weight = 100".to_owned()), "{found:?}");
        assert!(found.contains(&"+ weight = 50".to_owned()), "{found:?}");
        assert!(found.contains(&"  [[service.backend]]".to_owned()), "{found:?}");
        assert!(!found.iter().any(|line| line.contains("director")), "{found:?}");
    }

    #[test]
    fn changes_far_from_each_other_are_kept_apart() {
        let old: String = (0..30).map(|n| format!("k{n} = 1\n")).collect();
        let new = old.replace("k1 = 1", "k1 = 2").replace("k28 = 1", "k28 = 2");
        let found = lines(&old, &new);
        assert_eq!(found.iter().filter(|line| *line == "...").count(), 1, "{found:?}");
        assert_eq!(
            found.iter().filter(|line| line.starts_with('+')).count(),
            2,
            "{found:?}"
        );
    }
}
