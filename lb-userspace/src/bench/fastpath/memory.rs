//! How much memory the flow table takes.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use aya::maps::loaded_maps;
use lb_common::{abi::names::FLOWS_V4, flow_table::WAYS};
use serde::{Deserialize, Serialize};

use crate::{bench::machine::fdinfo, datapath::Kernel};

/// Flows that the target speaks of.
pub const FLOWS: u64 = 4 << 20;
/// Bytes that they may take.
pub const TARGET: u64 = 160_000_000;

/// Memory of the IPv4 flow table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Flows that the measured table has room for.
    pub places: u64,
    /// Bytes that the kernel charges for it.
    pub bytes: u64,
    /// Bytes of a table for [`FLOWS`] flows.
    pub bytes_for_target: u64,
    /// Bytes that it may have.
    pub target: u64,
}

impl Memory {
    /// Asks the kernel about the IPv4 flow table of this datapath.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of(kernel: &mut Kernel) -> Result<Self> {
        let ids = kernel.program()?.info()?.map_ids()?;
        let ids = ids.context("this kernel does not tell which maps a program uses")?;
        for map in loaded_maps() {
            let map = map.context("listing the maps")?;
            // The kernel cuts names after 15 bytes.
            if !ids.contains(&map.id()) || map.name_as_str().is_none_or(|name| name != FLOWS_V4) {
                continue;
            }
            let places = u64::from(map.max_entries()) * WAYS as u64;
            let descriptor = map.fd().context("opening the flow table")?;
            let bytes = fdinfo(descriptor.as_fd(), "memlock")?;
            let bytes = bytes.context("this kernel does not tell how large a map is")?;
            return Ok(Self::new(places, bytes));
        }
        anyhow::bail!("the program uses no map {FLOWS_V4}")
    }

    fn new(places: u64, bytes: u64) -> Self {
        Self {
            places,
            bytes,
            bytes_for_target: (bytes * FLOWS).div_ceil(places.max(1)),
            target: TARGET,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figure_is_scaled() {
        let memory = Memory::new(1 << 20, 33 << 20);
        assert_eq!(memory.bytes_for_target, 33 * FLOWS);
    }
}
