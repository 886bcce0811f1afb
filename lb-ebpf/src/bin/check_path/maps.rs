//! The maps, which live as long as the daemon.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use lb_common::abi::{CHECK_RETURNS, CHECK_VIPS, CheckAddress, CheckReturn};

/// VIPs by number.
#[btf_map]
pub(crate) static VIPS: Array<CheckAddress, CHECK_VIPS> = Array::new();
/// Ways back by local port.
#[btf_map]
pub(crate) static RETURNS: Array<CheckReturn, CHECK_RETURNS> = Array::new();
