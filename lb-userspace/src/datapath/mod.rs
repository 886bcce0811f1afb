//! The lower half of the datapath: loads the XDP program, keeps its maps, and carries out the steps of a plan.
//!
//! [`Tables`] is the maps as memory, and the steps on them; it works on plain memory too, which is how its tests run.
//! [`Kernel`] loads, pins and attaches, and owns the [`Tables`] that are mapped from the kernel.

mod ages;
mod attach;
mod census;
mod check_path;
mod clock;
pub mod decap;
mod ending;
mod error;
mod fragments;
mod kernel;
mod link;
mod object;
mod pins;
mod region;
mod replica;
mod server_ids;
mod shadow;
mod tables;
mod translations;
mod watch;

pub use ages::{AGES, Ages, ages};
pub use attach::AttachMode;
pub use census::{Census, Holders, TableCensus, census};
pub use check_path::{CheckPath, Lead};
pub use clock::JiffyClock;
pub use ending::{Ending, end, end_flow, ended};
pub use error::DatapathError;
pub use fragments::FragmentPath;
pub use kernel::{BackendTotals, Kernel, Totals};
pub use object::{MapSizes, OBJECT};
pub use pins::{Claim, DEFAULT_DIRECTORY, Pins};
pub use region::{Elements, First, Region};
pub use shadow::{Decision, Known, Living, Shadow};
pub use tables::{StepError, Tables};
pub use translations::{backend_of, silent, sweep};
pub use watch::{Watch, WatchPlan, WatchRing};
