//! What evaluations read and the driver writes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use tidegate_core::{Change, FlagFile, Ruleset, compile};
use tidegate_protocol::{
    Status, Update,
    sync::{Cause, Onto},
};
use tokio::sync::{broadcast, watch};

use crate::{
    event::{Changed, Event},
    telemetry::Telemetry,
};

/// Events that wait for a slow reader.
const MAX_EVENTS: usize = 64;

/// What is evaluated with. Replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// The flags.
    pub ruleset: Ruleset,
    /// There was a snapshot: from the server, the cache file, the bootstrap or a test.
    pub loaded: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub live: ArcSwap<Live>,
    /// The server has been away for longer than the grace period, or refuses the key.
    pub overdue: AtomicBool,
    pub status: watch::Sender<Status>,
    pub events: broadcast::Sender<Event>,
    /// Why the last connection could not be made, or ended.
    pub trouble: watch::Sender<Option<Arc<str>>>,
    /// `None`: nobody wants to know what is evaluated.
    pub telemetry: Option<Arc<Telemetry>>,
}

impl Shared {
    pub fn new(bootstrap: Option<&FlagFile>, telemetry: Option<Arc<Telemetry>>) -> Self {
        let ruleset = bootstrap.map(|file| {
            let (ruleset, issues) = compile(file);
            for issue in issues {
                tracing::warn!(key = issue.key, path = issue.path, "bootstrap: {}", issue.message);
            }
            ruleset
        });
        let status = if ruleset.is_some() { Status::Stale } else { Status::NotReady };
        Self {
            live: ArcSwap::from_pointee(Live { loaded: ruleset.is_some(), ruleset: ruleset.unwrap_or_default() }),
            overdue: AtomicBool::new(false),
            status: watch::Sender::new(status),
            events: broadcast::Sender::new(MAX_EVENTS),
            trouble: watch::Sender::new(None),
            telemetry,
        }
    }

    /// Only one task calls this; evaluations go on with the old flags until it is done.
    pub fn apply(&self, update: Update) {
        let live = self.live.load();
        let loaded = live.loaded || !matches!(update.cause, Cause::Kill { .. });
        let now = match update.onto {
            Onto::Current => self.replace(&live.ruleset, update.changes, loaded),
            Onto::Nothing => self.replace(&Ruleset::default(), update.changes, loaded),
        };
        let changed = Changed {
            dependents: now.ruleset.dependents(&update.flags, &update.segments).into(),
            flags: update.flags.into(),
            segments: update.segments.into(),
            changed_at: match update.cause {
                Cause::Commit { changed_at } | Cause::Kill { changed_at, .. } => {
                    changed_at.map(tidegate_core::Timestamp)
                }
                Cause::Restored => None,
            },
            killed: matches!(update.cause, Cause::Kill { .. }),
        };
        if !changed.flags.is_empty() || !changed.segments.is_empty() {
            self.tell(Event::ConfigurationChanged(changed));
        }
    }

    fn replace(&self, base: &Ruleset, changes: Vec<Change>, loaded: bool) -> Arc<Live> {
        let (ruleset, issues) = base.update(changes);
        for issue in issues {
            tracing::warn!(key = issue.key, path = issue.path, "{}", issue.message);
        }
        let live = Arc::new(Live { ruleset, loaded });
        self.live.store(Arc::clone(&live));
        live
    }

    /// The status is updated before anybody hears of it.
    pub fn enter(&self, status: Status) {
        self.overdue.store(matches!(status, Status::Error | Status::Fatal), Ordering::Relaxed);
        if self.status.send_replace(status) == status {
            return;
        }
        match status {
            Status::NotReady => {}
            Status::Ready => self.tell(Event::Ready),
            Status::Stale => self.tell(Event::Stale),
            Status::Error => self.tell(Event::Error),
            Status::Fatal => self.tell(Event::Fatal),
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens: nobody needs to know.
        let _ = self.events.send(event);
    }
}
