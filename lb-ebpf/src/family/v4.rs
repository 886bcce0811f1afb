//! IPv4.

use lb_common::{
    abi::{Destination, Frontend4, FrontendBucket, FrontendKey4, HashFields, Persistence},
    flow_table::Entry4,
    hash::Seed,
    packet::FlowKey4,
};

use super::{Family, V4};
use crate::{
    flow::{
        Parcel, tandem_enter4, tandem_flood4, tandem_place4, tandem_recall4, tandem_remember4, tandem_settle4,
    },
    flow_tables::Flows4,
    maps::{FRONTENDS_V4, PARCEL_V4},
};

impl Family for V4 {
    const IS_V6: bool = false;
    type Key = FlowKey4;
    type Flow = Entry4;
    type Frontend = Frontend4;
    type Flows = Flows4;

    #[inline(always)]
    fn flows() -> Flows4 {
        Flows4
    }

    #[inline(always)]
    fn frontends(bucket: u32) -> Option<&'static FrontendBucket<Frontend4>> {
        FRONTENDS_V4.get(bucket)
    }

    #[inline(always)]
    fn hash(key: &FlowKey4, seed: &Seed) -> u64 {
        key.hash(seed)
    }

    #[inline(always)]
    fn masked(key: &FlowKey4, fields: HashFields) -> FlowKey4 {
        key.masked(fields)
    }

    #[inline(always)]
    fn template(key: &FlowKey4, persistence: Persistence, replica: u32) -> FlowKey4 {
        key.template(persistence, replica)
    }

    #[inline(always)]
    fn flood(parcel: *const Parcel<FlowKey4>) -> u64 {
        tandem_flood4(parcel)
    }

    #[inline(always)]
    fn recall(parcel: *const Parcel<FlowKey4>, replica: u32) -> u32 {
        tandem_recall4(parcel, replica)
    }

    #[inline(always)]
    fn remember(parcel: *const Parcel<FlowKey4>, backend: u32, replica: u32) -> u32 {
        tandem_remember4(parcel, backend, replica)
    }

    #[inline(always)]
    fn parcel() -> Option<&'static mut Parcel<FlowKey4>> {
        // SAFETY: this CPU's own; packets are handled one after the other.
        PARCEL_V4.get_ptr_mut(0).map(|parcel| unsafe { &mut *parcel })
    }

    #[inline(always)]
    fn settle(parcel: *mut Parcel<FlowKey4>) -> u64 {
        tandem_settle4(parcel)
    }

    #[inline(always)]
    fn place(parcel: *mut Parcel<FlowKey4>) -> u64 {
        tandem_place4(parcel)
    }

    #[inline(always)]
    fn enter(parcel: *const Parcel<FlowKey4>, backend: u32, target: u64) -> u64 {
        tandem_enter4(parcel, backend, target)
    }

    #[inline(always)]
    fn frontend(key: &FlowKey4) -> FrontendKey4 {
        FrontendKey4::new(
            (key.words[0] >> 32) as u32,
            key.words[1] as u32,
            (key.words[1] >> 32) as u8,
        )
    }

    #[inline(always)]
    fn destination(key: &FlowKey4) -> Destination {
        let [addresses, tail] = key.words;
        let port = u16::from_be((tail >> 16) as u16);
        Destination::v4((addresses >> 32) as u32, port, (tail >> 32) as u8)
    }
}
