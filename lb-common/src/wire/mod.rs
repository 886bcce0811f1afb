//! Protocols that directors speak among themselves: a message is read where it lies, checked as a whole, and only then
//! given out.

pub mod heartbeat;
mod refusal;
pub mod seal;
#[cfg(not(target_arch = "bpf"))]
pub mod sync;
pub mod vrrp;
