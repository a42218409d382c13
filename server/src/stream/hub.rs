//! The hub of one environment: follows the store, publishes states.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use tidegate_protocol::Position;
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::{spawn_blocking, yield_now},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    frame::{Frame, Pen},
    intake::Batches,
    lane::{Lane, News, Pacer},
    line::Place,
    receipts::Ledger,
    state::{self, ChangeSet, Delta, Encoding, KillFrame, State},
    streams::Metering,
    view::Front,
};
use crate::{
    app::{App, AppError, BrokenDocument, rulesets::Compiled, watching::Watching},
    ports::store::{EnvironmentDelta, EnvironmentId, StoreError, Touched, TouchedKind},
};

/// A request waits this long for a change that was committed just before it.
const CATCH_UP: Duration = Duration::from_millis(250);

/// A client gets at most ten change sets a second: what happens in between goes with the next. Otherwise a storm of changes
/// would fill the buffers on the way to a slow client, and a kill would wait behind them.
const CALM: Duration = Duration::from_millis(100);

/// Compressing so much takes about a millisecond.
const COMPRESS_APART_FROM_BYTES: usize = 64 * 1024;

/// One environment's hub. One task (`follow`) writes; sessions and requests read.
pub struct Hub {
    /// Its environment.
    pub environment: EnvironmentId,
    app: App,
    metering: Metering,
    state: ArcSwap<State>,
    fronts: watch::Sender<Arc<Front>>,
    kill: ArcSwapOption<KillFrame>,
    pub(super) kills: Arc<Lane>,
    pub(super) changes: Arc<Lane>,
    pub(super) views: Arc<Lane>,
    pacer: Pacer<3>,
    /// There is a newer state, or a newer front.
    changed: Notify,
    viewed: Notify,
    hint: Notify,
    /// The right to ask the database for old changes, or to compress: thousands that come back together ask the same.
    lookups: Semaphore,
    pub(super) ledger: Ledger,
    pub(super) batches: Arc<Batches>,
    watching: ArcSwap<Watching>,
}

impl Hub {
    /// Reads the environment from the store.
    pub(super) async fn load(environment: EnvironmentId, app: App, metering: Metering) -> Result<Self, StoreError> {
        let (state, compiled, watching) = load(&environment, &app).await?;
        metering.configuration(&state, &compiled.ruleset);
        let state = Arc::new(state);
        let [kills, changes, views] = [News::Kill, News::Change, News::View].map(Lane::new);
        let hub = Self {
            environment,
            app,
            metering,
            state: ArcSwap::new(Arc::clone(&state)),
            fronts: watch::Sender::new(Arc::new(Front { state, compiled })),
            kill: ArcSwapOption::empty(),
            pacer: Pacer::new([&kills, &changes, &views]),
            kills,
            changes,
            views,
            changed: Notify::new(),
            viewed: Notify::new(),
            hint: Notify::new(),
            lookups: Semaphore::new(1),
            ledger: Ledger::default(),
            batches: Arc::default(),
            watching: ArcSwap::from_pointee(watching),
        };
        hub.warn_of(hub.state().broken());
        Ok(hub)
    }

    /// The newest state.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// What is evaluated with here, without a look into the database: never behind what this process committed.
    pub async fn front(&self) -> Arc<Front> {
        self.front_at(0).await
    }

    /// As [`front`](Self::front), and not behind `revision`, which another process told of.
    pub async fn front_at(&self, revision: u64) -> Arc<Front> {
        let head = self.app.heads.get(&self.environment).map_or(0, |head| *head).max(revision);
        let front = self.newest_front();
        if front.compiled.revision >= head {
            return front;
        }
        self.nudge();
        let mut newer = self.fronts.subscribe();
        // Where it cannot be read now, what there is must do.
        let _ = timeout(CATCH_UP, newer.wait_for(|front| front.compiled.revision >= head)).await;
        self.newest_front()
    }

    /// What is evaluated with just now.
    pub(super) fn newest_front(&self) -> Arc<Front> {
        Arc::clone(&self.fronts.borrow())
    }

    /// What rollouts count.
    pub(super) fn watching(&self) -> Arc<Watching> {
        self.watching.load_full()
    }

    /// The bucket of a targeting key in the rollout of a flag, where there is one.
    pub fn bucket(&self, flag: &str, targeting_key: &str) -> Option<u32> {
        self.watching.load().bucket(flag, targeting_key)
    }

    fn watch(&self, watching: Watching) {
        if watching.is_empty() {
            self.batches.forget_exposures();
        }
        self.watching.store(Arc::new(watching));
    }

