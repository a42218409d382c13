//! What the application needs from the outside: storage, time, ids and randomness, and the way to other systems.

pub mod clock;
pub mod ids;
pub mod outgoing;
pub mod store;

pub use clock::Clock;
pub use ids::IdSource;
pub use outgoing::Outgoing;
pub use store::Store;
