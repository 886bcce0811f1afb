//! The demonstration: what the project is for, shown on real connections in one minute.

mod cost;
mod screen;
mod story;
mod summary;

pub use screen::Screen;
pub use story::{Options, run};
pub use summary::{Connections, Share, Summary};
