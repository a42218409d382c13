//! Bucketing, version 1: frozen. `spec/vectors/bucketing-v1.json` holds it in place.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The number of buckets; weights and shares are counted in it.
pub const BUCKETS: u32 = 100_000;

/// A salt, hashed once when a ruleset is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// `xxh3_64(utf8(salt))`.
    pub fn new(salt: &str) -> Self {
        Self(hash(salt))
    }

    /// The seed as a number.
    pub fn value(self) -> u64 {
        self.0
    }

    /// `xxh3_64_with_seed(utf8(unit), seed)`.
    #[inline]
    pub fn hash(self, unit: &str) -> u64 {
        seeded(unit, self.0)
    }

    /// The bucket of `unit`, 0 to 99,999: its hash times 100,000 over 2^64, rounded down.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "hash < 2^64, so the quotient is below BUCKETS")]
    pub fn bucket(self, unit: &str) -> u32 {
        ((u128::from(self.hash(unit)) * u128::from(BUCKETS)) >> 64) as u32
    }
}

/// `xxh3_64(utf8(text))`: with the seed 0.
pub fn hash(text: &str) -> u64 {
    seeded(text, 0)
}

/// Where size counts, once: a copy is a KB.
#[cfg_attr(target_family = "wasm", inline(never))]
#[cfg_attr(not(target_family = "wasm"), inline)]
fn seeded(text: &str, seed: u64) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), seed)
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
