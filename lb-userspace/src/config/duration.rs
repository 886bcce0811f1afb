//! Times, as people write them: `"250ms"`, `"2s"`, `"10m"`, `"1h"`, `"7d"`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names of units, and their milliseconds; longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A time in whole milliseconds: in the file a string of a whole number and one of the units ms, s, m, h and d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// The text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time: expected a whole number and one of the units ms, s, m, h and d, such as \"250ms\" or \"10m\""
)]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotATime)?;
        let (number, unit) = text.split_at(unit);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotATime)?;
        let number: u64 = number.parse().map_err(|_| NotATime)?;
        let milliseconds = number.checked_mul(*factor).ok_or(NotATime)?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

/// In the largest unit that needs no fraction.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, factor): &&(&str, u64)| milliseconds.is_multiple_of(*factor) && milliseconds > 0;
        let (unit, factor) = UNITS.iter().find(fits).unwrap_or(&("s", 1000));
        write!(f, "{}{unit}", milliseconds / factor)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "description": "A whole number and one of the units ms, s, m, h and d, such as \"250ms\" or \"10m\".",
        })
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("2s", Some(2000)),
            ("10m", Some(600_000)),
            ("1h", Some(3_600_000)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("2", None),
            ("s", None),
            ("2 s", None),
            ("-2s", None),
            ("1.5s", None),
            ("2S", None),
            ("2us", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            let time = milliseconds.map(|milliseconds| Time(Duration::from_millis(milliseconds)));
            assert_eq!(text.parse(), time.ok_or(NotATime), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(milliseconds in prop_oneof![0..10_000_u64, any::<u32>().prop_map(|n| u64::from(n) * 60_000)]) {
            let time = Time(Duration::from_millis(milliseconds));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
