//! The event log, as the controller that holds the lease reads and shortens it.

use tokio::task::yield_now;

use super::{App, AppError};
use crate::ports::store::{Fence, StoreError};

/// How many entries are read at once.
const PAGE: u32 = 16;

/// A checkpoint is written in parts of about this size: no commit waits for much more.
const PART_BYTES: usize = 1024 * 1024;

impl App {
    /// Counts for every rollout that goes on, from the last checkpoint on.
    pub async fn begin_counting(&self) -> Result<(), AppError> {
        let mut running = Vec::new();
        for (environment, _) in self.store.revisions().await? {
            let rollouts = self.running_rollouts(&environment).await?;
            running.push((environment, rollouts));
        }
        let follow = |position| {
            self.watches.begin(position);
            for (environment, rollouts) in &running {
                let rollouts = rollouts.iter().map(|(stored, _)| (stored.id.key.as_str(), &stored.body));
                self.watches.follow(environment, rollouts);
            }
        };
        let position = self.store.checkpoint().await?;
        follow(position);
        let (mut part, mut unread) = (0, Vec::new());
        while let Some(body) = self.store.checkpoint_part(position, part).await? {
            part += 1;
            if self.watches.restore(&mut unread, &body).is_err() {
                tracing::warn!(position, "what rollouts counted cannot be read: their steps begin anew");
                follow(position);
                break;
            }
        }
        Ok(())
    }

    /// Counts what was logged meanwhile.
    pub async fn count_events(&self) -> Result<(), StoreError> {
        loop {
            let entries = self.store.events_after(self.watches.position(), PAGE).await?;
            for entry in &entries {
                if let Err(error) = self.watches.apply(entry) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, position = entry.position, "events are not counted");
                }
            }
            if entries.len() < PAGE as usize {
                return Ok(());
            }
            yield_now().await;
        }
    }

    /// Writes a checkpoint, where one is due.
    pub async fn checkpoint(&self, fence: &Fence) -> Result<(), StoreError> {
        let Some(pieces) = self.watches.checkpoint() else { return Ok(()) };
        let position = self.watches.position();
        let (mut bytes, mut n_parts, mut n_bytes) = (self.watches.head(), 0, 0);
        for piece in pieces {
            bytes.extend(self.watches.piece(piece));
            while bytes.len() >= PART_BYTES {
                let rest = bytes.split_off(PART_BYTES);
                self.store.put_checkpoint_part(fence, position, n_parts, &bytes).await?;
                n_bytes += bytes.len();
                n_parts += 1;
                bytes = rest;
            }
            yield_now().await;
        }
        self.store.put_checkpoint_part(fence, position, n_parts, &bytes).await?;
        self.store.finish_checkpoint(fence, position).await?;
        self.watches.checkpointed(n_bytes + bytes.len());
        Ok(())
    }

    /// Nothing is counted any more: forgets all of it.
    pub async fn forget_events(&self, fence: &Fence) -> Result<(), StoreError> {
        self.store.finish_checkpoint(fence, self.watches.position()).await
    }
}
