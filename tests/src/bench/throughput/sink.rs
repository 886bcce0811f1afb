//! Where a generator's packets end, and what they tell there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData},
    programs::xdp::{XdpLinkId, XdpMode},
};

use crate::{
    Host,
    bench::{
        front::{OBJECT, load, take_map, xdp},
        histogram::{BUCKETS, least},
        path::Arrivals,
    },
};

// SAFETY: 64-bit words only.
unsafe impl Pod for Arrivals {}

/// The sink's program on an interface.
pub struct Sink {
    arrivals: Array<MapData, Arrivals>,
    delays: Array<MapData, u64>,
    /// Keeps the program where it is.
    _ebpf: Ebpf,
    _link: XdpLinkId,
}

impl Sink {
    /// Ends all IPv4 packets that come to this interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(host: &Host, interface: &str) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .context("the kernel refused the benchmark's maps (are you root?)")?;
        load(&mut ebpf, "sink")?;
        let link = host.enter(|| {
            xdp(&mut ebpf, "sink")?
                .attach(interface, XdpMode::Driver)
                .context("attaching the sink")
        })??;
        Ok(Self {
            arrivals: take_map(&mut ebpf, "ARRIVALS")?.try_into()?,
            delays: take_map(&mut ebpf, "DELAYS")?.try_into()?,
            _ebpf: ebpf,
            _link: link,
        })
    }

    /// Packets so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn packets(&self) -> Result<u64> {
        Ok(self.arrivals.get(&0, 0)?.packets)
    }

    /// Notes from now on how long packets were under way, which must be stamped, or does so no more.
    ///
    /// # Errors
    /// When the maps cannot be written.
    pub fn note_delays(&mut self, are_stamped: bool) -> Result<()> {
        for bucket in 0..BUCKETS as u32 {
            self.delays.set(bucket, 0, 0)?;
        }
        let arrivals = Arrivals {
            are_stamped: are_stamped.into(),
            ..self.arrivals.get(&0, 0)?
        };
        Ok(self.arrivals.set(0, arrivals, 0)?)
    }

    /// How long packets were under way.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn delays(&self) -> Result<Delays> {
        let counts = (0..BUCKETS as u32).map(|bucket| self.delays.get(&bucket, 0));
        Ok(Delays(counts.collect::<Result<_, _>>()?))
    }
}

/// A histogram of delays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays(Vec<u64>);

impl Delays {
    /// The delay that this share of the packets does not exceed, to 3 %; `None` if there were none.
    #[must_use]
    pub fn at(&self, share: f64) -> Option<Duration> {
        let total: u64 = self.0.iter().sum();
        let wanted = ((share * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let bucket = bucket.filter(|_| total > 0)?;
        Some(Duration::from_nanos(least(bucket as u32).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::histogram::bucket;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        assert_eq!(bucket(u32::MAX) as usize, BUCKETS - 1);
        for number in 0..BUCKETS as u32 {
            assert_eq!(bucket(least(number)), number);
            if number > 0 {
                assert_eq!(bucket(least(number) - 1), number - 1);
                let width = least(number) - least(number - 1);
                assert!(width == 1 || f64::from(width) / f64::from(least(number)) < 0.032);
            }
        }
    }

    #[test]
    fn percentiles_are_read_from_the_buckets() {
        let mut delays = Delays(vec![0; BUCKETS]);
        assert_eq!(delays.at(0.5), None);
        delays.0[bucket(1000) as usize] = 98;
        delays.0[bucket(50_000) as usize] = 2;
        assert_eq!(delays.at(0.5), delays.at(0.98));
        let (middle, last) = (delays.at(0.5).unwrap(), delays.at(0.99).unwrap());
        assert!((970..=1000).contains(&middle.as_nanos()), "{middle:?}");
        assert!((48_500..=50_000).contains(&last.as_nanos()), "{last:?}");
    }
}
