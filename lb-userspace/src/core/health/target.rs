//! What a probe is run against, and how it ended.

use std::{net::IpAddr, time::Duration};

use super::Probe;
use crate::core::{
    backend::{FULL, Factor, Says},
    model::Encapsulation,
};

/// What a probe is run against. Two services that ask the same of the same target share its probe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeTarget {
    /// Address that is asked.
    pub address: IpAddr,
    /// Port that is asked; 0 where there are no ports.
    pub port: u16,
    /// The way of clients that it is asked by; `None`: by its own address.
    pub route: Option<Route>,
    /// What is asked.
    pub probe: Probe,
}

/// A way of clients: to a VIP, in frames for one backend alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The VIP.
    pub vip: IpAddr,
    /// The tunnel: its form, and the backend at its end. `None`: there is none.
    pub tunnel: Option<(Encapsulation, IpAddr)>,
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Success(Success),
    /// Otherwise; why, as a sentence.
    Failure(String),
}

/// How much of its weight a backend wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// A part of the configured weight.
    Part(Factor),
    /// This weight instead of the configured one.
    Weight(u32),
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self::Part(FULL);

    /// As a part of `weight`.
    #[must_use]
    pub fn of(self, weight: u32) -> Factor {
        match self {
            Self::Part(part) => part,
            Self::Weight(_) if weight == 0 => FULL,
            Self::Weight(wanted) => {
                let permille = u64::from(wanted) * 1000 / u64::from(weight);
                // Not nothing, if it is not.
                let permille = permille.max(u64::from(wanted > 0));
                Factor::permille(u32::try_from(permille).unwrap_or(u32::MAX))
            }
        }
    }
}

/// A good end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// How long it took.
    pub took: Duration,
    /// What the backend wants, if it says.
    pub says: Says,
    /// How much of its weight, if it says.
    pub weight: Share,
    /// What is to be said of it all the same: a certificate that ends soon.
    pub warning: Option<String>,
}

impl Outcome {
    /// Whether it is good.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        match self {
            Self::Success(_) => true,
            Self::Failure(_) => false,
        }
    }
}
