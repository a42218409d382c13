//! Times as people read them.

use tidegate_core::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// RFC 3339, UTC, to the millisecond; the bare number where the year has more than four digits.
pub fn rfc3339(at: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_to_the_millisecond() {
        assert_eq!(rfc3339(Timestamp(1_767_225_600_000)), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp(1_767_225_600_042)), "2026-01-01T00:00:00.042Z");
        assert_eq!(rfc3339(Timestamp(i64::MAX)), i64::MAX.to_string());
    }
}
