//! The outside world: the only place that reads clocks and draws random numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_core::Timestamp;
use tidegate_protocol::sync::Moment;
use tokio::time::Instant;

/// The time of day, for conditions that compare with it. About 20 ns on Linux.
#[expect(clippy::disallowed_methods, reason = "this is the adapter")]
#[inline]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that never goes back, for the sync machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonic(Instant);

impl Monotonic {
    /// A clock that starts at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// What it shows.
    pub(crate) fn now(self) -> Moment {
        Moment(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When it will show `moment`; `None` where that is further off than the clock reaches.
    pub(crate) fn instant(self, moment: Moment) -> Option<Instant> {
        self.0.checked_add(std::time::Duration::from_millis(moment.0))
    }
}

/// Spreads the reconnections of many clients. Where the system has no randomness to give, the process id must do.
#[expect(clippy::disallowed_methods, reason = "this is the adapter")]
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    }
}
