//! The hub of one environment: follows the store, publishes states.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::Message;
use tidegate_protocol::Position;
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::{spawn_blocking, yield_now},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    events::RecentBatches,
    receipts::Ledger,
    state::{self, ChangeSet, Delta, Encoding, KillFrame, State},
    streams::Metering,
    view::Front,
};
use crate::{
    app::{App, AppError, BrokenDocument, rulesets::Compiled},
    ports::store::{EnvironmentDelta, EnvironmentId, StoreError},
};

/// A request waits this long for a change that was committed just before it.
const CATCH_UP: Duration = Duration::from_millis(250);

/// Compressing so much takes about a millisecond.
const COMPRESS_APART_FROM_BYTES: usize = 64 * 1024;

/// One environment's hub. One task (`follow`) writes; sessions and requests read.
pub struct Hub {
    /// Its environment.
    pub environment: EnvironmentId,
    app: App,
    metering: Metering,
    states: watch::Sender<Arc<State>>,
    fronts: watch::Sender<Arc<Front>>,
    kills: watch::Sender<Option<KillFrame>>,
    hint: Notify,
    /// The right to ask the database for old changes, or to compress: thousands that come back together ask the same.
    lookups: Semaphore,
    pub(super) ledger: Ledger,
    pub(super) batches: RecentBatches,
}

impl Hub {
    /// Reads the environment from the store.
    pub(super) async fn load(environment: EnvironmentId, app: App, metering: Metering) -> Result<Self, StoreError> {
        let (state, compiled) = load(&environment, &app).await?;
        metering.configuration(&state, &compiled.ruleset);
        let state = Arc::new(state);
        let hub = Self {
            environment,
            app,
            metering,
            states: watch::Sender::new(Arc::clone(&state)),
            fronts: watch::Sender::new(Arc::new(Front { state, compiled })),
            kills: watch::Sender::new(None),
            hint: Notify::new(),
            lookups: Semaphore::new(1),
            ledger: Ledger::default(),
            batches: RecentBatches::default(),
        };
        hub.warn_of(hub.state().broken());
        Ok(hub)
    }

