//! The demonstration: what the project is for, shown on real connections in one minute.

mod backends;
mod cost;
pub mod pair;
mod screen;
mod story;
mod summary;

pub use backends::{Drain, Failure};
pub use pair::{Failover, Handover};
pub use screen::Screen;
pub use story::{Options, run};
pub use summary::{Connections, Share, Summary};
