//! Between jiffies, in which flow tables count, and the cluster's milliseconds.

use lb_common::wire::sync::Stamp;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticks {
    /// Jiffies in a second.
    pub(super) hz: u32,
    /// Jiffies now.
    pub(super) now: u64,
    /// The cluster's milliseconds now.
    pub(super) now_ms: u64,
}

impl Ticks {
    /// Jiffies since `last_seen`; one from the future is no time at all.
    pub(super) fn idle(self, last_seen: u32) -> u32 {
        let idle = (self.now as u32).wrapping_sub(last_seen);
        if idle > u32::MAX / 2 { 0 } else { idle }
    }

    pub(super) fn ms(self, jiffies: u64) -> u64 {
        jiffies * 1000 / u64::from(self.hz)
    }

    pub(super) fn jiffies(self, ms: u64) -> u64 {
        ms.saturating_mul(u64::from(self.hz)) / 1000
    }

    /// The moment of a packet, as the cluster counts.
    pub(super) fn stamp(self, last_seen: u32) -> Stamp {
        Stamp::at(self.now_ms.saturating_sub(self.ms(self.idle(last_seen).into())))
    }

    /// The second of a packet, on the jiffy clock.
    pub(super) fn second(self, last_seen: u32) -> u16 {
        (self.now.saturating_sub(self.idle(last_seen).into()) / u64::from(self.hz)) as u16
    }

    /// What an entry has whose last packet came `ms` milliseconds ago.
    pub(super) fn last_seen(self, ms: u64) -> u32 {
        self.now.saturating_sub(self.jiffies(ms)) as u32
    }

    /// What an entry has whose first packet came `ms` milliseconds ago.
    pub(super) fn created(self, ms: u64) -> u32 {
        (self.now.saturating_sub(self.jiffies(ms)) >> 8) as u32
    }

    /// How long ago an entry with this mark was made, in milliseconds.
    pub(super) fn age_ms(self, created: u32) -> u64 {
        let made = u64::from(created) << 8;
        // The mark has 40 bits of the clock.
        let now = self.now & ((1 << 40) - 1);
        self.ms(now.saturating_sub(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        let ticks = Ticks {
            hz: 250,
            now: 0x1_0000_0000 + 25_000,
            now_ms: 5_000_000,
        };
        let seen = ticks.last_seen(60_000);
        assert_eq!(ticks.idle(seen), 15_000);
        assert_eq!(ticks.stamp(seen), Stamp::at(4_940_000));
        assert_eq!(
            ticks.idle(ticks.now as u32 + 3),
            0,
            "another CPU is a jiffy ahead"
        );
        assert_eq!(
            ticks.second(ticks.last_seen(0)).wrapping_sub(ticks.second(seen)),
            60
        );
        let age = ticks.age_ms(ticks.created(3_600_000));
        assert!((3_600_000..3_602_000).contains(&age), "{age}");
    }
}
