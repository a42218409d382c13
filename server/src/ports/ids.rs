//! Ids and randomness.

use tidegate_core::Timestamp;

/// Ids and secrets; repeats under a seed in tests.
pub trait IdSource: Send + Sync {
    /// Fills `bytes` from a cryptographic source.
    fn fill(&self, bytes: &mut [u8]);

    /// A ULID: 26 characters, sorted by time. `now` is its time part.
    fn ulid(&self, now: Timestamp) -> String;
}
