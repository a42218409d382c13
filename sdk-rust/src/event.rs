//! What a client tells of itself.

use std::sync::Arc;

use tidegate_core::{FlagKey, SegmentKey, Timestamp};
use tokio::sync::broadcast::{self, error::RecvError};

/// Something happened to a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// In step with the server.
    Ready,
    /// The server is away; the last good flags are used.
    Stale,
    /// The server has been away for longer than the grace period of 10 s.
    Error,
    /// The server refuses the key, or does not speak the client's protocol.
    Fatal,
    /// Flags changed: the next evaluation uses them.
    ConfigurationChanged(Changed),
    /// The reader was too slow, and this many events are lost. See [`Client::status`](crate::Client::status) for where
    /// things stand.
    Missed(u64),
}

/// What changed. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Changed {
    /// Exactly the flags that were added, changed, removed or killed, in the order of their keys.
    pub flags: Arc<[FlagKey]>,
    /// Exactly the segments that were added, changed or removed.
    pub segments: Arc<[SegmentKey]>,
    /// The flags that did not change themselves, but may answer differently: they use one of the segments, or need one of the
    /// flags, directly or through others. In the order of their keys.
    pub dependents: Arc<[FlagKey]>,
    /// When the server accepted the newest of the changes, by its clock; absent where they come from the cache file.
    pub changed_at: Option<Timestamp>,
    /// They came on the kill lane, ahead of everything else.
    pub killed: bool,
}

/// A client's events, from the moment that it was asked for them. At most 64 wait for a slow reader.
///
/// ```
/// use tidegate::{Event, testing::TestClient};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let flags = TestClient::new();
/// let mut events = flags.client().events();
/// flags.set("new-checkout", true);
/// if let Some(Event::ConfigurationChanged(changed)) = events.next().await {
///     assert_eq!(changed.flags[0].as_str(), "new-checkout");
/// }
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` once the client is closed and gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