    /// The newest kill, where there was one.
    pub(super) fn newest_kill(&self) -> Option<Arc<KillFrame>> {
        self.kill.load_full()
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
            Some(at) if at.epoch == to.epoch && at.revision < to.revision => Some(if state.reaches(at.revision) {
                state.since(at.revision)
            } else {
                Box::pin(self.changes_since(state, at.revision)).await
            }),
            _ => Some(state.full()),
        }
    }

    /// The change set's frames. A large one is compressed apart, so that nobody else on this thread waits for it.
    pub(super) async fn encoded<'c>(&self, change_set: &'c Arc<ChangeSet>, encoding: Encoding) -> &'c [Frame] {
        if is_hard_work(change_set, encoding) {
            Box::pin(self.compress(change_set)).await;
        }
        change_set.encoded(encoding)
    }

    async fn compress(&self, change_set: &Arc<ChangeSet>) {
        // One at a time, or a thousand clients that come back together take every thread.
        let _turn = self.lookups.acquire().await.ok();
        let work = Arc::clone(change_set);
        // Where it fails, who asks finds it undone, and does it.
        let _ = spawn_blocking(move || work.encoded(Encoding::Deflate).len()).await;
    }

    /// What brings a client from `revision`, which the state does not remember, to `state`; everything, where nobody knows
    /// what happened since.
    async fn changes_since(&self, state: &State, revision: u64) -> Arc<ChangeSet> {
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

    /// Calls the lanes of changes, until `shutdown`. To be run once, in a task of its own.
    pub(super) async fn pace(self: Arc<Self>, shutdown: CancellationToken) {
        let calling = async {
            tokio::join!(self.call_calmly(&self.changed, &self.changes), self.call_calmly(&self.viewed, &self.views))
        };
        shutdown.run_until_cancelled(calling).await;
    }

    /// Tells the streams that are called, until `shutdown`. To be run in a task for each core.
    pub(super) async fn tell(self: Arc<Self>, shutdown: CancellationToken) {
        let telling = self.pacer.run(|news, line| {
            line.tell(|place, pen| match news {
                News::Kill => self.tell_kill(place, pen),
                News::Change => self.tell_change(place, pen),
                // What a client key sees is evaluated by the stream's own task.
                News::View => false,
            })
        });
        shutdown.run_until_cancelled(telling).await;
    }

    fn tell_kill(&self, place: &mut Place, pen: &dyn Pen) -> bool {
        let kill = self.kill.load();
        let Some(kill) = &*kill else { return true };
        place.knows_kill(kill.revision) || place.write(pen, &kill.frame, |place| place.killed_to = kill.revision)
    }

    /// The usual: one small frame, for a client that is where the state remembers to have been.
    fn tell_change(&self, place: &mut Place, pen: &dyn Pen) -> bool {
        let state = self.state.load();
        let (Some(at), to) = (&place.cursor, &state.position) else { return false };
        if at == to {
            return true;
        }
        if at.epoch != to.epoch || at.revision >= to.revision || !state.reaches(at.revision) {
            return false;
        }
        let change_set = state.since(at.revision);
        if is_hard_work(&change_set, place.encoding) {
            return false;
        }
        let [frame] = change_set.encoded(place.encoding) else { return false };
        if let Some(kill) = change_set.kill.as_ref().filter(|kill| kill.revision > place.killed_to)
            && !place.write(pen, &kill.frame, |place| place.killed_to = kill.revision)
        {
            return false;
        }
        place.write(pen, frame, |place| place.cursor = Some(to.clone()))
    }

    /// Calls a lane as often as there is something new, but not again within [`CALM`].
    async fn call_calmly(&self, news: &Notify, lane: &Lane) {
        loop {
            news.notified().await;
            self.pacer.call(lane);
            sleep(CALM).await;
        }
    }

    fn publish_state(&self, state: &Arc<State>) {
        self.state.store(Arc::clone(state));
        self.changed.notify_one();
    }

    fn publish_front(&self, front: Front) {
        self.fronts.send_replace(Arc::new(front));
        self.viewed.notify_one();
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
                // First: whatever clients say of what is sent below is counted.
                let watching = self.watching();
                let touched = objects.iter().map(|(Touched { kind, key }, live)| (*kind, key.as_str(), live.as_ref()));
                let moved = watching.changes(touched);
                if !moved.is_empty() {
                    let watching = Watching::clone(&watching);
                    self.watch(self.app.watching(&self.environment, watching, moved).await?);
                }
                let delta = Delta::of_changes(&self.environment, &objects);
                self.warn_of(delta.broken());
                let is_kill = self.publish_kills(&state, revision, &delta).await;
                let next = Arc::new(state.after(revision, delta, self.app.clock.now()));
                self.publish_state(&next);

                // Sent first, compiled after: nobody out there waits for the server's own copy.
                yield_now().await;
                let compiled = self.app.ruleset(&self.environment).await?;
                self.metering.configuration(&next, &compiled.ruleset);
                self.publish_front(Front { state: next, compiled });
                if is_kill {
                    // What client keys see has no lane for kills, and this does not wait until it is calm.
                    self.pacer.call(&self.views);
                }
                Ok(())
            }
        }
    }

    /// Returns whether there was one.
    async fn publish_kills(&self, state: &State, revision: u64, delta: &Delta) -> bool {
        let flags = state.newly_killed(delta);
        let Some(frame) = state::kill_frame(&state.position.epoch, revision, &flags, self.app.clock.now()) else {
            return false;
        };
        self.kill.store(Some(Arc::new(KillFrame { revision, frame })));
        self.pacer.call(&self.kills);
        // The streams go first.
        yield_now().await;
        true
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let (state, compiled, watching) = load(&self.environment, &self.app).await?;
        self.watch(watching);
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
        self.publish_state(&state);
        self.publish_front(Front { state, compiled });
        Ok(())
    }

    fn warn_of<'b>(&self, broken: impl Iterator<Item = &'b BrokenDocument>) {
        for document in broken {
            tracing::warn!(environment = self.environment.scope(), "{document}");
        }
    }
}

/// Whether to encode it would keep others waiting.
fn is_hard_work(change_set: &ChangeSet, encoding: Encoding) -> bool {
    encoding == Encoding::Deflate && change_set.is_raw() && change_set.bytes() > COMPRESS_APART_FROM_BYTES
}

async fn load(environment: &EnvironmentId, app: &App) -> Result<(State, Arc<Compiled>, Watching), StoreError> {
    let snapshot = app.store.environment_snapshot(environment).await?;
    let watching = Watching::default();
    let flags = snapshot.flags.iter().map(|live| (TouchedKind::Flag, live.0.id.key.as_str(), Some(live)));
    let changes = watching.changes(flags);
    let watching = app.watching(environment, watching, changes).await?;
    let state = State::new(&snapshot.epoch, snapshot.revision, Delta::of_snapshot(environment, &snapshot));
    Ok((state, app.compile(environment, &snapshot), watching))
}
