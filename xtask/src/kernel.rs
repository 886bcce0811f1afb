//! `kernel`: whether a kernel takes the programs, and forwards with them, in a virtual machine that boots it.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo::{cargo, workspace},
    program::{find, output_of, run},
    setup::{self, Purpose},
};

/// What the meta package for virtual machines is called in Debian.
const META: &str = "linux-image-cloud-amd64";
/// The oldest release that is supported, which Debian 12 has.
const OLDEST: &str = "linux-image-6.1.";
/// What the machine's first process runs beside Tandem.
const PROGRAMS: &[&str] = &["ip", "ethtool"];
const MODULES: &[&str] = &["drivers/net/veth.ko"];
/// What the emulator says where KVM gives up; it then waits for ever.
const NO_KVM: &str = "KVM internal error";
/// What the machine says at the end of a trial without a fault.
const WELL: &str = "kernel: all well";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Package of the kernel [default: the oldest that is supported, Linux 6.1, where this system's archives have it].
    #[arg(long, value_name = "PACKAGE")]
    image: Option<String>,
    /// Without the processor's virtualisation, for machines whose KVM does not work.
    #[arg(long)]
    emulate: bool,
}

/// `cargo xtask kernel`.
pub(crate) fn kernel(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Purpose::Kernel])?;
    let directory = workspace().join("target/kernel");
    fs::create_dir_all(&directory)?;
    run(cargo("build").args(["--release", "--bins", "--package", "lb-userspace"]))?;
    let package = match &arguments.image {
        Some(package) => package.clone(),
        None => oldest()?,
    };
    let kernel = unpack(&package, &directory)?;
    let system = assemble(&kernel, &directory)?;
    println!("kernel: booting {package}");
    boot(&image(&kernel)?, &system, arguments.emulate)
}

/// The package of the oldest kernel.
fn oldest() -> Result<String> {
    let depends = output_of(Command::new("apt-cache").args(["depends", META]))?;
    depends
        .split_whitespace()
        .find(|word| word.starts_with(OLDEST))
        .map(str::to_owned)
        .with_context(|| {
            format!(
                "the archives of this system have no {OLDEST}*: name another kernel's package with --image"
            )
        })
}

/// Fetches the package and takes it apart; says where.
fn unpack(package: &str, directory: &Path) -> Result<PathBuf> {
    let place = directory.join(package);
    if place.join("boot").exists() {
        return Ok(place);
    }
    let fetched = directory.join("fetched");
    // Of an earlier one that was interrupted.
    let _ = fs::remove_dir_all(&fetched);
    fs::create_dir_all(&fetched)?;
    run(Command::new("apt-get")
        .current_dir(&fetched)
        .args(["download", package]))?;
    let file = fs::read_dir(&fetched)?
        .next()
        .with_context(|| format!("apt-get fetched no {package}"))??;
    run(Command::new("dpkg-deb").arg("-x").arg(file.path()).arg(&place))?;
    Ok(place)
}

/// The kernel itself.
fn image(kernel: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(kernel.join("boot"))? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        {
            return Ok(path);
        }
    }
    bail!("no kernel in {}", kernel.display())
}

/// Makes the machine's file system, an archive for the kernel to unpack; says where.
fn assemble(kernel: &Path, directory: &Path) -> Result<PathBuf> {
    let root = directory.join("root");
    let _ = fs::remove_dir_all(&root);
    for place in ["bin", "modules", "proc", "sys", "dev", "tmp", "run"] {
        fs::create_dir_all(root.join(place))?;
    }
    let mut programs: Vec<PathBuf> = ["tandem", "tandemd"]
        .map(|name| workspace().join("target/release").join(name))
        .into();
    for name in PROGRAMS {
        programs.push(find(name).with_context(|| format!("{name} is not installed"))?);
    }
    let mut libraries = BTreeSet::new();
    for program in &programs {
        copy(program, &root.join("bin"))?;
        let needs = output_of(Command::new("ldd").arg(program))?;
        libraries.extend(
            needs
                .split_whitespace()
                .filter(|word| word.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    for library in &libraries {
        let place = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(place.parent().context("a library lies in a directory")?)?;
        fs::copy(library, &place).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    copy(
        &find("busybox").context("busybox is not installed")?,
        &root.join("bin"),
    )?;
    copy(&workspace().join("packaging/kernel/init"), &root)?;
    let releases = kernel.join("lib/modules");
    let release = fs::read_dir(&releases)?
        .next()
        .context("a kernel without modules")??;
    for module in MODULES {
        copy(&release.path().join("kernel").join(module), &root.join("modules"))?;
    }
    let archive = directory.join("root.cpio");
    let pack = format!("cd {root:?} && find . | busybox cpio -o -H newc >{archive:?} 2>/dev/null");
    run(Command::new("sh").args(["-c", &pack]))?;
    Ok(archive)
}

fn copy(file: &Path, into: &Path) -> Result<()> {
    let name = file.file_name().context("a file has a name")?;
    fs::copy(file, into.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

/// Boots, shows what the machine says, and judges.
fn boot(kernel: &Path, system: &Path, emulate: bool) -> Result<()> {
    // Both of its outputs are one.
    let mut machine = Command::new("sh")
        .args(["-c", "exec \"$0\" \"$@\" 2>&1", "qemu-system-x86_64"])
        .args(if emulate { &[][..] } else { &["-accel", "kvm"] })
        .args(["-accel", "tcg", "-cpu", "max", "-m", "2G"])
        .args([
            "-nographic",
            "-no-reboot",
            "-append",
            "console=ttyS0 quiet panic=-1",
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(system)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let said = machine.stdout.take().context("its output was asked for")?;
    let mut well = false;
    for line in BufReader::new(said).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        println!("{line}");
        well |= line == WELL;
        if line.starts_with(NO_KVM) {
            machine.kill()?;
            machine.wait()?;
            bail!("KVM does not work on this machine: try `cargo xtask kernel --emulate`");
        }
    }
    machine.wait()?;
    ensure!(well, "this kernel does not forward with Tandem: see above");
    Ok(())
}
