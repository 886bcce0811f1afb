//! Where a generator's packets end, and what they tell there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData, PerCpuArray},
    programs::xdp::XdpMode,
};

use super::{
    front::{InStep, OBJECT, load, take_map, xdp},
    histogram::{BUCKETS, least},
    path::Admission,
};

// SAFETY: integers without padding.
unsafe impl Pod for Admission {}

/// Which packets end here; all others go on to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// All of IPv4.
    Ipv4,
    /// All of IPv6.
    Ipv6,
    /// Those with a template's mark: where others come as well.
    Marked(u64),
}

impl Admit {
    fn admission(self) -> Admission {
        let (ether_type, mark) = match self {
            Self::Ipv4 => (0x0800_u16, 0),
            Self::Ipv6 => (0x86DD, 0),
            Self::Marked(mark) => (0, mark),
        };
        Admission {
            mark,
            ether_type: ether_type.to_be().into(),
            are_stamped: 0,
        }
    }
}

/// The sink's program on an interface, for as long as this lives.
pub struct Sink {
    arrivals: PerCpuArray<MapData, u64>,
    delays: PerCpuArray<MapData, u64>,
    settings: Array<MapData, Admission>,
    /// Keeps the program where it is.
    ebpf: Ebpf,
}

impl Sink {
    /// Ends packets that come to this interface of the calling thread's network.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(interface: &str, admit: Admit, mode: XdpMode) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .context("the kernel refused the benchmark's maps (are you root?)")?;
        let mut settings: Array<_, Admission> = take_map(&mut ebpf, "ADMISSION")?.try_into()?;
        settings.set(0, admit.admission(), 0)?;
        load(&mut ebpf, "sink")?;
        xdp(&mut ebpf, "sink")?
            .attach(interface, mode)
            .with_context(|| format!("attaching a program that counts to {interface}"))?;
        Ok(Self {
            arrivals: take_map(&mut ebpf, "ARRIVALS")?.try_into()?,
            delays: take_map(&mut ebpf, "DELAYS")?.try_into()?,
            settings,
            ebpf,
        })
    }

    /// What a generator sends by, once, that has at most `window` packets under way to this sink where it has no rate to keep.
    /// `cpu` is the one that the sink's interface is polled on.
    ///
    /// # Errors
    /// When the kernel refuses, or it was done before.
    pub fn in_step(&mut self, window: u32, cpu: usize) -> Result<InStep> {
        InStep::new(&mut self.ebpf, window, cpu)
    }

    /// Packets so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn packets(&self) -> Result<u64> {
        Ok(self.arrivals.get(&0, 0)?.iter().sum())
    }

    /// Notes from now on how long packets were under way, which must be stamped, or does so no more.
    ///
    /// # Errors
    /// When the maps cannot be written.
    pub fn note_delays(&mut self, are_stamped: bool) -> Result<()> {
        let nothing = self.delays.get(&0, 0)?.iter().map(|_| 0).collect::<Vec<u64>>();
        for bucket in 0..BUCKETS as u32 {
            self.delays.set(bucket, nothing.clone().try_into()?, 0)?;
        }
        let admission = Admission {
            are_stamped: are_stamped.into(),
            ..self.settings.get(&0, 0)?
        };
        Ok(self.settings.set(0, admission, 0)?)
    }

    /// How long packets were under way.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn delays(&self) -> Result<Delays> {
        let count = |bucket| Ok(self.delays.get(&bucket, 0)?.iter().sum());
        Ok(Delays((0..BUCKETS as u32).map(count).collect::<Result<_>>()?))
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
