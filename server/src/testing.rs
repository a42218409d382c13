//! Test doubles of the ports: time that stands still, ids that repeat. Never wired into the binary.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use tidegate_core::Timestamp;

use crate::{
    ports::{Clock, IdSource},
    system::ulid,
};

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves it, forwards or back, by that many milliseconds.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Ids that are the same for the same seed and order of calls. Anything but secret.
#[derive(Debug)]
pub struct SeededIds(Mutex<u64>);

impl SeededIds {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next number of the sequence.
    pub fn next_u64(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): every seed is a good one.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Default for SeededIds {
    fn default() -> Self {
        Self::new(1)
    }
}

impl IdSource for SeededIds {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
        }
    }

    fn ulid(&self, now: Timestamp) -> String {
        ulid(now, u128::from(self.next_u64()) << 64 | u128::from(self.next_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_under_a_seed() {
        let draw = |ids: SeededIds| {
            let mut bytes = [0; 13];
            ids.fill(&mut bytes);
            (bytes, ids.ulid(Timestamp(5)))
        };
        assert_eq!(draw(SeededIds::new(3)), draw(SeededIds::new(3)));
        assert_ne!(draw(SeededIds::new(3)), draw(SeededIds::new(4)));
    }

    #[test]
    fn the_clock_stands_still() {
        let clock = ManualClock::new(Timestamp(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance_ms(3);
        assert_eq!(clock.now(), Timestamp(8));
    }
}
