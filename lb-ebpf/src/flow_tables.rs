//! The flow tables, as [`lb_common::flow_table`] wants them.

use lb_common::flow_table::{Bucket, Entry4, Entry6, Table};

use crate::{
    maps::{FLOWS_V4, FLOWS_V6},
    settings::settings,
};

/// The IPv4 flow table.
pub(crate) struct Flows4;

/// The IPv6 flow table.
pub(crate) struct Flows6;

impl Table for Flows4 {
    type Entry = Entry4;

    #[inline(always)]
    fn mask(&self) -> u32 {
        settings().flow_mask_v4
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket<Entry4>> {
        FLOWS_V4.get(number)
    }
}

impl Table for Flows6 {
    type Entry = Entry6;

    #[inline(always)]
    fn mask(&self) -> u32 {
        settings().flow_mask_v6
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket<Entry6>> {
        FLOWS_V6.get(number)
    }
}
