//! Bucketing, version 1: frozen. `spec/vectors/bucketing-v1.json` holds it in place.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The number of buckets; weights and shares are counted in it.
pub const BUCKETS: u32 = 100_000;

/// A salt, hashed once when a ruleset is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// `xxh3_64(utf8(salt))`.
    pub fn new(salt: &str) -> Self {
        Self(xxh3_64(salt.as_bytes()))
    }

    /// The seed as a number.
    pub fn value(self) -> u64 {
        self.0
    }

    /// `xxh3_64_with_seed(utf8(unit), seed)`.
    #[inline]
    pub fn hash(self, unit: &str) -> u64 {
        xxh3_64_with_seed(unit.as_bytes(), self.0)
    }

    /// The bucket of `unit`, 0 to 99,999: its hash times 100,000 over 2^64, rounded down.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "hash < 2^64, so the quotient is below BUCKETS")]
    pub fn bucket(self, unit: &str) -> u32 {
        ((u128::from(self.hash(unit)) * u128::from(BUCKETS)) >> 64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first row of `spec/vectors/bucketing-v1.json`; the rest is held by the integration tests.
    #[test]
    fn the_empty_unit_keeps_its_bucket() {
        assert_eq!(Seed::new("").bucket(""), 25_462);
    }
}
