//! Times that people and APIs also write.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidegate_core::Timestamp;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::times::rfc3339;

/// A time that travels as RFC 3339 text in UTC, to the millisecond: `2026-11-21T09:30:00.125Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-11-21T09:30:00.125Z"))]
pub struct Moment(pub Timestamp);

impl Moment {
    fn parse(text: &str) -> Option<Self> {
        // A year that has four digits only in the zone it was told in could not be written in UTC, and not read back.
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
        let ms = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
        (0..=9_999).contains(&time.year()).then_some(Self(Timestamp(ms)))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected a time like `2026-11-21T09:30:00Z` (RFC 3339)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_back() {
        for ms in [0, 1, -1, 999, 1_767_225_600_000, 253_402_300_799_999] {
            let moment = Moment(Timestamp(ms));
            assert_eq!(Moment::parse(&moment.to_string()), Some(moment), "{moment}");
        }
        assert_eq!(Moment(Timestamp(1_767_225_600_125)).to_string(), "2026-01-01T00:00:00.125Z");
        assert_eq!(Moment::parse("2026-01-01T01:00:00+01:00"), Some(Moment(Timestamp(1_767_225_600_000))));
        for odd in ["2026-01-01", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
            assert_eq!(Moment::parse(odd), None, "{odd}");
        }
    }
}
