//! The package on a clean system: a container that boots systemd, and a script that uses it as a newcomer would.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::workspace;
use crate::program::{Root, run};
use crate::setup::{self, Purpose};

/// The release that is tried.
const SUITE: &str = "bookworm";
/// What a server has beside the essential packages.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,iproute2,man-db";

/// Boots, installs, uses, removes.
///
/// # Errors
/// Something did not go as it should; the log was shown.
pub(super) fn run_trial(deb: &Path, directory: &Path, root: Root) -> Result<()> {
    setup::ensure(&[Purpose::Trial])?;
    let base = directory.join(format!("{SUITE}.base"));
    let system = directory.join("system");
    if !base.join("trial").exists() {
        println!("trial: making a clean Debian {SUITE}");
        run(root
            .command("debootstrap")
            .args(["--variant=minbase", &format!("--include={INCLUDED}"), SUITE])
            .arg(&base))?;
        run(root.command("mkdir").arg(base.join("trial")))?;
    }
    run(root.command("rm").args(["-rf"]).arg(&system))?;
    run(root
        .command("cp")
        .args(["--archive", "--reflink=auto"])
        .arg(&base)
        .arg(&system))?;
    let packaging = workspace().join("packaging/trial");
    let copy = |from: &Path, to: &str| run(root.command("cp").arg(from).arg(system.join(to)));
    copy(deb, "trial/tandem.deb")?;
    copy(&packaging.join("trial.sh"), "trial/")?;
    copy(&packaging.join("trial.service"), "etc/systemd/system/")?;
    println!("trial: installing {}", deb.display());
    let inside = |command: &[&str]| {
        run(root
            .command("systemd-nspawn")
            .args(["--quiet", "--register=no", "--keep-unit", "--directory"])
            .arg(&system)
            .args(command))
    };
    inside(&[
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "/trial/tandem.deb",
    ])?;
    inside(&["systemctl", "enable", "trial.service"])?;
    println!("trial: booting");
    boot(&system, root)?;
    let log = fs::read_to_string(system.join("trial/log")).context("the trial did not begin")?;
    if !log.ends_with("trial: passed\n") {
        bail!("the trial failed:\n{log}");
    }
    println!("trial: passed");
    Ok(())
}

/// Until the system turns itself off. What it may do is what a machine of its own may, in a network of its own.
fn boot(system: &Path, root: Root) -> Result<()> {
    let mut boot = root.command("timeout");
    boot.args([
        "300",
        "env",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1",
        "systemd-nspawn",
        "--quiet",
    ])
    .args([
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--capability=all",
    ])
    .args(["--system-call-filter=bpf perf_event_open", "--console=pipe"])
    .args(["--boot", "--directory"])
    .arg(system);
    let output = boot.output().context("cannot start systemd-nspawn")?;
    // How it ends says nothing: the log does.
    if !system.join("trial/log").exists() {
        bail!(
            "the system did not come up: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}
