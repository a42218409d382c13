//! The rollout controller: looks, plans, and does what is planned.
//!
//! Everything that it decides is decided by [`plan`](tidegate_rollout::plan()), and everything that it does goes through the same
//! commands as a person's, expecting the version that it planned from. Of several controllers on one database one works, under a lease
//! that the others take when it dies; what it commits it commits behind the lease's fence, so that one that does not know yet that it
//! was taken for dead changes nothing any more. Nothing is kept here but when to look next: a process that dies leaves nothing half
//! done.

mod asking;
mod lease;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;
use tidegate_core::Timestamp;
use tidegate_rollout::{Decision, Observation, plan, plan::LOOK_MS};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub use self::asking::{Asker, Counted, QuestionLabels, SourceLabels};
use self::lease::{Held, Keeper};
use crate::{
    app::{
        App, AppError, Stored,
        looks::{LiveRollout, Seen, keep_every_ms},
        model::FlagEnvironment,
        moment::Moment,
        rollouts::Rollout,
        watches::Reach,
    },
    ports::store::{EnvironmentId, Fence, StoreError},
};

/// How far a change has come among the connected SDKs.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Of the environment's newest revision.
    async fn reach(&self, environment: &EnvironmentId) -> Result<Reach, StoreError>;
}

/// How often it sees whether something is due.
const TICK: Duration = Duration::from_millis(500);

/// How often a controller without the lease looks whether it is free.
const FOLLOW_MS: i64 = 1_000;

/// How many ticks until all environments are looked at, whatever hints there were.
const ALL_EVERY: u32 = 20;

/// Looks at rollouts, plans for them, and carries it out.
pub struct Controller {
    app: App,
    receipts: Arc<dyn Receipts>,
    lease: Keeper,
    /// When to look at an environment's rollouts.
    due: BTreeMap<EnvironmentId, Timestamp>,
    /// Where rollouts go on.
    busy: BTreeSet<EnvironmentId>,
    /// The epoch of the lease under which the log is counted.
    counted: Option<u64>,
    /// When what was seen of a rollout was last kept.
    kept: BTreeMap<String, Timestamp>,
    /// How it does.
    pub gauges: Gauges,
}

/// How a controller does, for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// By how many milliseconds the look that was due first came too late, at the last turn in which one was due.
    pub late_ms: Gauge,
    /// When it last looked at a rollout under the lease, in milliseconds since 1970; 0: it never did.
    pub looked_at_ms: Gauge,
}

impl Controller {
    /// A controller of all rollouts on the application's database.
    pub fn new(app: App, receipts: Arc<dyn Receipts>) -> Self {
        let lease = Keeper::new(app.clone());
        Self {
            app,
            receipts,
            lease,
            due: BTreeMap::new(),
            busy: BTreeSet::new(),
            counted: None,
            kept: BTreeMap::new(),
            gauges: Gauges::default(),
        }
    }

