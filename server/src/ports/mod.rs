//! What the application needs from the outside: storage, time, ids and randomness.

pub mod clock;
pub mod ids;
pub mod store;

pub use clock::Clock;
pub use ids::IdSource;
pub use store::Store;
