//! Numbers that look random and are the same every time.

use tidegate_core::bucket::BUCKETS;

/// A row of numbers (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Chances(u64);

impl Chances {
    /// The row of that seed.
    pub fn new(seed: u64) -> Self {
        Self(splitmix(seed.wrapping_add(1)))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        splitmix(self.0)
    }

    /// The next number, evenly from 0 to below 1.
    pub fn share(&mut self) -> f64 {
        share_of(self.number())
    }

    /// The next number, evenly from 0 to below `end`; 0 where `end` is.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// Of the standard normal distribution (Box and Muller, "A note on the generation of random normal deviates", 1958).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.share(), self.share());
        libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(2.0 * std::f64::consts::PI * angle)
    }
}

/// `SplitMix64`'s last step: a number that does not look like the one that it is made from.
pub fn splitmix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The bucket of a unit of that number, in the run of that seed.
#[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
pub fn bucket(seed: u64, number: u64) -> u32 {
    ((u128::from(splitmix(splitmix(seed) ^ number)) * u128::from(BUCKETS)) >> 64) as u32
}

/// A number, as a share of all that there are: from 0 to below 1.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub fn share_of(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}
