//! `tandem check`

use std::{io::Write, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{CliError, Exit, Show, units::plural};
use crate::config::{self, ConfigError, KeyFileError, Loaded};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What JSON says.
#[derive(Serialize)]
struct Verdict {
    file: String,
    valid: bool,
    /// What is wrong, or unwise, as text shows it.
    report: String,
}

pub(super) fn run<W: Write>(arguments: &Arguments, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let file = arguments.file.display().to_string();
    let loaded = config::load(&arguments.file);
    let (report, valid) = match &loaded {
        Ok(loaded) => with_keys(loaded),
        Err(error) => (error.render(), false),
    };
    if show.json {
        show.json(&Verdict { file, valid, report })?;
    } else {
        write!(show.out, "{report}")?;
        if !report.is_empty() {
            writeln!(show.out)?;
        }
        let summary = if valid || loaded.is_err() {
            summary(&loaded)
        } else {
            "valid, but its keys are not".to_owned()
        };
        writeln!(show.out, "{file}: {summary}")?;
    }
    Ok(if valid { Exit::Success } else { Exit::Negative })
}

/// The warnings, and whether the keys that the configuration names are good.
fn with_keys(loaded: &Loaded) -> (String, bool) {
    let mut report = loaded.warnings.to_string();
    let (text, valid) = match config::keyring(&loaded.config) {
        Ok(_) => return (report, true),
        Err(error @ KeyFileError::PermissionDenied { .. }) => {
            (format!("warning: not checked: {error}\n"), true)
        }
        Err(error) => (format!("error: {error}\n"), false),
    };
    if !report.is_empty() {
        report.push('\n');
    }
    (report + &text, valid)
}

fn summary(loaded: &Result<Loaded, ConfigError>) -> String {
    match loaded {
        Err(ConfigError::Invalid(report)) => format!("not valid, {}", plural(report.len(), "error")),
        Err(_) => "not read".to_owned(),
        Ok(Loaded { config, warnings }) => {
            let backends = config.services.iter().map(|service| service.backends.len()).sum();
            let mut text = format!(
                "valid, {} with {}",
                plural(config.services.len(), "service"),
                plural(backends, "backend")
            );
            if !warnings.is_empty() {
                text = format!("{text}, {}", plural(warnings.len(), "warning"));
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const VALID: &str = "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[[service]]\nname = \"web\"\n\
                         listen = [\"192.0.2.10:80\"]\n\n[[service.backend]]\naddress = \"10.0.0.11\"\n";

    fn check(text: Option<&str>, json: bool) -> (Exit, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.toml");
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let mut out = Vec::new();
        let path = file.display().to_string();
        let exit = run(&Arguments { file }, &mut Show { json, out: &mut out }).unwrap();
        (exit, String::from_utf8(out).unwrap().replace(&path, "FILE"))
    }

    #[test]
    fn good_bad_and_missing() {
        let (exit, text) = check(Some(VALID), false);
        assert_eq!(
            (exit, &*text),
            (Exit::Success, "FILE: valid, 1 service with 1 backend\n")
        );

        let (exit, text) = check(Some(&VALID.replace("name = \"web\"", "nome = \"web\"")), false);
        assert_eq!(exit, Exit::Negative);
        assert!(
            text.starts_with("error: ") && text.contains("--> FILE:6:1"),
            "{text}"
        );
        assert!(text.ends_with("\n\nFILE: not valid, 1 error\n"), "{text}");

        let (exit, text) = check(None, false);
        assert_eq!(exit, Exit::Negative);
        assert!(
            text.starts_with("error: there is no configuration file `FILE`"),
            "{text}"
        );
        assert!(text.ends_with("\n\nFILE: not read\n"), "{text}");
    }

    #[test]
    fn keys_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("cluster.key");
        let cluster = format!("[cluster]\nname = \"edge\"\nkey_files = [{key:?}]\n{VALID}");
        let (exit, text) = check(Some(&cluster), false);
        assert_eq!(exit, Exit::Negative);
        assert!(text.starts_with("error: there is no key file"), "{text}");
        assert!(text.ends_with("FILE: valid, but its keys are not\n"), "{text}");
        let id = crate::core::seal::KeyId(std::num::NonZeroU8::MIN);
        config::KeyFile::new(id, [1; 32], [2; 32]).create(&key).unwrap();
        let (exit, text) = check(Some(&cluster), false);
        assert_eq!(
            (exit, &*text),
            (Exit::Success, "FILE: valid, 1 service with 1 backend\n")
        );
    }

    #[test]
    fn what_is_unwise_is_said_and_valid() {
        let (exit, text) = check(Some("[director]\ninterfaces = [\"eth0\"]\n"), false);
        assert_eq!(exit, Exit::Success);
        assert!(text.starts_with("warning: "), "{text}");
        assert!(
            text.ends_with("\nFILE: valid, no services with no backends, 1 warning\n"),
            "{text}"
        );
    }

    #[test]
    fn json_has_the_same() {
        for (text, valid) in [(Some(VALID), true), (Some("x"), false), (None, false)] {
            let (exit, out) = check(text, true);
            let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(verdict["valid"], valid);
            assert_eq!(exit == Exit::Success, valid);
            assert_eq!(verdict["report"] == "", valid, "{verdict}");
            assert_eq!(verdict["file"], "FILE");
        }
    }
}
