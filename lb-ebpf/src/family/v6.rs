//! IPv6.

use lb_common::{
    abi::{Destination, Frontend6, FrontendBucket, FrontendKey6, HashFields, Persistence},
    flow_table::Entry6,
    hash::Seed,
    packet::FlowKey6,
};

use super::{Family, V6};
use crate::{
    flow::{
        Parcel, tandem_enter6, tandem_flood6, tandem_place6, tandem_recall6, tandem_remember6, tandem_settle6,
    },
    flow_tables::Flows6,
    maps::{FRONTENDS_V6, PARCEL_V6},
};

impl Family for V6 {
    const IS_V6: bool = true;
    type Key = FlowKey6;
    type Flow = Entry6;
    type Frontend = Frontend6;
    type Flows = Flows6;

    #[inline(always)]
    fn flows() -> Flows6 {
        Flows6
    }

    #[inline(always)]
    fn frontends(bucket: u32) -> Option<&'static FrontendBucket<Frontend6>> {
        FRONTENDS_V6.get(bucket)
    }

    #[inline(always)]
    fn hash(key: &FlowKey6, seed: &Seed) -> u64 {
        key.hash(seed)
    }

    #[inline(always)]
    fn masked(key: &FlowKey6, fields: HashFields) -> FlowKey6 {
        key.masked(fields)
    }

    #[inline(always)]
    fn template(key: &FlowKey6, persistence: Persistence, replica: u32) -> FlowKey6 {
        key.template(persistence, replica)
    }

    #[inline(always)]
    fn flood(parcel: *const Parcel<FlowKey6>) -> u64 {
        tandem_flood6(parcel)
    }

    #[inline(always)]
    fn recall(parcel: *const Parcel<FlowKey6>, replica: u32) -> u32 {
        tandem_recall6(parcel, replica)
    }

    #[inline(always)]
    fn remember(parcel: *const Parcel<FlowKey6>, backend: u32, replica: u32) -> u32 {
        tandem_remember6(parcel, backend, replica)
    }

    #[inline(always)]
    fn parcel() -> Option<&'static mut Parcel<FlowKey6>> {
        // SAFETY: this CPU's own; packets are handled one after the other.
        PARCEL_V6.get_ptr_mut(0).map(|parcel| unsafe { &mut *parcel })
    }

    #[inline(always)]
    fn settle(parcel: *mut Parcel<FlowKey6>) -> u64 {
        tandem_settle6(parcel)
    }

    #[inline(always)]
    fn place(parcel: *mut Parcel<FlowKey6>) -> u64 {
        tandem_place6(parcel)
    }

    #[inline(always)]
    fn enter(parcel: *const Parcel<FlowKey6>, backend: u32, target: u64) -> u64 {
        tandem_enter6(parcel, backend, target)
    }

    #[inline(always)]
    fn frontend(key: &FlowKey6) -> FrontendKey6 {
        FrontendKey6::new(
            [key.words[3], key.words[4]],
            key.words[0] as u32,
            (key.words[0] >> 32) as u8,
        )
    }

    #[inline(always)]
    fn destination(key: &FlowKey6) -> Destination {
        let [tail, _, _, first, second] = key.words;
        let port = u16::from_be((tail >> 16) as u16);
        Destination::v6([first, second], port, (tail >> 32) as u8)
    }
}
