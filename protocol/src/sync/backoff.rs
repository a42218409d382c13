//! How long to wait before the next attempt.

/// Bounds of the wait, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the first repetition is at most this.
    pub base_ms: u64,
    /// No wait is longer. Keep it below the grace period, or a healthy server is reported as lost.
    pub cap_ms: u64,
}

impl Backoff {
    /// Full jitter: uniform over `0..=min(cap, base · 2^attempt)`; `attempt` counts from 0, `random` is uniform over
    /// all its values. (Brooker, "Exponential Backoff and Jitter", 2015.)
    pub fn delay_ms(self, attempt: u32, random: u64) -> u64 {
        let doubled = 1_u64.checked_shl(attempt).and_then(|factor| self.base_ms.checked_mul(factor));
        let ceiling = doubled.map_or(self.cap_ms, |delay| delay.min(self.cap_ms));
        // The product is below 2^64 · (ceiling + 1), so its upper half is at most `ceiling`.
        ((u128::from(random) * (u128::from(ceiling) + 1)) >> 64) as u64
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): spreads the reconnections of many clients; nothing secret depends on it.
#[derive(Clone, Debug)]
pub(super) struct Jitter(pub u64);

impl Jitter {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff { base_ms: 200, cap_ms: 5_000 };
        let longest: Vec<_> = (0..8).map(|attempt| backoff.delay_ms(attempt, u64::MAX)).collect();
        assert_eq!(longest, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
        assert_eq!(backoff.delay_ms(7, 0), 0);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(base_ms: u64, cap_ms: u64, attempt: u32, random: u64) {
            let backoff = Backoff { base_ms, cap_ms };
            prop_assert!(backoff.delay_ms(attempt, random) <= cap_ms);
        }
    }
}
