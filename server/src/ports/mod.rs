//! What the application needs from the outside: storage, time, ids and randomness, the way to other systems, messages.

pub mod clock;
pub mod ids;
pub mod metrics;
pub mod notify;
pub mod outgoing;
pub mod store;

pub use clock::Clock;
pub use ids::IdSource;
pub use metrics::Metrics;
pub use notify::Messenger;
pub use outgoing::Outgoing;
pub use store::Store;
