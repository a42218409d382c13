//! What a stream's own task and its hub both hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_protocol::Position;

use super::{
    frame::{Frame, Pen, Written},
    state::Encoding,
};

/// The way to one client. While the stream's task waits, it lends its [`Place`] to whoever has news: that one sends them at
/// once, and the task is not even woken.
#[derive(Debug, Default)]
pub(super) struct Line {
    pen: Option<Arc<dyn Pen>>,
    lent: Mutex<Option<Place>>,
}

/// Where a client is, and how it wants to be told more.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Nowhere: it needs everything.
    pub cursor: Option<Position>,
    /// Kills up to this revision were sent on the fast lane.
    pub killed_to: u64,
    pub encoding: Encoding,
    /// Somebody else began a frame that is to be ended.
    pub is_halfway: bool,
}

impl Line {
    /// A line to a client; without a `pen`, the stream's task sends everything.
    pub fn new(pen: Option<Arc<dyn Pen>>) -> Self {
        Self { pen, lent: Mutex::default() }
    }

    /// The task waits from here on, and has nothing half-sent.
    pub fn lend(&self, place: Place) {
        *self.lent() = Some(place);
    }

    /// The task goes on.
    pub fn take_back(&self) -> Place {
        self.lent().take().unwrap_or_default()
    }

    /// Where the task waits, `tell` may send its client what there is to send. False: the task has to see to it.
    pub fn tell(&self, tell: impl FnOnce(&mut Place, &dyn Pen) -> bool) -> bool {
        let Some(pen) = &self.pen else { return false };
        self.lent().as_mut().is_some_and(|place| tell(place, &**pen))
    }

    fn lent(&self) -> MutexGuard<'_, Option<Place>> {
        // A place is changed only after what it tells of has happened.
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Sends a frame with the `pen`, and notes `sent` when it is on its way. False: the task has to go on.
    pub fn write(&mut self, pen: &dyn Pen, frame: &Frame, sent: impl FnOnce(&mut Self)) -> bool {
        let written = pen.write(frame);
        if written != Written::Nothing {
            sent(self);
        }
        self.is_halfway = written == Written::Begun;
        written == Written::Whole
    }

    /// Whether the client knows of kills up to `revision`.
    pub fn knows_kill(&self, revision: u64) -> bool {
        self.cursor.as_ref().map_or(0, |at| at.revision).max(self.killed_to) >= revision
    }
}
