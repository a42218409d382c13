//! The lease under which one controller of several on a database works.

use tidegate_core::Timestamp;

use crate::{
    app::{App, watches::Attention},
    ports::store::{Fence, Lease, PutLease, StoreError},
};

/// The lease's name.
const NAME: &str = "rollouts";

/// A holder that has not renewed it for so long is taken for dead.
const TTL_MS: i64 = 8_000;

/// How often it is renewed.
const RENEW_MS: i64 = 2_000;

/// The lease, held.
pub(super) struct Held {
    /// What commits are made behind.
    pub fence: Fence,
    /// When somebody watches.
    pub attention: Attention,
}

/// Takes the lease where it is free, and keeps it.
///
/// Nobody else's clock is believed: a holder is dead when its lease was seen, here, not to change for [`TTL_MS`].
pub(super) struct Keeper {
    app: App,
    /// This controller.
    name: String,
    held: Option<Lease>,
    /// When somebody watched before the lease was held without interruption.
    before: Option<(Timestamp, Timestamp)>,
    /// Another's lease, and when it was first seen as it is.
    theirs: Option<(Lease, Timestamp)>,
    /// Whether the lease was never looked at.
    is_new: bool,
}

impl Keeper {
    pub fn new(app: App) -> Self {
        let name = app.ids.ulid(app.clock.now());
        Self { app, name, held: None, before: None, theirs: None, is_new: true }
    }

    /// Whether it was held when it was last looked at.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Takes or renews the lease where that is due. `None`: another controller has it.
    pub async fn hold(&mut self) -> Result<Option<Held>, StoreError> {
        let now = self.app.clock.now();
        if let Some(held) = self.held.take() {
            let age_ms = now.0.saturating_sub(held.renewed_at.0);
            if (0..RENEW_MS).contains(&age_ms) {
                self.held = Some(held);
                return Ok(self.state());
            }
            self.take(Some(held), now).await?;
            if self.held.is_some() {
                return Ok(self.state());
            }
        }
        let lease = self.app.store.lease(NAME).await?;
        // One server has a file: who is named there is dead.
        let is_alone = std::mem::take(&mut self.is_new) && !self.app.store.is_shared();
        if let Some(lease) = lease.as_ref().filter(|lease| !self.is_ours(lease) && !lease.holder.is_empty()) {
            let first_seen = match &self.theirs {
                Some((seen, at)) if (seen.epoch, seen.beat) == (lease.epoch, lease.beat) => *at,
                _ => now,
            };
            self.theirs = Some((lease.clone(), first_seen));
            if !is_alone && now.0.saturating_sub(first_seen.0) < TTL_MS {
                return Ok(None);
            }
        }
        self.take(lease, now).await?;
        Ok(self.state())
    }

    /// Another controller has it.
    pub fn lost(&mut self) {
        self.held = None;
    }

    /// Lets another take it at once.
    pub async fn give_up(&mut self) {
        let Some(held) = self.held.take() else { return };
        let put = PutLease {
            name: NAME.to_owned(),
            seen: Some((held.epoch, held.beat)),
            holder: String::new(),
            since: held.since,
            at: self.app.clock.now(),
        };
        if let Err(error) = self.app.store.put_lease(&put).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the lease on rollouts could not be given up");
        }
    }

    fn state(&self) -> Option<Held> {
        let held = self.held.as_ref()?;
        let fence = Fence { lease: NAME.to_owned(), epoch: held.epoch };
        Some(Held { fence, attention: Attention { since: held.since, before: self.before } })
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        lease.holder == self.name
    }

    /// Takes the lease, if it is as it was seen.
    async fn take(&mut self, seen: Option<Lease>, now: Timestamp) -> Result<(), StoreError> {
        // A process that stood still for so long did not watch.
        let is_kept = |seen: &Lease| self.is_ours(seen) && now.0.saturating_sub(seen.renewed_at.0) <= TTL_MS;
        let kept = seen.as_ref().filter(|seen| is_kept(seen));
        let put = PutLease {
            name: NAME.to_owned(),
            seen: seen.as_ref().map(|seen| (seen.epoch, seen.beat)),
            holder: self.name.clone(),
            since: kept.map_or(now, |kept| kept.since),
            at: now,
        };
        let is_kept = kept.is_some();
        self.held = self.app.store.put_lease(&put).await?;
        if self.held.is_some() && !is_kept {
            self.before = seen.map(|seen| (seen.since, seen.renewed_at));
        }
        Ok(())
    }
}
