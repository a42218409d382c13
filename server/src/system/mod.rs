//! The adapters of time, ids and randomness: the only place that reaches for the real ones.

use std::cell::RefCell;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate_core::Timestamp;
use ulid::Ulid;

use crate::ports::{Clock, IdSource};

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now();
        let ms = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            // A clock set before 1970: wrong, but no reason to stop.
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Timestamp(ms)
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool(Vec::new())) };
}

/// Random numbers for names, fetched many at a time: every request gets a name, and to ask the system each time costs more than
/// all else that is noted of a request. Not for secrets, which should not lie about.
struct Pool(Vec<[u8; 16]>);

impl Pool {
    fn next(&mut self, fill: impl Fn(&mut [u8])) -> u128 {
        loop {
            if let Some(number) = self.0.pop() {
                return u128::from_le_bytes(number);
            }
            let mut numbers = [[0; 16]; 32];
            fill(numbers.as_flattened_mut());
            self.0.extend(numbers);
        }
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    /// # Panics
    /// Where the operating system has no randomness to give: no secret made without it would be one.
    #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
    #[expect(clippy::expect_used, reason = "see Panics")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }

    fn ulid(&self, now: Timestamp) -> String {
        ulid(now, POOL.with_borrow_mut(|pool| pool.next(|bytes| self.fill(bytes))))
    }
}

/// How many files and sockets the process may have open: as many as the system lets it ask for. `None`: any number.
pub fn open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if raised.is_ok() { limit.maximum } else { limit.current }
}

/// The ULID of that time with those low 80 bits. Times before 1970 count as 1970.
pub(crate) fn ulid(now: Timestamp, random: u128) -> String {
    Ulid::from_parts(u64::try_from(now.0).unwrap_or(0), random).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulids_sort_by_time() {
        let (early, late) = (SystemIds.ulid(Timestamp(1_000)), SystemIds.ulid(Timestamp(1_001)));
        assert_eq!(early.len(), 26);
        assert!(early < late);
        assert_ne!(early, SystemIds.ulid(Timestamp(1_000)));
    }

    #[test]
    fn the_clock_is_past_2020() {
        assert!(SystemClock.now() > Timestamp(1_577_836_800_000));
    }
}
