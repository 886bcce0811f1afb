//! How long flows of a service live without a packet, by state.

use std::time::Duration;

use lb_common::{abi, flow_state::FlowState};
use serde::{Deserialize, Serialize};

/// A timeout for each state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timeouts([Duration; FlowState::ALL.len()]);

impl Default for Timeouts {
    /// Those of IPVS.
    fn default() -> Self {
        Self(FlowState::ALL.map(|state| Duration::from_secs(state.default_timeout().into())))
    }
}

impl Timeouts {
    /// Shortest timeout: the flow tables are walked once a second.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// Longest timeout: in jiffies (1000 a second at most) it fits into half of 32 bits.
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

    /// The timeout of flows in this state.
    #[must_use]
    pub fn get(&self, state: FlowState) -> Duration {
        self.0[state as usize]
    }

    /// Changes the timeout of flows in this state.
    pub fn set(&mut self, state: FlowState, timeout: Duration) {
        self.0[state as usize] = timeout;
    }

    /// As the packet path has them, of whose time `hz` units make a second.
    #[must_use]
    pub fn in_jiffies(&self, hz: u32) -> abi::Timeouts {
        let mut jiffies = [0; FlowState::LIMIT];
        for (to, from) in jiffies.iter_mut().zip(self.0) {
            let exact = from.as_millis() * u128::from(hz) / 1000;
            *to = u32::try_from(exact).unwrap_or(u32::MAX / 2);
        }
        jiffies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_ipvs() {
        let timeouts = Timeouts::default();
        for (state, seconds) in [
            (FlowState::Established, 900),
            (FlowState::SynRecv, 60),
            (FlowState::FinWait, 120),
            (FlowState::Close, 10),
            (FlowState::Udp, 300),
        ] {
            assert_eq!(timeouts.get(state), Duration::from_secs(seconds));
            assert_eq!(timeouts.in_jiffies(250)[state as usize], seconds as u32 * 250);
        }
    }

    #[test]
    fn the_longest_fits_at_the_highest_rate() {
        let mut timeouts = Timeouts::default();
        timeouts.set(FlowState::Udp, Timeouts::LONGEST);
        let jiffies = timeouts.in_jiffies(1000)[FlowState::Udp as usize];
        assert_eq!(jiffies, 604_800_000);
        assert!(jiffies < u32::MAX / 2);
        timeouts.set(FlowState::Udp, Timeouts::SHORTEST);
        assert_eq!(timeouts.in_jiffies(100)[FlowState::Udp as usize], 100);
    }
}
