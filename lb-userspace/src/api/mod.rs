//! What the daemon tells.

/// Socket on which the daemon answers unless the operator says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tandem/tandem.sock";
