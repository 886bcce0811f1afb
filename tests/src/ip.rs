//! Running `ip`: many commands at once, and an error that says which one was refused.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::LabError;
use crate::tool;

/// Runs `commands` in order, in the named namespace, or in the caller's when `namespace` is `None`.
///
/// `ip` stops at the first command that fails; those before it stay done.
pub(crate) fn batch<S: AsRef<str>>(namespace: Option<&str>, commands: &[S]) -> Result<(), LabError> {
    let failed = |source| LabError::Run {
        tool: "ip".to_owned(),
        source,
    };
    let mut ip = Command::new(tool::find("ip")?);
    if let Some(name) = namespace {
        ip.args(["-n", name]);
    }
    let mut child = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let script: String = commands
        .iter()
        .flat_map(|command| [command.as_ref(), "\n"])
        .collect();
    if let Some(mut stdin) = child.stdin.take() {
        // `ip` that gave up early breaks the pipe; its own words say more.
        let _ = stdin.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LabError::Ip {
        place: namespace.unwrap_or("the caller's namespace").to_owned(),
        command: refused(&said, commands).to_owned(),
        said: said.lines().next().unwrap_or("nothing").to_owned(),
    })
}

/// `ip -batch` ends with `Command failed -:LINE`.
fn refused<'a, S: AsRef<str>>(said: &str, commands: &'a [S]) -> &'a str {
    let line = said.lines().find_map(|line| {
        line.strip_prefix("Command failed -:")?
            .trim()
            .parse::<usize>()
            .ok()
    });
    line.and_then(|line| commands.get(line.checked_sub(1)?))
        .map_or("-batch -", AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_command_is_found_by_its_line() {
        let commands = ["link set lo up", "link set nope up"];
        let said = "Cannot find device \"nope\"\nCommand failed -:2\n";
        assert_eq!(refused(said, &commands), "link set nope up");
        assert_eq!(refused("Command failed -:9", &commands), "-batch -");
        assert_eq!(refused("", &commands), "-batch -");
    }
}
