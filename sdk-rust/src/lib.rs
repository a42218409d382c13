//! Feature flags, evaluated in process.
//!
//! A [`Client`] keeps an environment's flags in memory, in step with a Tidegate server over one websocket. Asking for a
//! flag looks at that memory and nothing else: it never fails, never waits and does no I/O. Whatever goes wrong, the
//! caller gets its own default; [`Details`] say why.
//!
//! ```no_run
//! use std::time::Duration;
//! use tidegate::{Client, Context};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("https://flags.example.com", "tgs_…")
//!     .cache_file("/var/cache/shop/flags.tidegate")
//!     .connect()?;
//! client.wait_ready(Duration::from_secs(5)).await?;
//!
//! let ctx = Context::new("user-17").with("plan", "pro").with("country", "NZ");
//! if client.bool("new-checkout", false, &ctx) {
//!     // the new checkout
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **When the server is away** the client goes on with what it has, which is also what [`Builder::cache_file`] keeps for
//! the next start and [`Builder::bootstrap`] brings along. It tries again with growing, randomly spread waits of at most
//! 5 s. [`Client::status`] and [`Client::events`] tell: [`Status::Stale`] at once, [`Status::Error`] after 10 s; from
//! then on details say [`Reason::Stale`].
//!
//! **What the server hears**: which variant of a flag was served to whom and how often ([`Exposure`]), and what the
//! application [tracks](Client::track): rollouts are judged by both. They are counted in memory and sent every 10 s; when
//! there are more than fit they are dropped, and the drops counted. A targeting key never leaves the process, only its
//! [hash](UnitHash), and nothing else of a context does. [`Builder::without_telemetry`] turns it off.
//!
//! **In tests** use [`testing::TestClient`]: it serves what the test says.
//!
//! # Features
//! - `tls` (on unless told otherwise): servers at `https://`, on rustls with the roots of the web.
//! - `open-feature`: a provider for the crate [`open-feature`](https://docs.rs/open-feature), see `open_feature`.
//!
//! # Tasks
//! The client runs on the tokio runtime that [`Builder::connect`] is called in: one task, and a second one for moments
//! while it writes the cache file.

#![deny(missing_docs)]

mod builder;
mod client;
mod details;
mod event;
#[cfg(feature = "open-feature")]
pub mod open_feature;
pub mod testing;

mod cache;
mod driver;
mod shared;
mod socket;
mod system;
mod telemetry;
mod tls;

pub use builder::{BuildError, Builder};
pub use client::{Client, NotReady};
pub use details::{Details, Text};
pub use event::{Changed, Event, Events};
pub use tidegate_core::{Context, ErrorCode, FlagFile, FlagKey, Reason, SegmentKey, Timestamp, Value};
pub use tidegate_protocol::{
    Status,
    events::{Exposure, Measurement, UnitHash},
};
