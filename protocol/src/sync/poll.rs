//! Polling, where no socket opens: a proxy that knows no websockets must not keep an application on its defaults.
//!
//! Whether it is time to ask is decided here; the driver asks, and brings the answer. A poll carries the same change sets
//! as a stream. It stops when a stream has committed one.

use super::{Lost, Moment};
use crate::message::Position;

/// When a machine asks over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    /// After this many attempts in a row that gave no stream. 0: from the beginning.
    pub after_attempts: u32,
    /// From one answer to the next question; spread by a tenth, so that clients do not ask in step.
    pub interval_ms: u64,
    /// From the question to its answer.
    pub timeout_ms: u64,
}

impl Default for Polling {
    /// After three attempts, which is within 2 s where they fail at once; every 30 s.
    fn default() -> Self {
        Self { after_attempts: 3, interval_ms: 30_000, timeout_ms: 10_000 }
    }
}

/// A question: `GET /api/v1/changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// What is held: `epoch`, `revision` and `digest` of the query; absent: nothing, so that the answer is everything.
    pub position: Option<Position>,
    /// For `If-None-Match`: the `ETag` of the last answer.
    pub etag: Option<String>,
}

/// What came of a [`Poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled<'a> {
    /// 200: the messages of a change set, one per line, and the answer's `ETag`.
    Changes {
        /// The body.
        body: &'a str,
        /// For the next question.
        etag: Option<&'a str>,
    },
    /// 304: there is nothing newer.
    Unchanged,
    /// Anything else.
    Failed(Lost),
}

/// The polling half of the machine.
#[derive(Debug, Default)]
pub(super) enum Poller {
    /// There is a stream, or it is too early to ask.
    #[default]
    Off,
    /// The next question is at `at`.
    Waiting { at: Moment },
    /// The driver asks; no answer by `deadline` is none.
    Asked { deadline: Moment },
}

/// What a poller remembers from one question to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Of the last answer.
    pub etag: Option<String>,
    /// The last change set did not fit: the next question is for everything.
    pub whole: bool,
    /// Questions without a good answer, in a row.
    pub failures: u32,
    /// The last question had a good answer: the client is in step, without a stream.
    pub in_step: bool,
}

impl Poller {
    pub(super) fn wake_at(&self) -> Option<Moment> {
        match self {
            Self::Off => None,
            Self::Waiting { at } | Self::Asked { deadline: at } => Some(*at),
        }
    }
}
