//! Running cargo on the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::program::output_of;

/// The workspace's directory.
pub(crate) fn workspace() -> &'static Path {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir)
}

/// `cargo SUBCOMMAND` in the workspace, with the cargo that runs us.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).arg(subcommand);
    // What the cargo that runs us says of this package. Build scripts of others that look at such variables would take it
    // for a change, and everything above them would be built anew.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Something that cargo built and that can be run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Of the binary or of the test target.
    pub(crate) name: String,
    /// Absolute.
    pub(crate) path: PathBuf,
    /// Whether it is a test harness.
    pub(crate) is_test: bool,
    /// Where cargo would run it if it is a test.
    pub(crate) package: PathBuf,
}

/// Runs a cargo build command and tells which executables it made.
///
/// # Errors
/// The build failed (the compiler's messages are on standard error), or cargo's report made no sense.
pub(crate) fn executables(build: &mut Command) -> Result<Vec<Executable>> {
    let report = output_of(build.arg("--message-format=json-render-diagnostics"))?;
    report
        .lines()
        .filter_map(|line| executable(line).transpose())
        .collect()
}

/// One line of cargo's report, if it is about an executable.
fn executable(line: &str) -> Result<Option<Executable>> {
    let message: Value =
        serde_json::from_str(line).with_context(|| format!("not a message of cargo: {line}"))?;
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    let (Some("compiler-artifact"), Some(path)) = (text("/reason"), text("/executable")) else {
        return Ok(None);
    };
    let field =
        |pointer: &str| text(pointer).with_context(|| format!("no {pointer} in cargo's message {line}"));
    let manifest = Path::new(field("/manifest_path")?);
    Ok(Some(Executable {
        name: field("/target/name")?.to_owned(),
        path: path.into(),
        is_test: message.pointer("/profile/test") == Some(&Value::Bool(true)),
        package: manifest.parent().unwrap_or(manifest).to_path_buf(),
    }))
}

#[cfg(test)]
mod tests {
    use super::{Executable, executable, workspace};

    #[test]
    fn executables_are_told_from_cargos_other_messages() {
        let demo = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml",
            "target":{"name":"demo","kind":["bin"]},"profile":{"test":false},"executable":"/w/target/debug/demo"}"#;
        let expected = Executable {
            name: "demo".into(),
            path: "/w/target/debug/demo".into(),
            is_test: false,
            package: "/w/tests".into(),
        };
        assert_eq!(executable(demo).expect("a message"), Some(expected));

        let library = r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml",
            "target":{"name":"a"},"profile":{"test":false},"executable":null}"#;
        assert_eq!(executable(library).expect("a message"), None);
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#).expect("a message"),
            None
        );
    }

    #[test]
    fn what_cargo_does_not_say_is_an_error() {
        assert!(executable("running 3 tests").is_err());
        assert!(executable(r#"{"reason":"compiler-artifact","executable":"/w/demo"}"#).is_err());
    }

    #[test]
    fn the_workspace_holds_the_lock_file() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
