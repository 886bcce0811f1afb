//! What the tables take.

use lb_common::{
    abi::{
        AddressSet, BackendCounters, BackendEntry, Counters, Frontend4, Frontend6, FrontendBucket, Pool,
        Runtime, ServiceEntry, ServiceName, SlotLine, Strangers, TimeoutTable,
    },
    flow_table::{Bucket, Entry4, Entry6, Translation4, Translation6},
};

use crate::datapath::MapSizes;

/// Bytes of kernel memory for maps of these sizes on a machine with so many CPUs.
pub(super) fn bytes(sizes: &MapSizes, cpus: u64) -> u64 {
    let of = |elements: u32, size: usize| u64::from(elements) * size as u64;
    let frontend_buckets = sizes.frontends * 2;
    of(sizes.flows_v4, size_of::<Bucket<Entry4>>())
        + of(sizes.flows_v6, size_of::<Bucket<Entry6>>())
        + of(sizes.translations_v4, size_of::<Bucket<Translation4>>())
        + of(sizes.translations_v6, size_of::<Bucket<Translation6>>())
        + of(sizes.services, size_of::<Pool>())
        + of(sizes.slot_lines, size_of::<SlotLine>())
        + of(sizes.backends, size_of::<BackendEntry>())
        + of(
            sizes.services,
            size_of::<ServiceEntry>() + size_of::<ServiceName>(),
        )
        + of(
            frontend_buckets,
            size_of::<FrontendBucket<Frontend4>>() + size_of::<FrontendBucket<Frontend6>>(),
        )
        + of(
            1,
            size_of::<AddressSet>()
                + size_of::<Strangers>()
                + size_of::<Runtime>()
                + size_of::<TimeoutTable>(),
        )
        + cpus * (of(sizes.backends, size_of::<BackendCounters>()) + of(1, size_of::<Counters>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Limits;

    #[test]
    fn a_flow_takes_what_is_documented() {
        let bytes = |limits: &Limits| bytes(&MapSizes::new(limits), 2);
        let base = Limits::default();
        let flows = Limits {
            flows_v4: base.flows_v4 * 4,
            ..base
        };
        assert_eq!(bytes(&flows) - bytes(&base), 3 * 32 * u64::from(base.flows_v4));
        let flows = Limits {
            flows_v6: base.flows_v6 * 2,
            ..base
        };
        assert_eq!(bytes(&flows) - bytes(&base), 64 * u64::from(base.flows_v6));
        // 32 MiB, 16 MiB and 16 MiB, and some more for the rest.
        let total = bytes(&base) >> 20;
        assert!((64..90).contains(&total), "{total} MiB");
    }
}
