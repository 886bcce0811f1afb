//! Numbers as people read them; in tables only, JSON has them raw.

const COUNTS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
const BYTES: [&str; 6] = [" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"];

const BITS: [&str; 6] = [" kbit", " Mbit", " Gbit", " Tbit", " Pbit", " Ebit"];

/// Counts that are shown to the last digit.
const EXACT: u64 = 10_000;

/// `9999`, `12.3k`, `4.57M`.
pub(super) fn count(value: u64) -> String {
    if value < EXACT {
        return value.to_string();
    }
    scaled(value, 1000.0, &COUNTS)
}

/// `1023 B`, `4.57 MiB`.
pub(super) fn bytes(value: u64) -> String {
    if value < 1024 {
        return format!("{value} B");
    }
    scaled(value, 1024.0, &BYTES)
}

/// `999 bit`, `4.57 Mbit`.
pub(super) fn bits(value: u64) -> String {
    if value < 1000 {
        return format!("{value} bit");
    }
    scaled(value, 1000.0, &BITS)
}

/// Three significant digits.
fn scaled(value: u64, base: f64, units: &[&str]) -> String {
    let mut value = value as f64 / base;
    let mut units = units.iter();
    let mut unit = units.next();
    // What would be rounded up to 1000 belongs to the next unit.
    while value >= 999.5 {
        value /= base;
        unit = units.next();
    }
    let decimals = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{}", unit.unwrap_or(&""))
}

/// `59s`, `12m05s`, `3h12m`, `2d04h`.
pub(super) fn seconds(value: u64) -> String {
    let (minutes, hours, days) = (value / 60, value / 3600, value / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{value}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", value % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// `40ms`, `1.2s`, then as [`seconds`].
pub(super) fn milliseconds(value: u64) -> String {
    match value {
        ..1000 => format!("{value}ms"),
        1000..10_000 => format!("{}.{}s", value / 1000, value % 1000 / 100),
        _ => seconds(value / 1000),
    }
}

/// Part of a whole: `33.3%`. What is not nothing does not look like nothing.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 {
        return "<0.1%".to_owned();
    }
    format!("{:.1}%", share * 100.0)
}

/// `no errors`, `1 error`, `2 errors`.
pub(super) fn plural(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_shown_exactly() {
        for (value, expected) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1.0s"),
            (9999, "9.9s"),
            (10_000, "10s"),
            (61_500, "1m01s"),
        ] {
            assert_eq!(milliseconds(value), expected);
        }
    }

    #[test]
    fn three_digits_say_enough() {
        for (value, expected) in [
            (0, "0"),
            (9999, "9999"),
            (10_000, "10.0k"),
            (12_345, "12.3k"),
            (99_949, "99.9k"),
            (99_950, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (4_567_890, "4.57M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(count(value), expected, "{value}");
        }
        for (value, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (1_048_575, "1.00 MiB"),
            (4_831_838, "4.61 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(value), expected, "{value}");
        }
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (value, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (725, "12m05s"),
            (3599, "59m59s"),
            (3600, "1h00m"),
            (11_520, "3h12m"),
            (86_399, "23h59m"),
            (187_200, "2d04h"),
        ] {
            assert_eq!(seconds(value), expected, "{value}");
        }
    }

    #[test]
    fn little_is_not_nothing() {
        for (share, expected) in [
            (0.0, "0.0%"),
            (0.0001, "<0.1%"),
            (0.0005, "0.1%"),
            (1.0 / 3.0, "33.3%"),
            (1.0, "100.0%"),
        ] {
            assert_eq!(percent(share), expected);
        }
    }
}
