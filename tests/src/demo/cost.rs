//! What a packet costs, as the kernel measures it.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use lb_userspace::net::Netlink;

use crate::Host;

/// The kernel's stopwatch on one XDP program; it runs until this is dropped.
pub(super) struct Cost {
    program: u32,
    _stopwatch: OwnedFd,
}

impl Cost {
    /// Starts to measure the program on this interface of `host`.
    pub(super) fn start(host: &Host, interface: &str) -> Result<Self> {
        let stopwatch =
            enable_stats(Stats::RunTime).context("starting the kernel's stopwatch (Linux 5.8)")?;
        let facts = host.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let facts =
                runtime.block_on(async { anyhow::Ok(Netlink::open()?.link_facts(interface).await?) })?;
            anyhow::Ok(facts)
        })??;
        let program = facts
            .xdp
            .first()
            .context("no XDP program on the director's interface")?
            .id;
        Ok(Self {
            program,
            _stopwatch: stopwatch,
        })
    }

    /// Nanoseconds a packet and packets, since the stopwatch was started; `None` where nothing was measured.
    pub(super) fn read(&self) -> Option<(f64, u64)> {
        let program = loaded_programs()
            .filter_map(Result::ok)
            .find(|program| program.id() == self.program)?;
        let packets = program.run_count();
        (packets > 0).then(|| (program.run_time().as_nanos() as f64 / packets as f64, packets))
    }
}
