//! The kernel's network tables and raw frames: thin I/O around what `core` decides.
//!
//! Sockets belong to the network namespace of the thread that opens them.

mod ethtool;
mod frame;
mod netlink;
mod tables;
mod translate;

pub mod address;
pub mod announce;
pub mod link;
pub mod loopback;
pub mod monitor;

pub use self::netlink::{Netlink, NetlinkError};
