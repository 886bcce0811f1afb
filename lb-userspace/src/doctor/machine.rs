//! The kernel, and what this user may do.

use super::{BpfFs, Daemon, Facts, Finding};
use crate::capability;

/// Oldest kernel that can take the program: frames in several buffers (`xdp.frags`) came with 5.18.
const NEEDED: (u32, u32) = (5, 18);
/// Oldest kernel that is tested: a Debian 12's.
const TESTED: (u32, u32) = (6, 1);

pub(super) fn examine(facts: &Facts) -> Vec<Finding> {
    let running = facts.daemon.running().is_some();
    let findings = [
        Some(kernel(&facts.kernel)),
        Some(btf(facts.btf)),
        facts.jit.map(jit),
        Some(bpffs(&facts.bpffs)),
        // What this user may do matters to nobody once the daemon runs.
        facts.capabilities.filter(|_| !running).map(capabilities),
        facts.trial.as_ref().map(trial),
        facts.memory.map(|memory| memory_for(facts.tables, memory)),
        facts.config_error.as_deref().map(config),
        daemon(&facts.daemon),
    ];
    findings.into_iter().flatten().collect()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

pub(super) fn kernel(release: &str) -> Finding {
    const CHECK: &str = "kernel";
    let ((a, b), (c, d)) = (NEEDED, TESTED);
    match version(release) {
        None => Finding::warning(
            CHECK,
            format!("the version of the kernel is not clear from its release `{release}`"),
            format!("the program needs Linux {a}.{b}"),
            "see whether the kernel takes the program",
        ),
        Some(version) if version < NEEDED => Finding::problem(
            CHECK,
            format!("Linux {release} is too old"),
            format!(
                "the program needs {a}.{b}, the first that gives an XDP program frames in several buffers \
                 (xdp.frags)"
            ),
            format!("install a kernel from {c}.{d} on"),
        ),
        Some(version) if version < TESTED => Finding::warning(
            CHECK,
            format!("Linux {release} is older than what Tandem is tested with"),
            format!("it has all that the program needs, but only kernels from {c}.{d} on are tested"),
            format!("prefer a kernel from {c}.{d} on"),
        ),
        Some(_) => Finding::ok(CHECK, format!("Linux {release} has all that the program needs")),
    }
}

pub(super) fn btf(there: bool) -> Finding {
    const CHECK: &str = "btf";
    if there {
        return Finding::ok(CHECK, "the kernel tells its types (BTF)");
    }
    Finding::warning(
        CHECK,
        "the kernel does not tell its types: there is no /sys/kernel/btf/vmlinux",
        "a kernel without it may refuse the program, as Linux 6.1 does, and bpftool and other tools that look at it show less",
        "use a kernel that was built with CONFIG_DEBUG_INFO_BTF",
    )
}

pub(super) fn jit(setting: u32) -> Finding {
    const CHECK: &str = "jit";
    if setting == 0 {
        return Finding::problem(
            CHECK,
            "the compiler for BPF is switched off (net.core.bpf_jit_enable is 0)",
            "interpreted, the program is many times slower, and may not be taken at all",
            "sysctl -w net.core.bpf_jit_enable=1",
        );
    }
    Finding::ok(CHECK, "BPF programs are compiled (net.core.bpf_jit_enable)")
}

pub(super) fn bpffs(bpffs: &BpfFs) -> Finding {
    const CHECK: &str = "bpffs";
    const WHY: &str = "maps and links are pinned there: that is how forwarding outlives the daemon";
    match bpffs {
        BpfFs::Mounted(path) => Finding::ok(CHECK, format!("{} is on a bpf file system", path.display())),
        BpfFs::Other(path) => Finding::problem(
            CHECK,
            format!("{} is not on a bpf file system", path.display()),
            WHY,
            "mount -t bpf bpf /sys/fs/bpf",
        ),
        BpfFs::Unknown(path, why) => Finding::warning(
            CHECK,
            format!(
                "whether {} is on a bpf file system could not be seen: {why}",
                path.display()
            ),
            WHY,
            "run as root",
        ),
    }
}

pub(super) fn capabilities(effective: u64) -> Finding {
    const CHECK: &str = "capabilities";
    let missing = capability::missing(effective);
    if missing.is_empty() {
        return Finding::ok(CHECK, "this user has the capabilities that the daemon needs");
    }
    Finding::problem(
        CHECK,
        format!("this user lacks {}", capability::list(&missing)),
        "the daemon cannot do its work without, and some of the checks here cannot be made",
        "run as root, or have the service manager grant them (AmbientCapabilities= of systemd)",
    )
}

pub(super) fn trial(outcome: &Result<(), String>) -> Finding {
    const CHECK: &str = "program";
    match outcome {
        Ok(()) => Finding::ok(
            CHECK,
            "the kernel takes the XDP program (loaded, and unloaded again)",
        ),
        Err(why) => Finding::problem(
            CHECK,
            format!("the XDP program could not be loaded: {why}"),
            "without it nothing is forwarded",
            "do what the message says; if it comes from the verifier, report it with the kernel's release",
        ),
    }
}

pub(super) fn memory_for(tables: u64, available: u64) -> Finding {
    const CHECK: &str = "memory";
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let (tables_mib, available_mib) = (mib(tables), available >> 20);
    if tables == 0 {
        return Finding::ok(CHECK, "the tables have their memory already");
    }
    let what = format!("the tables will take {tables_mib} MiB of the {available_mib} MiB that are available");
    let advice = "give the machine more memory, or lower flows_v4, flows_v6 and slots under [limits]";
    if tables > available {
        Finding::problem(
            CHECK,
            what,
            "they are made as a whole when the daemon starts",
            advice,
        )
    } else if tables > available / 2 {
        Finding::warning(
            CHECK,
            what,
            "they take it for good: other programs may be left with too little",
            advice,
        )
    } else {
        Finding::ok(CHECK, what)
    }
}

fn config(error: &str) -> Finding {
    Finding::problem(
        "config",
        error,
        "the daemon does not start with it",
        "`tandem check FILE` shows what is wrong and where",
    )
}

fn daemon(daemon: &Daemon) -> Option<Finding> {
    const CHECK: &str = "daemon";
    match daemon {
        Daemon::Running(running) => Some(Finding::ok(
            CHECK,
            format!(
                "tandemd {} runs (process {})",
                running.status.version, running.status.pid
            ),
        )),
        Daemon::NotRunning => Some(Finding::ok(
            CHECK,
            "tandemd does not run; this is what it would find",
        )),
        Daemon::Unknown(why) => Some(Finding::warning(
            CHECK,
            why,
            "what a running daemon knows is missing here",
            "see to it that this user may ask the daemon, and that it answers",
        )),
    }
}
