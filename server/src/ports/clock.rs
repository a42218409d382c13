//! Time.

use tidegate_core::Timestamp;

/// The wall clock. Durations and timers inside the stream layer use tokio's clock, which tests pause.
pub trait Clock: Send + Sync {
    /// Milliseconds since the epoch, UTC.
    fn now(&self) -> Timestamp;
}
