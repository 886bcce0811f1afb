//! The schedulers that a service can have, by the names that IPVS gives them.

use std::{collections::BTreeSet, fmt};

use lb_common::{
    abi::{self, Keeper},
    scheduling::Choice,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Layout;

macro_rules! schedulers {
    ($($(#[doc = $doc:literal])+ $scheduler:ident = $name:literal $(or $alias:literal)?, $layout:ident, $choice:ident;)+) => {
        /// How a backend is chosen for a new flow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Scheduler {
            $($(#[doc = $doc])+ #[serde(rename = $name $(, alias = $alias)?)] $scheduler,)+
        }

        impl Scheduler {
            /// Every scheduler.
            pub const ALL: &'static [Self] = &[$(Self::$scheduler,)+];

            /// Its name in configurations.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$scheduler => $name,)+
                }
            }

            /// How the packet path chooses.
            #[must_use]
            pub const fn choice(self) -> Choice {
                match self {
                    $(Self::$scheduler => Choice::$choice,)+
                }
            }

            /// What the slots of its schedule are.
            const fn kind(self) -> Kind {
                match self {
                    $(Self::$scheduler => Kind::$layout,)+
                }
            }
        }
    };
}

/// [`Layout`] without the size of a table.
enum Kind {
    Maglev,
    Interleaved,
    List,
    ByWeight,
}

schedulers! {
    /// Round robin: one after the other, whatever their weights.
    Rr = "rr", List, Turn;
    /// Weighted round robin: in turn, each as often as its weight says.
    Wrr = "wrr", Interleaved, Turn;
    /// Least connections.
    Lc = "lc", List, Least;
    /// Weighted least connections: the least for its weight.
    Wlc = "wlc", List, WeightedLeast;
    /// Shortest expected delay: the least for its weight, once the flow to come is there.
    Sed = "sed", List, ShortestDelay;
    /// Never queue: one that is idle, or else as `sed`.
    Nq = "nq", List, NeverQueue;
    /// Locality-based least connections: a destination keeps its backend until that is busy.
    Lblc = "lblc", List, WeightedLeast;
    /// The same with replication: a destination has more than one backend where those that it has are busy.
    Lblcr = "lblcr", List, WeightedLeast;
    /// Source hashing.
    Sh = "sh", Interleaved, Hash;
    /// Destination hashing.
    Dh = "dh", Interleaved, Hash;
    /// Weighted consistent hashing after the Maglev paper (NSDI 2016, section 3.4).
    Maglev = "maglev" or "mh", Maglev, Hash;
    /// Failover: the heaviest.
    Fo = "fo", ByWeight, First;
    /// Overflow: the heaviest that has no more active connections than its weight.
    Ovf = "ovf", ByWeight, Spill;
    /// Power of two choices: the less busy of two that are drawn at random, by weight.
    Twos = "twos", Interleaved, TwoDraws;
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Scheduler {
    /// Whether a hash chooses.
    #[must_use]
    pub fn hashes(self) -> bool {
        self.choice() == Choice::Hash
    }

    /// Whether slots are shares: a backend gets as many new flows as it has slots.
    #[must_use]
    pub fn has_shares(self) -> bool {
        matches!(self.choice(), Choice::Hash | Choice::Turn)
    }

    /// Whether a weight is a number of connections, and no share.
    #[must_use]
    pub fn counts_by_weight(self) -> bool {
        matches!(self, Self::Ovf | Self::Lblc | Self::Lblcr)
    }

    /// Who keeps the backend that was chosen, where that is not for the configuration to say.
    #[must_use]
    pub const fn keeper(self) -> Option<Keeper> {
        match self {
            Self::Lblc => Some(Keeper::Destination),
            Self::Lblcr => Some(Keeper::Destinations),
            Self::Rr
            | Self::Wrr
            | Self::Lc
            | Self::Wlc
            | Self::Sed
            | Self::Nq
            | Self::Sh
            | Self::Dh
            | Self::Maglev
            | Self::Fo
            | Self::Ovf
            | Self::Twos => None,
        }
    }

    /// Whether it has a table of a size that can be set.
    #[must_use]
    pub fn has_table_size(self) -> bool {
        matches!(self.kind(), Kind::Maglev)
    }

    /// What its hash is over unless the configuration says otherwise.
    #[must_use]
    pub fn usual_hash(self) -> BTreeSet<HashField> {
        match self {
            Self::Sh => BTreeSet::from([HashField::Source]),
            Self::Dh => BTreeSet::from([HashField::Destination]),
            _ => BTreeSet::from(HashField::ALL),
        }
    }
}

/// A field of a flow that a hash is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HashField {
    /// The client's address.
    Source,
    /// The client's port.
    SourcePort,
    /// The VIP.
    Destination,
    /// The VIP's port, and the protocol.
    DestinationPort,
}

impl HashField {
    /// Every field.
    pub const ALL: [Self; 4] = [
        Self::Source,
        Self::SourcePort,
        Self::Destination,
        Self::DestinationPort,
    ];
}

/// How a service chooses backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// Slots of a Maglev table: a prime. Others have as many as they need.
    pub table_size: u32,
    /// What the hash is over, where one chooses; not empty.
    pub hash_on: BTreeSet<HashField>,
    /// Whether a new flow goes to another backend where the one that its hash chooses is full; else it is refused.
    pub fallback: bool,
}

impl Scheduling {
    /// A scheduler with all that it usually has.
    #[must_use]
    pub fn new(scheduler: Scheduler, table_size: u32) -> Self {
        Self {
            scheduler,
            table_size,
            hash_on: scheduler.usual_hash(),
            fallback: false,
        }
    }

    /// What the slots of its schedule are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        match self.scheduler.kind() {
            Kind::Maglev => Layout::Maglev(self.table_size),
            Kind::Interleaved => Layout::Interleaved,
            Kind::List => Layout::List,
            Kind::ByWeight => Layout::ByWeight,
        }
    }

    /// What the hash is over, as the packet path has it.
    #[must_use]
    pub fn hash_fields(&self) -> abi::HashFields {
        let [source, source_port, destination, destination_port] =
            HashField::ALL.map(|field| self.hash_on.contains(&field));
        abi::HashFields::new(source, source_port, destination, destination_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ipvs() {
        let names: Vec<_> = Scheduler::ALL.iter().map(|scheduler| scheduler.name()).collect();
        assert_eq!(
            names,
            [
                "rr", "wrr", "lc", "wlc", "sed", "nq", "lblc", "lblcr", "sh", "dh", "maglev", "fo", "ovf",
                "twos"
            ]
        );
        for &scheduler in Scheduler::ALL {
            let json = serde_json::to_string(&scheduler).unwrap();
            assert_eq!(json, format!("\"{scheduler}\""));
            assert_eq!(serde_json::from_str::<Scheduler>(&json).unwrap(), scheduler);
        }
        assert_eq!(
            serde_json::from_str::<Scheduler>("\"mh\"").unwrap(),
            Scheduler::Maglev
        );
    }

    #[test]
    fn usual_hashes() {
        let fields = |scheduler| Scheduling::new(scheduler, 251).hash_fields();
        assert!(fields(Scheduler::Maglev).is_all());
        let sh = fields(Scheduler::Sh);
        assert!(sh.source() && !sh.destination() && sh.tail_mask() == 0);
        let dh = fields(Scheduler::Dh);
        assert!(!dh.source() && dh.destination() && dh.tail_mask() == 0);
    }
}
