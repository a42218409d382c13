//! Streams: what was committed, sent to everybody who evaluates with it.
//!
//! One [`Hub`] per environment reads what the store committed and publishes it as a [`State`]; one task per socket
//! ([`session`]) holds nothing but a cursor and brings its client from there to the newest state, however many states it
//! missed. Frames are encoded once per state and starting point, and shared; while a task only waits, the hub sends them in its
//! stead. A kill goes out before its change set is even made.
//!
//! What makes a hub look is a hint ([`App::changes`](crate::app::App)) or, every second, the revisions in the database:
//! hints may be lost, and other processes send none.

pub mod state;

mod events;
mod frame;
mod hub;
mod intake;
mod lane;
mod line;
mod notices;
mod receipts;
mod revocation;
pub mod session;
mod socket;
mod streams;
mod view;

pub use events::Taken;
pub use frame::{Frame, Pen, Written};
pub use hub::Hub;
pub use intake::Logged;
pub use notices::Notice;
pub use receipts::{Behind, Receipts};
pub use revocation::Credential;
pub use socket::Socket;
pub use state::State;
pub use streams::{Admission, Settings, Streams};
pub use view::{Front, Personal, up_to_date};
