//! `dist`: packages for Debian and for systems with RPM.

mod contents;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::cargo::{cargo, workspace};
use crate::program::{Root, output_of, run};
use crate::setup::{self, Purpose};
use crate::tool::Tool;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which packages [default: all].
    #[arg(value_enum, value_name = "FORMAT")]
    formats: Vec<Format>,
    /// Boot a clean Debian in a container, install the .deb there, and use it as a newcomer would.
    #[arg(long = "try")]
    trial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For Debian and Ubuntu.
    Deb,
    /// For Fedora, RHEL, SUSE.
    Rpm,
}

/// What makes a package.
struct Packer {
    format: Format,
    tool: Tool,
    /// How cargo is told to run it, beside the package and the place.
    arguments: &'static [&'static str],
}

const WHY: &str = "it makes packages";

const PACKERS: &[Packer] = &[
    Packer {
        format: Format::Deb,
        tool: Tool {
            name: "cargo-deb",
            release: "3.8.0",
            why: WHY,
        },
        arguments: &["deb", "--quiet", "--no-build", "--package", "lb-userspace"],
    },
    Packer {
        format: Format::Rpm,
        tool: Tool {
            name: "cargo-generate-rpm",
            release: "0.21.1",
            why: WHY,
        },
        arguments: &["generate-rpm", "--package", "lb-userspace"],
    },
];

fn directory() -> PathBuf {
    workspace().join("target/dist")
}

/// `cargo xtask dist`.
pub(crate) fn dist(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Dist])?;
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    run(cargo("build").args(["--release", "--bins", "--package", "lb-userspace"]))?;
    strip(&directory)?;
    generate(&directory)?;
    let wanted =
        |packer: &&Packer| arguments.formats.is_empty() || arguments.formats.contains(&packer.format);
    let needed = |packer: &&Packer| wanted(packer) || arguments.trial && packer.format == Format::Deb;
    let mut deb = None;
    let mut contents = Vec::new();
    for packer in PACKERS.iter().filter(needed) {
        let package = packer.pack(&directory)?;
        let files = contents::files(&package, packer.format)?;
        println!("{} ({} files)", package.display(), files.len());
        contents.push(files);
        if packer.format == Format::Deb {
            deb = Some(package);
        }
    }
    if let [deb, rpm] = &contents[..] {
        contents::compare(deb, rpm)?;
    }
    match deb {
        Some(deb) if arguments.trial => {
            trial::run_trial(&deb, &directory, Root::find("booting a container")?)
        }
        Some(_) | None => Ok(()),
    }
}

/// The programs without what only a debugger reads, which is most of them.
fn strip(directory: &Path) -> Result<()> {
    let place = directory.join("bin");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    for name in ["tandem", "tandemd"] {
        let mut strip = Command::new("strip");
        strip.arg("--strip-debug").arg("-o").arg(place.join(name));
        run(strip.arg(workspace().join("target/release").join(name)))?;
    }
    Ok(())
}

/// Manual pages, completions and schemas, by the command line that was just built.
fn generate(directory: &Path) -> Result<()> {
    for what in ["man", "completions", "schemas"] {
        let place = directory.join(what);
        // A page of a command that is gone would be packed too.
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("cannot empty {}", place.display()))?;
        }
        let mut tandem = Command::new(workspace().join("target/release/tandem"));
        output_of(tandem.arg("generate").arg(what).arg(place))?;
    }
    Ok(())
}

impl Packer {
    /// Makes the package, and says where it is.
    fn pack(&self, directory: &Path) -> Result<PathBuf> {
        let packer = self.tool.ensure()?;
        let place = directory.join(match self.format {
            Format::Deb => "deb",
            Format::Rpm => "rpm",
        });
        // Of an earlier version.
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let mut pack = Command::new(packer);
        pack.current_dir(workspace())
            .args(self.arguments)
            .arg("--output")
            .arg(&place);
        output_of(&mut pack)?;
        let mut made = fs::read_dir(&place)?;
        let package = made
            .next()
            .with_context(|| format!("{} made nothing", self.tool.name))??;
        Ok(package.path())
    }
}
