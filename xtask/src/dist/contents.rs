//! What is in the packages: all that there is to be, and the same in both.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Format;
use crate::program::output_of;

/// Something of each kind that a package is to bring.
const REQUIRED: &[&str] = &[
    "/usr/bin/tandem",
    "/usr/sbin/tandemd",
    "/usr/lib/systemd/system/tandemd.service",
    "/usr/lib/sysusers.d/tandem.conf",
    "/usr/lib/tmpfiles.d/tandem.conf",
    "/usr/share/man/man1/tandem.1",
    "/usr/share/man/man1/tandem-import.1",
    "/usr/share/man/man8/tandemd.8",
    "/usr/share/bash-completion/completions/tandem",
    "/usr/share/fish/vendor_completions.d/tandem.fish",
    "/usr/share/zsh/_tandem",
    "/usr/share/tandem/tandem.schema.json",
    "/usr/share/tandem/openapi.json",
    "/usr/share/doc/tandem/configuration.md",
    "/usr/share/doc/tandem/examples/tandem.toml",
    "/usr/share/doc/tandem/examples/prometheus/tandem.rules.yml",
    "/usr/share/doc/tandem/examples/grafana/tandem.json",
];

/// Looks into a package: the files that it brings, called alike in both formats.
///
/// # Errors
/// Something is missing.
pub(super) fn files(package: &Path, format: Format) -> Result<BTreeSet<String>> {
    let listing = match format {
        Format::Deb => output_of(Command::new("dpkg-deb").arg("--contents").arg(package))?,
        Format::Rpm => output_of(
            Command::new("rpm")
                .args(["--query", "--package", "--list"])
                .arg(package),
        )?,
    };
    let files: BTreeSet<String> = listing.lines().filter_map(|line| file(line, format)).collect();
    let missing: Vec<_> = REQUIRED.iter().filter(|path| !files.contains(**path)).collect();
    if !missing.is_empty() {
        bail!("{} does not bring {missing:?}", package.display());
    }
    Ok(files)
}

/// Both bring the same.
///
/// # Errors
/// They differ.
pub(super) fn compare(deb: &BTreeSet<String>, rpm: &BTreeSet<String>) -> Result<()> {
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other).cloned().collect::<Vec<_>>().join(", ")
    };
    if deb != rpm {
        bail!(
            "the packages differ; only in the .deb: {}; only in the .rpm: {}",
            only(deb, rpm),
            only(rpm, deb)
        );
    }
    Ok(())
}

/// The path of a line of the listing, if it is a file's that both formats are to have.
fn file(line: &str, format: Format) -> Option<String> {
    let path = match format {
        // drwxr-xr-x root/root 0 2026-01-01 00:00 ./usr/bin/
        Format::Deb => line.split_whitespace().nth(5)?.strip_prefix('.')?,
        Format::Rpm => line.trim(),
    };
    // What Debian wants of every package.
    let of_debian = ["/copyright", "/changelog.gz", "/changelog.Debian.gz"];
    if !path.starts_with('/') || path.ends_with('/') || of_debian.iter().any(|name| path.ends_with(name)) {
        return None;
    }
    let path = path.strip_suffix(".gz").unwrap_or(path);
    let path = match path.strip_prefix("/lib/") {
        Some(rest) => format!("/usr/lib/{rest}"),
        None => path.to_owned(),
    };
    Some(
        path.replace("/zsh/vendor-completions/", "/zsh/")
            .replace("/zsh/site-functions/", "/zsh/"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name_in_both() {
        for (deb, rpm, path) in [
            (
                "-rw-r--r-- root/root 7 2026-01-01 00:00 ./usr/share/man/man1/tandem.1.gz",
                "/usr/share/man/man1/tandem.1",
                Some("/usr/share/man/man1/tandem.1"),
            ),
            (
                "-rw-r--r-- root/root 7 2026-01-01 00:00 ./usr/share/zsh/vendor-completions/_tandem",
                "/usr/share/zsh/site-functions/_tandem",
                Some("/usr/share/zsh/_tandem"),
            ),
            (
                "-rw-r--r-- root/root 7 2026-01-01 00:00 ./lib/systemd/system/tandemd.service",
                "/usr/lib/systemd/system/tandemd.service",
                Some("/usr/lib/systemd/system/tandemd.service"),
            ),
            ("drwxr-xr-x root/root 0 2026-01-01 00:00 ./usr/bin/", "", None),
        ] {
            assert_eq!(file(deb, Format::Deb).as_deref(), path);
            assert_eq!(file(rpm, Format::Rpm).as_deref(), path);
        }
        let one = BTreeSet::from(["/a".to_owned()]);
        assert!(compare(&one, &one).is_ok() && compare(&one, &BTreeSet::new()).is_err());
    }
}
