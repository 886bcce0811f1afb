//! `tandem generate`, for those who make packages: manual pages and completions of shells, from what clap knows, and schemas.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

use super::{Cli, CliError, Exit, Show};
use crate::{api::openapi, config, daemon};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    what: What,
    /// Directory, which is made if there is none.
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Manual pages.
    Man,
    /// Completions for bash, fish and zsh.
    Completions,
    /// The schema of the configuration (JSON Schema), and that of the API (OpenAPI).
    Schemas,
}

pub(super) fn run<W: Write>(arguments: &Arguments, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let directory = &arguments.directory;
    let made = fs::create_dir_all(directory).and_then(|()| match arguments.what {
        What::Man => manual(directory),
        What::Completions => completions(directory),
        What::Schemas => schemas(directory),
    });
    let mut files = made.map_err(|source| CliError::File {
        path: directory.clone(),
        source,
    })?;
    files.sort();
    if show.json {
        show.json(&files)?;
    } else {
        for file in files {
            writeln!(show.out, "{}", file.display())?;
        }
    }
    Ok(Exit::Success)
}

/// `tandem(1)` with a page for each of its commands, and `tandemd(8)`.
fn manual(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut cli = Cli::command();
    cli.build();
    pages(&cli, directory, &mut files)?;
    let page = Man::new(daemon::Args::command())
        .section("8")
        .source(SOURCE)
        .manual("Tandem");
    let mut text = Vec::new();
    page.render(&mut text)?;
    text.extend_from_slice(AFTER_TANDEMD.as_bytes());
    write(&directory.join("tandemd.8"), &text, &mut files)?;
    Ok(files)
}

const SOURCE: &str = concat!("tandem ", env!("CARGO_PKG_VERSION"));

fn pages(command: &Command, directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let page = Man::new(command.clone()).source(SOURCE).manual("Tandem");
    let mut text = Vec::new();
    page.render(&mut text)?;
    if name == "tandem" {
        text.extend_from_slice(AFTER_TANDEM.as_bytes());
    }
    write(&directory.join(format!("{name}.1")), &text, files)?;
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| pages(command, directory, files))
}

fn write(path: &Path, text: &[u8], files: &mut Vec<PathBuf>) -> io::Result<()> {
    fs::write(path, text)?;
    files.push(path.to_owned());
    Ok(())
}

fn completions(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        files.push(generate_to(shell, &mut Cli::command(), "tandem", directory)?);
        files.push(generate_to(
            shell,
            &mut daemon::Args::command(),
            "tandemd",
            directory,
        )?);
    }
    Ok(files)
}

fn schemas(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    write(
        &directory.join("tandem.schema.json"),
        config::schema().as_bytes(),
        &mut files,
    )?;
    write(
        &directory.join("openapi.json"),
        openapi::document().as_bytes(),
        &mut files,
    )?;
    Ok(files)
}

/// Everything that somebody needs who has nothing but this page.
const AFTER_TANDEM: &str = r#".SH "FROM AN OLD CONFIGURATION TO A RUNNING DIRECTOR"
.TP
.B tandem import keepalived /etc/keepalived/keepalived.conf -o /etc/tandem/tandem.toml
makes a configuration of the one for keepalived, and says what became of each statement.
.B ipvsadm -Sn | tandem import ipvsadm -o /etc/tandem/tandem.toml
does so for the rules of IPVS. /usr/share/doc/tandem/examples has files to start from without either.
.TP
.B tandem check /etc/tandem/tandem.toml
says whether the configuration is valid, and what is wrong with it.
.TP
.B tandem doctor --config /etc/tandem/tandem.toml
says what would make the director fail or be slow on this machine, and what to do about it.
.TP
.B systemctl enable --now tandemd
starts the daemon. Stop keepalived first if both would hold the same addresses.
.TP
.B tandem service; tandem backend; tandem flow
show what it does.
.TP
.B systemctl reload tandemd
has it read the configuration again; connections stay.
.TP
.B systemctl stop tandemd
stops the daemon, and not the balancing:
.B tandemd --detach
ends that.
.SH FILES
.TP
.I /etc/tandem/tandem.toml
the configuration.
.TP
.I /run/tandem/tandem.sock
the socket of the daemon. Members of the group
.B tandem
may use it.
.TP
.I /var/lib/tandem
what outlives a reboot.
.TP
.I /sys/fs/bpf/tandem
maps and links in the kernel, which outlive the daemon.
.SH "SEE ALSO"
.BR tandemd (8),
.BR tandem-import (1),
.BR tandem-doctor (1),
.BR tandem-service (1),
.BR tandem-backend (1),
.BR tandem-flow (1),
.BR keepalived (8),
.BR ipvsadm (8)
"#;

const AFTER_TANDEMD: &str = r#".SH "UNDER SYSTEMD"
.PP
The unit
.B tandemd.service
runs the daemon as the user
.B tandem
with no more rights than it needs. It starts only if there is /etc/tandem/tandem.toml, tells systemd when the
configuration is in force, and is restarted if it hangs. Programs that it runs (hooks, checks) have the same rights;
a drop-in (systemctl edit tandemd) gives more.
.SH "SEE ALSO"
.BR tandem (1)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_what_the_pages_name_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let files = manual(directory.path()).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        for name in [
            "tandem",
            "tandemd",
            "tandem-service",
            "tandem-service-list",
            "tandem-import-keepalived",
        ] {
            assert!(names.iter().any(|known| known == name), "{name} of {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("generate")), "{names:?}");
        let text = fs::read_to_string(directory.path().join("tandem.1")).unwrap();
        let see_also = text.lines().filter_map(|line| line.strip_prefix(".BR tandem"));
        for name in see_also
            .filter_map(|line| line.split_once(' '))
            .map(|(name, _)| name)
        {
            assert!(
                names.contains(&format!("tandem{name}")),
                "there is no page tandem{name}"
            );
        }
    }

    #[test]
    fn shells_complete_both_programs() {
        let directory = tempfile::tempdir().unwrap();
        let files = completions(directory.path()).unwrap();
        assert_eq!(files.len(), 6);
        let bash = fs::read_to_string(directory.path().join("tandem.bash")).unwrap();
        assert!(bash.contains("--socket") && bash.contains("doctor"));
    }
}
