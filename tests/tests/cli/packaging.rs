//! What packages bring beside the programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use lb_tests::tandem::binary;

use crate::canned::{Directory, Said, tandem};

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(path)
}

/// The unit, with the daemon that was built here in the place of the installed one.
fn unit(directory: &Directory) -> Result<PathBuf> {
    let text = fs::read_to_string(packaging("systemd/tandemd.service"))?;
    let daemon = binary("tandemd")?;
    let path = directory.path().join("tandemd.service");
    fs::write(
        &path,
        text.replace("/usr/sbin/tandemd", &daemon.to_string_lossy()),
    )?;
    Ok(path)
}

#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() -> Result<()> {
    let directory = Directory::new()?;
    let unit = unit(&directory)?;
    let analyze = |arguments: &[&str]| Said::by(Command::new("systemd-analyze").args(arguments).arg(&unit));
    let said = analyze(&["verify", "--man=no"])?;
    ensure!(said.code == Some(0) && said.err.is_empty(), "{said:?}");
    // Tenths: 3.0 is the limit that the project has set itself.
    let said = analyze(&["security", "--offline=true", "--no-pager", "--threshold=30"])?;
    ensure!(said.code == Some(0), "{said:?}");
    Ok(())
}

#[test]
fn the_unit_grants_what_the_daemon_says_it_lacks() -> Result<()> {
    let text = fs::read_to_string(packaging("systemd/tandemd.service"))?;
    let granted = text
        .lines()
        .find_map(|line| line.strip_prefix("AmbientCapabilities="));
    let granted: Vec<_> = granted.unwrap_or_default().split(' ').collect();
    ensure!(
        text.contains(&format!("CapabilityBoundingSet={}", granted.join(" "))),
        "{granted:?}"
    );
    // An ordinary user without any of them, as the doctor of one sees it.
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all"])
        .arg(binary("tandemd")?)
        .args([
            "--interface",
            "eth0",
            "--vip",
            "192.0.2.10:80",
            "--backend",
            "192.0.2.11",
        ])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lacking: Vec<_> = said
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|word| word.starts_with("CAP_"))
        .collect();
    let sorted = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.join(" ")
    };
    ensure!(output.status.code() == Some(4), "{said}");
    assert_eq!(sorted(lacking), sorted(granted));
    Ok(())
}

#[test]
fn manual_pages_and_completions_are_made() -> Result<()> {
    let directory = Directory::new()?;
    for (what, some) in [
        (
            "man",
            &[
                "tandem.1",
                "tandem-top.1",
                "tandem-import-keepalived.1",
                "tandemd.8",
            ][..],
        ),
        (
            "completions",
            &["tandem.bash", "_tandem", "tandem.fish", "_tandemd"],
        ),
    ] {
        let place = directory.path().join(what);
        let arguments = ["generate", what, &place.to_string_lossy()];
        Said::by(&mut tandem(Path::new("/nonexistent"), &arguments)?)?.expect()?;
        for file in some {
            ensure!(fs::metadata(place.join(file))?.len() > 100, "{file}");
        }
    }
    Ok(())
}
