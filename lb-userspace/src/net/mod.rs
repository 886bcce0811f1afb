//! The kernel's network tables and raw frames: thin I/O around what `core` decides.
//!
//! Sockets belong to the network namespace of the thread that opens them.

mod ethtool;
mod frame;
mod ifreq;
mod netlink;
mod subscription;
mod tables;
mod translate;

pub mod address;
pub mod announce;
pub mod carrier;
pub mod heartbeat;
pub mod link;
pub mod loopback;
pub mod monitor;
pub mod news;
pub mod packet;
pub mod ping;
pub mod reset;
mod route;
pub mod serial;
pub mod solicit;
pub mod sync;
pub mod virtual_link;
pub mod vrrp;

pub use self::netlink::{Netlink, NetlinkError};