    /// The newest state.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.states.borrow())
    }

    /// What is evaluated with here, without a look into the database: never behind what this process committed.
    pub async fn front(&self) -> Arc<Front> {
        self.front_at(0).await
    }

    /// As [`front`](Self::front), and not behind `revision`, which another process told of.
    pub async fn front_at(&self, revision: u64) -> Arc<Front> {
        let head = self.app.heads.get(&self.environment).map_or(0, |head| *head).max(revision);
        let front = Arc::clone(&self.fronts.borrow());
        if front.compiled.revision >= head {
            return front;
        }
        self.nudge();
        let mut newer = self.fronts.subscribe();
        // Where it cannot be read now, what there is must do.
        let _ = timeout(CATCH_UP, newer.wait_for(|front| front.compiled.revision >= head)).await;
        Arc::clone(&self.fronts.borrow())
    }

    /// Sees what is evaluated with, and is woken by each newer one.
    pub(super) fn fronts(&self) -> watch::Receiver<Arc<Front>> {
        self.fronts.subscribe()
    }

    /// Sees the newest state, and is woken by each newer one.
    pub fn states(&self) -> watch::Receiver<Arc<State>> {
        self.states.subscribe()
    }

    /// Is woken by kills, before the state that holds them is made. What it misses, that state still says.
    pub(super) fn kills(&self) -> watch::Receiver<Option<KillFrame>> {
        self.kills.subscribe()
    }

    /// Something may have changed: look. Cheap; any number of hints before the next look are one.
    pub fn nudge(&self) {
        self.hint.notify_one();
    }

    /// What brings a client that stands at `at` to `state`; nothing, where it has that or more.
    pub async fn change_set(&self, state: &State, at: Option<&Position>) -> Option<Arc<ChangeSet>> {
        let to = &state.position;
        match at {
            Some(at) if at == to || (at.epoch == to.epoch && at.revision > to.revision) => None,
            Some(at) if at.epoch == to.epoch && at.revision < to.revision => {
                Some(self.changes_since(state, at.revision).await)
            }
            _ => Some(state.full()),
        }
    }

    /// The change set's messages. A large one is compressed apart, so that nobody else on this thread waits for it.
    pub(super) async fn messages(&self, change_set: &Arc<ChangeSet>, encoding: Encoding) -> Vec<Message> {
        if encoding == Encoding::Deflate && change_set.is_raw() && change_set.bytes() > COMPRESS_APART_FROM_BYTES {
            // One at a time, or a thousand clients that come back together take every thread.
            let _turn = self.lookups.acquire().await.ok();
            let work = Arc::clone(change_set);
            let compressed = spawn_blocking(move || work.messages(encoding)).await;
            return compressed.unwrap_or_else(|_| change_set.messages(Encoding::Plain));
        }
        change_set.messages(encoding)
    }

    /// What brings a client from `revision` to `state`; everything, where nobody knows what happened since.
    async fn changes_since(&self, state: &State, revision: u64) -> Arc<ChangeSet> {
        if state.reaches(revision) {
            return state.since(revision);
        }
        // Never closed; were it, everybody would ask.
        let _turn = self.lookups.acquire().await.ok();
        if let Some(known) = state.encoded_since(revision) {
            return known;
        }
        match self.app.store.environment_delta(&self.environment, revision).await {
            // It may reach beyond the state. What it names then is sent as the state has it: that does no harm.
            Ok(EnvironmentDelta::Changes { objects, .. }) => {
                state.since_touched(revision, objects.iter().map(|(touched, _)| state::reference(touched)))
            }
            Ok(EnvironmentDelta::OutOfReach) => state.full(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the change log cannot be read");
                state.full()
            }
        }
    }

    /// Follows the store until `shutdown`. To be run once, in a task of its own.
    pub(super) async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.refresh().await {
                // What is published stays; the next hint or poll tries again.
                tracing::warn!(
                    environment = self.environment.scope(),
                    error = &error as &dyn std::error::Error,
                    "the environment cannot be read"
                );
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.hint.notified() => {}
            }
        }
    }

    /// Brings the published state up to the store's.
    async fn refresh(&self) -> Result<(), AppError> {
        let state = self.state();
        if self.app.store.epoch().await? != *state.position.epoch {
            return Ok(self.reload().await?);
        }
        match self.app.store.environment_delta(&self.environment, state.position.revision).await? {
            EnvironmentDelta::OutOfReach => Ok(self.reload().await?),
            EnvironmentDelta::Changes { revision, .. } if revision == state.position.revision => Ok(()),
            EnvironmentDelta::Changes { revision, objects } => {
                let delta = Delta::of_changes(&self.environment, &objects);
                self.warn_of(delta.broken());
                self.publish_kills(&state, revision, &delta).await;
                let next = Arc::new(state.after(revision, delta, self.app.clock.now()));
                self.states.send_replace(Arc::clone(&next));

                // Sent first, compiled after: nobody out there waits for the server's own copy.
                yield_now().await;
                let compiled = self.app.ruleset(&self.environment).await?;
                self.metering.configuration(&next, &compiled.ruleset);
                self.fronts.send_replace(Arc::new(Front { state: next, compiled }));
                Ok(())
            }
        }
    }

    async fn publish_kills(&self, state: &State, revision: u64, delta: &Delta) {
        let flags = state.newly_killed(delta);
        if let Some(frame) = state::kill_frame(&state.position.epoch, revision, &flags, self.app.clock.now()) {
            self.kills.send_replace(Some(KillFrame { revision, frame }));
            // Whom it woke on this thread goes first.
            yield_now().await;
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let (state, compiled) = load(&self.environment, &self.app).await?;
        tracing::info!(
            environment = self.environment.scope(),
            epoch = &*state.position.epoch,
            revision = state.position.revision,
            "loaded the environment anew"
        );
        self.warn_of(state.broken());
        self.metering.configuration(&state, &compiled.ruleset);
        // Another timeline counts anew.
        self.app.heads.remove(&self.environment);
        let state = Arc::new(state);
        self.states.send_replace(Arc::clone(&state));
        self.fronts.send_replace(Arc::new(Front { state, compiled }));
        Ok(())
    }

    fn warn_of<'b>(&self, broken: impl Iterator<Item = &'b BrokenDocument>) {
        for document in broken {
            tracing::warn!(environment = self.environment.scope(), "{document}");
        }
    }
}

async fn load(environment: &EnvironmentId, app: &App) -> Result<(State, Arc<Compiled>), StoreError> {
    let snapshot = app.store.environment_snapshot(environment).await?;
    let state = State::new(&snapshot.epoch, snapshot.revision, Delta::of_snapshot(environment, &snapshot));
    Ok((state, app.compile(environment, &snapshot)))
}
