//! Installing a compiler and a linker for XDP programs.

use std::process::Command;
use std::{env, path::Path};

use anyhow::{Context, Result};
use lb_ebpf_builder::{HOST_TARGET, Toolchain, find_linker, find_toolchain, installed_nightlies};

use crate::apt::Apt;
use crate::cargo;
use crate::program::{find, output_of, run};

/// Debian 12's second Rust, with a `core` for BPF in the last of them.
const DEBIAN_TOOLCHAIN: &[&str] = &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// The release of bpf-linker that is known to work.
const LINKER: &str = "bpf-linker@0.13.0";

/// Installs a toolchain and a linker for BPF where they are missing.
///
/// # Errors
/// All ways to install one of them failed; the text says what to do by hand.
pub(crate) fn ensure() -> Result<()> {
    if find_toolchain(HOST_TARGET).is_err() {
        println!("set-up: nothing here compiles for {HOST_TARGET} yet, which XDP programs need");
        install_toolchain()?;
    }
    let toolchain = find_toolchain(HOST_TARGET)?;
    if find_linker().is_err() {
        install_linker(&toolchain)?;
    }
    find_linker()?;
    Ok(())
}

/// The distribution's toolchain where it has one, else rustup's nightly. Whether either helped is for the caller
/// to find out; the error is of the last way tried.
fn install_toolchain() -> Result<()> {
    if let Some(mut apt) = Apt::find()?
        && apt.offers(DEBIAN_TOOLCHAIN)?
    {
        println!(
            "set-up: installing {} (XDP programs are built with it)",
            DEBIAN_TOOLCHAIN.join(", ")
        );
        match apt.install(DEBIAN_TOOLCHAIN) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("set-up: {error:#}; trying rustup"),
        }
    }
    if find("rustup").is_none() {
        return Ok(());
    }
    println!("set-up: installing rust-src for rustup's nightly (to build the core library for BPF)");
    run(&mut rust_src(installed_nightlies().first().map(String::as_str)))
}

/// A nightly that is there is neither upgraded nor is rustup itself: they are the user's.
fn rust_src(nightly: Option<&str>) -> Command {
    let mut rustup = Command::new("rustup");
    match nightly {
        Some(name) => rustup.args(["component", "add", "rust-src", "--toolchain", name]),
        None => rustup
            .args(["toolchain", "install", "nightly", "--component", "rust-src"])
            .args(["--profile", "minimal", "--no-self-update"]),
    };
    rustup
}

/// A prebuilt one where cargo can fetch it, else from source.
fn install_linker(toolchain: &Toolchain) -> Result<()> {
    if find("cargo-binstall").is_some() {
        println!("set-up: installing bpf-linker (it links XDP programs)");
        match run(cargo::cargo("binstall").args(["--no-confirm", LINKER])) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("set-up: {error:#}; building it from source"),
        }
    }
    build_linker(llvm_major(toolchain)?).context(
        "bpf-linker could not be installed; a prebuilt one from its releases page, put into PATH, will do",
    )
}

/// A bpf-linker reads what its own LLVM and older ones wrote, so it is built with that of the compiler.
fn build_linker(llvm: u32) -> Result<()> {
    let [llvm_dev, polly_dev] = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    // The linker links the C++ library.
    let packages = [llvm_dev.as_str(), &polly_dev, "g++"];
    if let Some(mut apt) = Apt::find()?
        && apt.offers(&packages)?
    {
        println!(
            "set-up: installing {} (bpf-linker is built with it)",
            packages.join(", ")
        );
        apt.install(&packages)?;
    }
    println!("set-up: building bpf-linker (it links XDP programs); this takes a minute or two");
    // Debian keeps LLVM's releases apart; another's llvm-config would be found first otherwise.
    let llvm_bin = Path::new("/usr/lib").join(format!("llvm-{llvm}/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(llvm_bin).chain(env::split_paths(&path)))?;
    let features = format!("llvm-{llvm}");
    let options = [
        "--locked",
        "--force",
        "--no-default-features",
        "--features",
        &features,
        LINKER,
    ];
    run(cargo::cargo("install").args(options).env("PATH", path))
}

fn llvm_major(toolchain: &Toolchain) -> Result<u32> {
    let mut rustc = match toolchain {
        Toolchain::System { rustc, .. } => Command::new(rustc),
        Toolchain::Nightly { name } => {
            let mut command = Command::new("rustup");
            command.args(["run", name, "rustc"]);
            command
        }
    };
    let version = output_of(rustc.arg("-vV"))?;
    llvm_major_of(&version).with_context(|| format!("no LLVM version in what the compiler says: {version}"))
}

/// From the line `LLVM version: 22.1.8` of `rustc -vV`.
fn llvm_major_of(version: &str) -> Option<u32> {
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{llvm_major_of, rust_src};

    #[test]
    fn the_compiler_tells_its_llvm() {
        let cases = [
            ("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n", Some(22)),
            ("LLVM version: 9.0", Some(9)),
            ("rustc 1.96.0\n", None),
            ("LLVM version: unknown\n", None),
            ("", None),
        ];
        for (version, expected) in cases {
            assert_eq!(llvm_major_of(version), expected, "{version:?}");
        }
    }

    #[test]
    fn a_nightly_that_is_there_is_not_upgraded() {
        let words = |nightly| {
            rust_src(nightly)
                .get_args()
                .map(OsStr::to_os_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(Some("nightly-x")),
            ["component", "add", "rust-src", "--toolchain", "nightly-x"]
        );
        assert!(words(None).contains(&"--no-self-update".into()));
    }
}
