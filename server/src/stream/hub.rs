//! The hub of one environment: follows the store, publishes states.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, Semaphore, watch},
    task::yield_now,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    receipts::Ledger,
    state::{self, ChangeSet, Delta, KillFrame, State},
    streams::Metering,
};
use crate::{
    app::{App, AppError, BrokenDocument, rulesets::Compiled},
    ports::store::{EnvironmentDelta, EnvironmentId, StoreError},
};

/// A request waits this long for a change that was committed just before it.
const CATCH_UP: Duration = Duration::from_millis(250);

/// One environment's hub. One task (`follow`) writes; sessions and requests read.
pub struct Hub {
    /// Its environment.
    pub environment: EnvironmentId,
    app: App,
    metering: Metering,
    states: watch::Sender<Arc<State>>,
    compiled: watch::Sender<Arc<Compiled>>,
    kills: watch::Sender<Option<KillFrame>>,
    hint: Notify,
    /// The right to ask the database for old changes: thousands that come back together ask the same.
    lookups: Semaphore,
    pub(super) ledger: Ledger,
}

impl Hub {
    /// Reads the environment from the store.
    pub(super) async fn load(environment: EnvironmentId, app: App, metering: Metering) -> Result<Self, StoreError> {
        let (state, compiled) = load(&environment, &app).await?;
        metering.configuration(&state, &compiled.ruleset);
        let hub = Self {
            environment,
            app,
            metering,
            states: watch::Sender::new(Arc::new(state)),
            compiled: watch::Sender::new(compiled),
            kills: watch::Sender::new(None),
            hint: Notify::new(),
            lookups: Semaphore::new(1),
            ledger: Ledger::default(),
        };
        hub.warn_of(hub.state().broken());
        Ok(hub)
    }

    /// The newest state.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.states.borrow())
    }

    /// What is evaluated with here, without a look into the database: never behind what this process committed.
    pub async fn ruleset(&self) -> Arc<Compiled> {
        self.ruleset_at(0).await
    }

    /// As [`ruleset`](Self::ruleset), and not behind `revision`, which another process told of.
    pub async fn ruleset_at(&self, revision: u64) -> Arc<Compiled> {
        let head = self.app.heads.get(&self.environment).map_or(0, |head| *head).max(revision);
        let compiled = Arc::clone(&self.compiled.borrow());
        if compiled.revision >= head {
            return compiled;
        }
        self.nudge();
        let mut newer = self.compiled.subscribe();
        // Where it cannot be read now, what there is must do.
        let _ = timeout(CATCH_UP, newer.wait_for(|compiled| compiled.revision >= head)).await;
        Arc::clone(&self.compiled.borrow())
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

    /// What brings a client from `revision` to `state`; everything, where nobody knows what happened since.
    pub(super) async fn changes_since(&self, state: &State, revision: u64) -> Arc<ChangeSet> {
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
                self.compiled.send_replace(compiled);
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
        self.states.send_replace(Arc::new(state));
        self.compiled.send_replace(compiled);
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
