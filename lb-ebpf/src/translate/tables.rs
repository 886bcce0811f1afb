//! The translation tables as memory that holds buckets.

use lb_common::flow_table::{Bucket, Table, Translation4, Translation6};

use crate::{
    maps::{TRANSLATIONS_V4, TRANSLATIONS_V6},
    settings::settings,
};

/// The IPv4 translation table.
pub(crate) struct Translations4;

impl Table for Translations4 {
    type Entry = Translation4;

    #[inline(always)]
    fn mask(&self) -> u32 {
        settings().translation_mask_v4
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket<Translation4>> {
        TRANSLATIONS_V4.get(number)
    }
}

/// The IPv6 translation table.
pub(crate) struct Translations6;

impl Table for Translations6 {
    type Entry = Translation6;

    #[inline(always)]
    fn mask(&self) -> u32 {
        settings().translation_mask_v6
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket<Translation6>> {
        TRANSLATIONS_V6.get(number)
    }
}
