//! Finds a toolchain that can build the XDP programs, and builds them from source; for build scripts.
//!
//! ```no_run
//! // build.rs; the object is then `concat!(env!("OUT_DIR"), "/tandem-xdp")`.
//! lb_ebpf_builder::build_or_exit(&["tandem-xdp"]);
//! ```

mod build;
mod environment;
mod toolchain;

pub use build::{BuildError, HOST_TARGET, build, build_or_exit};
pub use toolchain::{Linker, Missing, Toolchain, find_linker, find_toolchain, installed_nightlies};
