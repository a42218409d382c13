//! Times for people.

use std::fmt;

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidegate_core::Timestamp;

/// A time that travels as RFC 3339 text, and is shown to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0.0) {
            Some(at) => write!(f, "{}", at.format("%Y-%m-%d %H:%M UTC")),
            None => write!(f, "{} ms", self.0.0),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = DateTime::from_timestamp_millis(self.0.0).unwrap_or_default();
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A year that has four digits only in the zone it was told in could not be written in UTC, and not read back.
        let at = DateTime::parse_from_rfc3339(&text).ok().map(|at| at.with_timezone(&Utc));
        let at = at.filter(|at| (0..=9_999).contains(&at.year()));
        let expected = "expected a time like `2026-11-21T09:30:00Z` (RFC 3339)";
        at.map(|at| Self(Timestamp(at.timestamp_millis()))).ok_or_else(|| D::Error::custom(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_can_be_written() {
        let read = |text: &str| serde_json::from_value::<Moment>(text.into());
        assert_eq!(read("2026-01-01T01:00:00+01:00").unwrap(), Moment(Timestamp(1_767_225_600_000)));
        for odd in ["2026-01-01", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
