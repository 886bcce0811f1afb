//! Numbers of the groups' leases, which the packet path knows them by.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi;

use super::super::model::Instance;

/// Which number each group has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseNumbers(BTreeMap<String, u8>);

impl LeaseNumbers {
    /// The numbers under other instances. A group keeps its number, and one that is new gets none that any had up to
    /// now: the packet path may learn of the change before or after who writes the leases.
    ///
    /// With half as many groups as there are leases, or fewer, there is a number for each.
    #[must_use]
    pub fn under(&self, instances: &[Instance]) -> Self {
        let mut taken: BTreeSet<u8> = self.0.values().copied().collect();
        let mut numbers = BTreeMap::new();
        for name in instances.iter().map(Instance::group_name) {
            let known = numbers.get(name).or_else(|| self.0.get(name)).copied();
            let number = known.or_else(|| (0..=u8::MAX).find(|number| !taken.contains(number)));
            if let Some(number) = number {
                taken.insert(number);
                numbers.insert(name.to_owned(), number);
            }
        }
        Self(numbers)
    }

    /// The number of a group.
    #[must_use]
    pub fn of(&self, group: &str) -> Option<u8> {
        self.0.get(group).copied()
    }

    /// All numbers that are in use.
    pub fn all(&self) -> impl Iterator<Item = u8> {
        self.0.values().copied()
    }

    /// What the packet path has to know of the instances' VIPs.
    #[must_use]
    pub fn by_vip(&self, instances: &[Instance]) -> BTreeMap<IpAddr, u32> {
        let vips = instances.iter().flat_map(|instance| {
            let number = self.of(instance.group_name()).map_or(abi::NO_LEASE, u32::from);
            instance.vips.iter().map(move |&vip| (vip, number))
        });
        vips.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::instance, *};

    fn instances(names: &[&str]) -> Vec<Instance> {
        let instances = names.iter().map(|name| instance(name, 1, &["192.0.2.10"]));
        instances.collect()
    }

    #[test]
    fn a_number_stays_with_its_group_and_is_not_given_on_at_once() {
        let first = LeaseNumbers::default().under(&instances(&["a", "b"]));
        assert_eq!((first.of("a"), first.of("b")), (Some(0), Some(1)));
        let second = first.under(&instances(&["c", "b"]));
        assert_eq!(
            (second.of("a"), second.of("b"), second.of("c")),
            (None, Some(1), Some(2))
        );
        let third = second.under(&instances(&["d", "c", "b"]));
        assert_eq!((third.of("d"), third.of("b")), (Some(0), Some(1)));
    }

    #[test]
    fn a_group_has_one_number() {
        let mut both = instances(&["a", "b"]);
        for instance in &mut both {
            instance.group = Some("g".to_owned());
        }
        let numbers = LeaseNumbers::default().under(&both);
        assert_eq!(numbers.all().collect::<Vec<_>>(), [0]);
        assert_eq!(numbers.by_vip(&both).len(), 1);
    }

    #[test]
    fn half_the_leases_can_be_exchanged_for_the_other_half() {
        let names = |prefix: &str| -> Vec<String> { (0..128).map(|n| format!("{prefix}{n}")).collect() };
        let of = |names: &[String]| instances(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let numbers = LeaseNumbers::default().under(&of(&names("a")));
        assert_eq!(numbers.all().count(), 128);
        assert_eq!(numbers.under(&of(&names("b"))).all().count(), 128);
    }
}
