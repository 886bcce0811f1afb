//! The machine that was measured, and holding still on it.

use std::{
    fs,
    hint::black_box,
    os::fd::{AsFd, AsRawFd as _},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::utsname::uname,
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// What figures depend on beside the program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the CPU, as the kernel names it.
    pub cpu: String,
    /// CPUs online.
    pub cpus: usize,
    /// Whether a hypervisor runs it, as CPUs say (x86).
    #[serde(default)]
    pub is_virtual: bool,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Machine type.
    pub architecture: String,
    /// Version of Tandem.
    pub tandem: String,
    /// CPU that the measurement ran on; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_to: Option<usize>,
}

impl Machine {
    /// Describes this machine, of which one CPU or all are measured.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn describe(pinned_to: impl Into<Option<usize>>) -> Result<Self> {
        let name = uname().context("asking the kernel for its name")?;
        let cpus = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
        let memory_kib: u64 = field(&memory, "MemTotal")
            .and_then(|value| value.strip_suffix(" kB")?.parse().ok())
            .unwrap_or_default();
        Ok(Self {
            cpu: field(&cpus, "model name").unwrap_or("unknown").to_owned(),
            cpus: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_mib: memory_kib / 1024,
            kernel: name.release().to_string_lossy().into_owned(),
            architecture: name.machine().to_string_lossy().into_owned(),
            tandem: env!("CARGO_PKG_VERSION").to_owned(),
            is_virtual: field(&cpus, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            pinned_to: pinned_to.into(),
        })
    }

    /// Which CPU it was, for a sentence.
    #[must_use]
    pub fn place(&self) -> String {
        let cpus = self.cpus;
        self.pinned_to
            .map_or_else(|| format!("{cpus} CPUs"), |cpu| format!("CPU {cpu} of {cpus}"))
    }

    /// All of it in one line.
    #[must_use]
    pub fn note(&self) -> String {
        let Self {
            cpu, kernel, tandem, ..
        } = self;
        format!("{cpu}, {}, Linux {kernel}, Tandem {tandem}", self.place())
    }
}

/// The value of the first line `NAME : VALUE`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// Whether there is memory for so many bytes, and a tenth of all is left for others; the advice ends the sentence otherwise.
///
/// # Errors
/// When there is not.
pub fn ensure_memory(bytes: u64, advice: &str) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let kib = |name| field(&text, name).and_then(|value| value.strip_suffix(" kB")?.parse::<u64>().ok());
    let (Some(all), Some(available)) = (kib("MemTotal"), kib("MemAvailable")) else {
        return Ok(());
    };
    let usable = available.saturating_sub(all / 10) * 1024;
    ensure!(
        bytes <= usable,
        "this takes {} MiB of memory, and {} MiB may be used without harm to others: {advice}",
        bytes / MIB,
        usable / MIB
    );
    Ok(())
}

/// Keeps this thread on one CPU: `wanted`, or the last that it may use, since the first ones serve most interrupts.
///
/// # Errors
/// When the CPU is not there.
pub fn pin(wanted: Option<usize>) -> Result<usize> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).context("asking for the CPUs of this thread")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| allowed.is_set(cpu) == Ok(true));
    let cpu = wanted.or(last).unwrap_or(0);
    let mut only = CpuSet::new();
    only.set(cpu).with_context(|| format!("there is no CPU {cpu}"))?;
    sched_setaffinity(this_thread, &only)
        .with_context(|| format!("cannot run on CPU {cpu}: choose another with --cpu"))?;
    Ok(cpu)
}

/// Has a thread, or with 0 the calling one, come before all ordinary work on its CPU (`SCHED_FIFO`), so that what else the machine
/// does costs no packets.
///
/// # Errors
/// When the system does not allow it.
pub fn come_first(thread: i32) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are valid for the call.
    let failed = unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameters) };
    ensure!(
        failed == 0,
        "cannot give a thread real-time priority: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// Nanoseconds that this thread has spent on a CPU: what others did meanwhile does not count.
///
/// # Errors
/// Never on Linux.
pub fn cpu_time() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("reading the thread's CPU time")?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}

/// A number that the kernel tells about an open file: the field `name` of its fdinfo (proc_pid_fdinfo(5)); `None` where it
/// says nothing of the kind.
///
/// # Errors
/// When there is no /proc.
pub fn fdinfo(file: impl AsFd, name: &str) -> Result<Option<u64>> {
    let path = format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(field(&text, name).and_then(|value| value.parse().ok()))
}

/// Tells whether the CPU is ours alone at the moment, by work whose cost is known: another hardware thread of the same
/// core, or a hypervisor's other guests, leave less of the core to us without taking CPU time.
#[derive(Debug)]
pub struct Stillness {
    /// Nanoseconds that the work takes at best.
    best: f64,
}

/// How long to wait for others to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the work may take in place of its best time.
const STILL: f64 = 1.05;

impl Stillness {
    /// Finds out how long the work takes.
    ///
    /// # Errors
    /// Never on Linux.
    pub fn new() -> Result<Self> {
        let mut stillness = Self { best: f64::INFINITY };
        for _ in 0..50 {
            stillness.now()?;
        }
        Ok(stillness)
    }

    /// Waits until the CPU is ours alone, for a while; whether it is.
    ///
    /// # Errors
    /// Never on Linux.
    pub fn wait(&mut self) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let still = self.now()?;
            if still || Instant::now() > deadline {
                return Ok(still);
            }
            thread::sleep(PATIENCE / 50);
        }
    }

    /// Whether the CPU is ours alone now.
    ///
    /// # Errors
    /// Never on Linux.
    pub fn now(&mut self) -> Result<bool> {
        let before = cpu_time()?;
        work();
        let taken = cpu_time()? - before;
        self.best = self.best.min(taken);
        Ok(taken <= self.best * STILL)
    }
}

/// Some 100 microseconds of work that keeps all parts of a core busy: eight xorshift generators (Marsaglia, 2003) at once.
fn work() {
    let mut generators = black_box([1_u64, 2, 3, 4, 5, 6, 7, 8]);
    for _ in 0..20_000 {
        for state in &mut generators {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
        }
        generators = black_box(generators);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 207\nmodel name\t: A CPU : fast\nMemTotal:   24 kB\n";
        assert_eq!(field(text, "model name"), Some("A CPU : fast"));
        assert_eq!(field(text, "MemTotal"), Some("24 kB"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn the_kernel_tells_about_open_files() {
        let file = fs::File::open("/proc/self/fdinfo").unwrap();
        assert_eq!(fdinfo(&file, "pos").unwrap(), Some(0));
        assert_eq!(fdinfo(&file, "run_cnt").unwrap(), None);
    }

    #[test]
    fn nobody_is_brought_out_of_memory() {
        assert!(ensure_memory(1, "").is_ok());
        let refusal = ensure_memory(1 << 50, "take less").unwrap_err().to_string();
        assert!(
            refusal.contains("1073741824 MiB") && refusal.ends_with("take less"),
            "{refusal}"
        );
    }

    #[test]
    fn cpu_time_passes_only_while_the_thread_works() {
        let before = cpu_time().unwrap();
        thread::sleep(Duration::from_millis(50));
        assert!(cpu_time().unwrap() - before < 25e6);
    }
}
