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

    /// The bucket of `unit`, 0 to 99,999: `xxh3_64_with_seed(utf8(unit), seed) * 100,000 / 2^64`, rounded down.
    #[inline]
    pub fn bucket(self, unit: &str) -> u32 {
        let hash = xxh3_64_with_seed(unit.as_bytes(), self.0);
        // hash < 2^64, so the quotient is below BUCKETS and fits.
        ((u128::from(hash) * u128::from(BUCKETS)) >> 64) as u32
    }
}
