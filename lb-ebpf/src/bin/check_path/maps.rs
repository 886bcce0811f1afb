//! The maps, which live as long as the daemon.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::abi::{BackendEntry, CHECK_RETURNS, CHECK_ROUTES, CheckReturn, CheckRoute};

/// The daemon writes to it without system calls.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// Where marked packets go, by number.
#[btf_map]
pub(crate) static ROUTES: Array<CheckRoute, CHECK_ROUTES> = Array::new();
/// In which tunnel, by the same number; what is not in use is none.
#[btf_map]
pub(crate) static TUNNELS: Array<BackendEntry, CHECK_ROUTES, MMAPABLE> = Array::new();
/// Ways back by local port.
#[btf_map]
pub(crate) static RETURNS: Array<CheckReturn, CHECK_RETURNS> = Array::new();
