//! What the daemon tells: HTTP and JSON on a unix socket.
//!
//! [`types`] is what is told, [`query`] how the daemon is asked for it. The daemon's loop answers [`query::Query`]s and
//! knows nothing of HTTP.

pub mod query;
pub mod types;

/// Socket on which the daemon answers unless the operator says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tandem/tandem.sock";
