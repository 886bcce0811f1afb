//! `timeouts` of a service: a key for each state that a flow can be in.

use crate::config::Spanned;
use lb_common::flow_state::FlowState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{super::duration::Time, unplaced};
use crate::core;

macro_rules! timeouts {
    ($($key:ident: $state:ident),+ $(,)?) => {
        /// `timeouts = { … }`
        #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(in crate::config) struct Timeouts {
            $($key: Option<Spanned<Time>>,)+
        }

        impl Timeouts {
            /// What is given: key, state, and value.
            pub(in crate::config) fn given(
                &self,
            ) -> impl Iterator<Item = (&'static str, FlowState, &Spanned<Time>)> {
                let all = [$((stringify!($key), FlowState::$state, self.$key.as_ref()),)+];
                all.into_iter()
                    .filter_map(|(key, state, value)| Some((key, state, value?)))
            }
        }

        impl From<&core::timeouts::Timeouts> for Timeouts {
            fn from(timeouts: &core::timeouts::Timeouts) -> Self {
                Self {
                    $($key: Some(unplaced(Time(timeouts.get(FlowState::$state)))),)+
                }
            }
        }
    };
}

timeouts! {
    established: Established,
    syn_sent: SynSent,
    syn_recv: SynRecv,
    fin_wait: FinWait,
    time_wait: TimeWait,
    close: Close,
    close_wait: CloseWait,
    last_ack: LastAck,
    udp: Udp,
}
