//! The lab: network namespaces with real servers and clients, for end-to-end tests, the demo and benches.
//!
//! A [`Lab`] holds switches and hosts. A [`Host`] runs programs and closures in its own network; [`server`] and
//! [`client`] give it something to do, [`capture`] shows what was on the wire, and [`topology`] has ready-made labs.
//!
//! ```no_run
//! let lab = lb_tests::Lab::new("example")?;
//! let public = lab.switch("public")?;
//! let client = lab.host("client1")?;
//! client.connect(&public, &["192.0.2.100/24", "2001:db8::c:1/64"])?;
//! let output = client.command("ping")?.args(["-c1", "192.0.2.10"]).output()?;
//! # anyhow::Ok(())
//! ```

pub mod bench;
mod big_file;
pub mod cable;
pub mod capture;
pub mod certificate;
mod cleanup;
pub mod client;
pub mod demo;
mod device;
mod error;
mod farewell;
mod fault;
pub mod fragments;
mod host;
mod interface;
mod ip;
pub mod keepalived;
mod lab;
mod limits;
pub mod neighbour;
mod netns;
mod packet_socket;
mod process;
mod process_table;
pub mod prog_run;
pub mod serial;
pub mod server;
mod switch;
pub mod tandem;
pub mod tool;
pub mod topology;
pub mod wait;
pub mod xdp;

pub use big_file::BigFile;
pub use capture::Capture;
pub use error::LabError;
pub use host::Host;
pub use interface::{Address, Interface};
pub use keepalived::Keepalived;
pub use lab::Lab;
pub use netns::Namespace;
pub use packet_socket::PacketSocket;
pub use process::{Process, ProcessError};
pub use switch::Switch;
pub use tandem::Tandem;
pub use wait::{wait_for, wait_for_some};