    /// Looks and acts until `shutdown`; then another controller may go on at once.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.run_until(shutdown).await;
        self.lease.give_up().await;
    }

    async fn run_until(&mut self, shutdown: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hints = self.app.changes.subscribe();
        let mut n_ticks = 0_u32;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                hint = hints.recv() => match hint {
                    Ok(environment) => self.look_soon(environment),
                    Err(RecvError::Lagged(_)) => n_ticks = 0,
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => {
                    if n_ticks.is_multiple_of(ALL_EVERY) {
                        self.find_all().await;
                    }
                    n_ticks = n_ticks.wrapping_add(1);
                    self.turn().await;
                }
            }
        }
    }

    fn look_soon(&mut self, environment: EnvironmentId) {
        self.due.insert(environment, Timestamp(i64::MIN));
    }

    /// Looks at every environment, due or not.
    pub async fn look_around(&mut self) {
        self.find_all().await;
        self.turn().await;
    }

    async fn find_all(&mut self) {
        match self.app.store.revisions().await {
            Ok(revisions) => revisions.into_iter().for_each(|(environment, _)| self.look_soon(environment)),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "rollouts are not looked at"),
        }
    }

    /// Looks at all that is due.
    async fn turn(&mut self) {
        for environment in self.app.questions.news() {
            self.look_soon(environment);
        }
        let now = self.app.clock.now();
        let due: BTreeSet<_> = self.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        // What was hinted at is due at once, and not late.
        let planned = due.iter().filter_map(|environment| self.due.get(environment)).filter(|at| at.0 > i64::MIN);
        if let Some(first) = planned.min() {
            self.gauges.late_ms.set(now.0.saturating_sub(first.0));
        }
        for environment in due {
            let looked = self.look(&environment).await;
            self.heed(&looked);
            match looked {
                Ok(Some(next)) => drop(self.due.insert(environment, next)),
                Ok(None) => drop(self.due.remove(&environment)),
                Err(error) => {
                    self.due.insert(environment.clone(), Timestamp(now.0.saturating_add(LOOK_MS)));
                    let EnvironmentId { project, environment } = &environment;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, project, environment, "rollouts are not looked at");
                }
            }
        }
        if self.lease.is_held()
            && let Err(error) = self.keep().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "what rollouts count is behind");
        }
    }

    /// Keeps the lease as long as there is something to do, and what is counted up to date.
    async fn keep(&mut self) -> Result<(), AppError> {
        let Some(Held { fence, .. }) = self.lease.hold().await? else { return Ok(()) };
        let kept = async {
            self.count(&fence).await?;
            if self.busy.is_empty() {
                return Ok(self.app.forget_events(&fence).await?);
            }
            Ok(self.app.checkpoint(&fence).await?)
        };
        let kept = kept.await;
        self.heed(&kept);
        if self.busy.is_empty() {
            self.lease.give_up().await;
        }
        kept
    }

    /// Counts what the log has, from the last checkpoint where somebody else counted before.
    async fn count(&mut self, fence: &Fence) -> Result<(), AppError> {
        if self.counted != Some(fence.epoch) {
            self.counted = None;
            self.app.begin_counting().await?;
            self.counted = Some(fence.epoch);
        }
        self.app.count_events().await?;
        Ok(())
    }

    /// Whoever is fenced has lost the lease.
    fn heed<T>(&mut self, outcome: &Result<T, AppError>) {
        if let Err(AppError::Store(StoreError::Fenced { .. })) = outcome {
            self.lease.lost();
        }
    }

    /// Looks at an environment's rollouts, and does what is to be done. Returns when to look again; `None`: there are none.
    async fn look(&mut self, environment: &EnvironmentId) -> Result<Option<Timestamp>, AppError> {
        let running = self.app.running_rollouts(environment).await?;
        let ids: Vec<_> = running.iter().map(|(stored, _)| stored.id.key.clone()).collect();
        self.app.questions.retain(environment, &ids);
        if running.is_empty() {
            self.busy.remove(environment);
            if self.busy.is_empty() {
                self.kept.clear();
            }
            self.app.watches.follow(environment, []);
            return Ok(None);
        }
        self.busy.insert(environment.clone());
        let Some(Held { fence, attention }) = self.lease.hold().await? else {
            if self.counted.take().is_some() {
                self.app.watches.begin(0);
                self.app.questions.retain(environment, &[]);
            }
            return Ok(Some(Timestamp(self.app.clock.now().0.saturating_add(FOLLOW_MS))));
        };
        self.count(&fence).await?;
        self.app.watches.follow(environment, running.iter().map(|(stored, _)| (stored.id.key.as_str(), &stored.body)));
        self.begin_steps(environment, &running).await?;
        let reach = self.receipts.reach(environment).await?;
        let restrictions = self.app.restrictions(environment).await?;
        let (mut next, mut looks) = (Timestamp(i64::MAX), Vec::new());
        for (stored, configuration) in running {
            let (id, rollout) = (&stored.id.key, &stored.body);
            let now = self.app.clock.now();
            let is_off = configuration.is_off();
            let seen = self.app.watches.look(environment, id, rollout, is_off, reach, attention);
            let (frozen_until, turn_of) = (restrictions.frozen_until, restrictions.turn_of_another(id));
            let mut seen = Observation { frozen_until, turn_of, ..seen };
            self.app.recall_readings(environment, &stored).await?;
            self.app.questions.judge(environment, id, rollout, &mut seen.judgements, now);
            let plan = plan(&rollout.spec, &rollout.status, &seen, now);
            next = next.min(plan.next_look.unwrap_or(next));
            if plan.status != rollout.status {
                match self.app.carry_out(environment, &stored, &plan, fence.clone()).await {
                    Ok(()) => {}
                    Err(error @ AppError::Store(StoreError::Fenced { .. })) => return Err(error),
                    // Somebody else moved it: planned again at the next tick.
                    Err(AppError::Stale { .. }) => {
                        next = now;
                        continue;
                    }
                    // That rollout's trouble: the others go on, above all back.
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, flag = rollout.flag.as_str(), rollout = id, "a rollout was not moved");
                        next = next.min(Timestamp(now.0.saturating_add(LOOK_MS)));
                        continue;
                    }
                }
                if plan.decision != Decision::Wait {
                    let EnvironmentId { project, environment } = environment;
                    let flag = rollout.flag.as_str();
                    let what = plan.decision.told(&rollout.spec);
                    tracing::info!(project, environment, flag, rollout = id, "rollout {what}: {}", plan.reason);
                }
            }
            let is_kept = self.is_kept(id, stored.created_at, now) || plan.decision != Decision::Wait;
            let live = LiveRollout::new(Moment(now), seen.seen, seen.judgements, &rollout.spec, &plan);
            looks.push(Seen { rollout: id.clone(), live, is_kept });
            self.gauges.looked_at_ms.set(now.0);
        }
        if let Err(error) = self.app.tell_looks(environment, looks).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was seen of rollouts is not told");
        }
        Ok(Some(next))
    }

    /// Whether it is time to keep what is seen of a rollout.
    fn is_kept(&mut self, id: &str, created_at: Timestamp, now: Timestamp) -> bool {
        let every_ms = keep_every_ms(now.0.saturating_sub(created_at.0));
        let last = self.kept.entry(id.to_owned()).or_insert(Timestamp(i64::MIN));
        let is_due = now.0.saturating_sub(last.0) >= every_ms;
        if is_due {
            *last = now;
        }
        is_due
    }

    /// A step begins in the log with the commit that it begins with; what was lost of the log since begins it anew.
    async fn begin_steps(
        &self,
        environment: &EnvironmentId,
        running: &[(Stored<Rollout>, FlagEnvironment)],
    ) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        for (stored, _) in running {
            let (id, step) = (&stored.id.key, stored.body.status.step);
            if let Some(step) = step.filter(|step| self.app.watches.step(environment, id) < Some(*step as u64)) {
                missing.push(self.app.step(environment, id, step));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.app.store.append_events(&missing, self.app.clock.now()).await?;
        self.app.count_events().await
    }
}
