//! All streams of the process: the hubs, what wakes them, who may connect, and the end.

use std::{
    collections::HashMap,
    sync::{Arc, Once},
    time::Duration,
};

use axum::extract::ws::Message;
use dashmap::DashMap;
use futures_util::{Sink, Stream, StreamExt as _};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tidegate_core::{Ruleset, Timestamp};
use tokio::{
    runtime::Handle,
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore, broadcast::error::RecvError},
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Credential, Hub, Pen, Receipts, State,
    events::EventCounters,
    intake::Intake,
    line::Line,
    revocation::{Watch, Watchlist},
    session::{self, Ended},
};
use crate::{
    app::App,
    ports::store::{EnvironmentId, StoreError, ToldReceipts},
    telemetry::{EnvironmentLabels, Metrics},
};

/// How streams are run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Streams open at once; more are turned away with 503.
    pub max_streams: usize,
    /// Each side sends something at least this often.
    pub heartbeat: Duration,
    /// From the open socket to the client's hello.
    pub hello_timeout: Duration,
    /// A client that does not take a frame within this time is dropped.
    pub send_timeout: Duration,
    /// How often the database is asked for its revisions: how long a lost hint delays a change.
    pub poll: Duration,
    /// How often the credentials of open streams are looked up.
    pub revocation_poll: Duration,
    /// How often receipts are shown as metrics, and told to other servers on the database.
    pub tell_receipts: Duration,
    /// SDKs send a receipt after a random part of this, and say how long it waited: the answers of thousands to a change are
    /// not to stand in the way of the change.
    pub receipt_spread: Duration,
    /// How long after events were written for rollouts the next are at the earliest.
    pub write_events: Duration,
    /// When the server stops, clients are told to come back after a random part of this.
    pub drain_spread: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_streams: 20_000,
            heartbeat: Duration::from_secs(15),
            hello_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            revocation_poll: Duration::from_secs(2),
            tell_receipts: Duration::from_millis(250),
            receipt_spread: Duration::from_millis(500),
            write_events: Duration::from_millis(100),
            drain_spread: Duration::from_secs(2),
        }
    }
}

/// What a server told of its SDKs counts for so long: one that has died counts no more after it. Servers' clocks may differ
/// by as much less than [`TELL_AGAIN_MS`].
const TOLD_FOR_MS: i64 = 15_000;

/// A server tells again at least this often.
const TELL_AGAIN_MS: i64 = 5_000;

/// All streams of the process.
pub struct Streams {
    /// The process, another name for each start.
    process: String,
    pub(super) app: App,
    pub(super) settings: Settings,
    pub(super) counters: Counters,
    pub(super) intake: Intake,
    metrics: Arc<Metrics>,
    hubs: DashMap<EnvironmentId, Arc<OnceCell<Arc<Hub>>>>,
    watchlist: Watchlist,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    background: Once,
}

/// What is counted of streams, beside those that are open.
pub(super) struct Counters {
    /// Streams that ended, by why.
    ended: Family<EndedLabels, Counter>,
    /// Full transfers that clients asked for, because something did not fit.
    pub resyncs: Counter,
    /// Streams turned away because too many were open.
    turned_away: Counter,
    pub events: EventCounters,
    receipts: ReceiptGauges,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndedLabels {
    reason: &'static str,
}

/// One open stream in the gauge.
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The right to open one stream.
#[derive(Debug)]
pub struct Admission {
    _permit: OwnedSemaphorePermit,
}

impl Streams {
    /// Streams of what `app` commits. Nothing runs before the first hub is asked for.
    pub fn new(app: App, metrics: Arc<Metrics>, settings: Settings) -> Arc<Self> {
        let counters = Counters {
            ended: Family::default(),
            resyncs: Counter::default(),
            turned_away: Counter::default(),
            events: EventCounters::default(),
            receipts: ReceiptGauges::default(),
        };
        counters.receipts.register(&metrics);
        counters.events.register(&metrics);
        metrics.register("streams_ended", "Streams that ended, by reason", counters.ended.clone());
        metrics.register("stream_resyncs", "Full transfers that clients asked for", counters.resyncs.clone());
        metrics.register("streams_turned_away", "Streams refused as too many at once", counters.turned_away.clone());
        Arc::new(Self {
            process: app.ids.ulid(app.clock.now()),
            app,
            counters,
            intake: Intake::default(),
            metrics,
            hubs: DashMap::new(),
            watchlist: Watchlist::default(),
            permits: Arc::new(Semaphore::new(settings.max_streams)),
            settings,
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            background: Once::new(),
        })
    }

    /// The hub of an environment, which must exist; loaded when it is first asked for.
    ///
    /// # Errors
    /// As the store, when it is loaded.
    pub async fn hub(self: &Arc<Self>, environment: &EnvironmentId) -> Result<Arc<Hub>, StoreError> {
        self.background.call_once(|| {
            self.tasks.spawn(Arc::clone(self).watch_changes());
            self.tasks.spawn(Arc::clone(self).watch_credentials());
            self.tasks.spawn(Arc::clone(self).tell_receipts());
            self.tasks.spawn(Arc::clone(self).write_events());
        });
        if let Some(hub) = self.loaded(environment) {
            return Ok(hub);
        }
        let cell = Arc::clone(&self.hubs.entry(environment.clone()).or_default());
        let hub = cell.get_or_try_init(async || {
            let metering = Metering { metrics: Arc::clone(&self.metrics), labels: labels(environment) };
            let hub = Arc::new(Hub::load(environment.clone(), self.app.clone(), metering).await?);
            self.tasks.spawn(Arc::clone(&hub).follow(self.shutdown.clone()));
            self.tasks.spawn(Arc::clone(&hub).pace(self.shutdown.clone()));
            for _ in 0..Handle::current().metrics().num_workers() {
                self.tasks.spawn(Arc::clone(&hub).tell(self.shutdown.clone()));
            }
            Ok::<_, StoreError>(hub)
        });
        Ok(Arc::clone(hub.await?))
    }

    /// How far the environment's newest revision has come.
    ///
    /// # Errors
    /// As [`hub`](Self::hub).
    pub async fn receipts(self: &Arc<Self>, environment: &EnvironmentId) -> Result<Receipts, StoreError> {
        let hub = self.hub(environment).await?;
        let own = hub.ledger.receipts(&hub.state());
        if !self.app.store.is_shared() {
            return Ok(own);
        }
        let alive_since = Timestamp(self.app.clock.now().0.saturating_sub(TOLD_FOR_MS));
        let told = self.app.store.told_receipts(environment, alive_since).await?;
        let others = told.into_iter().filter(|told| told.process != self.process);
        // What a newer or older server tells in another form is left out.
        Ok(own.together(others.filter_map(|told| serde_json::from_str(&told.body).ok())))
    }

    /// The right to open a stream; `None` where too many are open, or the server is about to stop.
    pub fn admit(&self) -> Option<Admission> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok().filter(|_| !self.shutdown.is_cancelled());
        if permit.is_none() {
            self.counters.turned_away.inc();
        }
        permit.map(|permit| Admission { _permit: permit })
    }

    /// Runs one stream, over any socket of websocket messages, to its end. With a `pen`, the hub sends in the stream's stead
    /// what there is to send while the stream waits.
    pub fn serve<S, E>(
        self: Arc<Self>,
        mut socket: S,
        pen: Option<Arc<dyn Pen>>,
        hub: Arc<Hub>,
        with: Credential,
        admission: Admission,
    ) -> impl Future<Output = ()>
    where
        S: Stream<Item = Result<Message, E>> + Sink<Message> + Unpin,
    {
        // Not an `async fn`, and the socket lent: each move into a future of its own would take the room once more.
        let tasks = self.tasks.clone();
        tasks.track_future(async move {
            let open = self.opened(&hub.environment);
            let watch = self.watch(with.clone());
            let ended = session::run(&self, &hub, &mut socket, Line::new(pen), &with, &watch.over).await;
            drop(open);
            self.counters.ended.get_or_create(&EndedLabels { reason: ended.reason() }).inc();
            drop(admission);
        })
    }

    /// Counts a stream as open until it is dropped.
    pub(super) fn opened(&self, environment: &EnvironmentId) -> Open {
        let open = self.metrics.streams.get_or_create_owned(&labels(environment));
        open.inc();
        Open(open)
    }

    /// Is told when the credential is not valid any more, or the server stops.
    pub(super) fn watch(&self, credential: Credential) -> Watch {
        self.watchlist.watch(credential, &self.shutdown)
    }

    /// Says goodbye to everybody and waits until all have gone.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Wakes the hubs: at a hint from this process or, through the database, from another, and when the database's
    /// revisions say so.
    async fn watch_changes(self: Arc<Self>) {
        let mut hints = self.app.changes.subscribe();
        let mut announcements = self.app.store.announcements();
        let mut poll = interval(self.settings.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                _ = poll.tick() => self.poll().await,
                Some(environment) = announcements.next() => self.nudge(&environment),
                hint = hints.recv() => match hint {
                    Ok(environment) => self.nudge(&environment),
                    Err(RecvError::Lagged(_)) => self.poll().await,
                    // Cannot be: `app` holds a sender. Were it so, the poll would do.
                    Err(RecvError::Closed) => hints = self.app.changes.subscribe(),
                },
            }
        }
    }

    /// The truth, where hints are only hints.
    async fn poll(&self) {
        let (epoch, revisions) = match tokio::try_join!(self.app.store.epoch(), self.app.store.revisions()) {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the revisions cannot be read");
                return;
            }
        };
        for (environment, revision) in revisions {
            if let Some(hub) = self.loaded(&environment) {
                let position = &hub.state().position;
                if position.revision != revision || *position.epoch != *epoch {
                    hub.nudge();
                }
            }
        }
    }

    fn nudge(&self, environment: &EnvironmentId) {
        self.loaded(environment).iter().for_each(|hub| hub.nudge());
    }

    fn loaded(&self, environment: &EnvironmentId) -> Option<Arc<Hub>> {
        self.hubs.get(environment)?.get().cloned()
    }

    /// Shows the receipts as metrics and, where other servers share the database, tells them.
    async fn tell_receipts(self: Arc<Self>) {
        let mut told: HashMap<EnvironmentId, Told> = HashMap::new();
        let mut tell = interval(self.settings.tell_receipts);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                _ = tell.tick() => {}
            }
            let hubs: Vec<_> = self.hubs.iter().filter_map(|hub| hub.get().cloned()).collect();
            for hub in hubs {
                let now = self.app.clock.now();
                let position = hub.state().position.clone();
                let news = (hub.ledger.news(), position.epoch, position.revision);
                let before = told.get(&hub.environment);
                let is_news = before.is_none_or(|told| told.news != news);
                let is_due = before.is_none_or(|told| now.0.saturating_sub(told.at.0) >= TELL_AGAIN_MS);
                if is_news || is_due {
                    match self.tell(&hub, now).await {
                        Ok(()) => drop(told.insert(hub.environment.clone(), Told { news, at: now })),
                        // The next turn tries again.
                        Err(error) => {
                            tracing::warn!(error = &error as &dyn std::error::Error, "the receipts cannot be told");
                        }
                    }
                }
            }
        }
    }

    async fn tell(&self, hub: &Hub, now: Timestamp) -> Result<(), StoreError> {
        let receipts = hub.ledger.receipts(&hub.state());
        self.counters.receipts.show(&labels(&hub.environment), &receipts);
        if !self.app.store.is_shared() {
            return Ok(());
        }
        let body = serde_json::to_string(&receipts)
            .unwrap_or_else(|error| unreachable!("receipts have only string keys: {error}"));
        let told = ToldReceipts { process: self.process.clone(), environment: hub.environment.clone(), body, at: now };
        self.app.store.tell_receipts(&told).await
    }

    async fn watch_credentials(self: Arc<Self>) {
        let mut poll = interval(self.settings.revocation_poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                _ = poll.tick() => self.watchlist.sweep(&self.app).await,
            }
        }
    }
}

/// What was told last of an environment.
struct Told {
    news: (u64, Arc<str>, u64),
    at: Timestamp,
}

/// The receipts of this process.
#[derive(Default)]
pub(super) struct ReceiptGauges {
    connected: Family<EnvironmentLabels, Gauge>,
    applied: Family<EnvironmentLabels, Gauge>,
    slowest_ms: Family<EnvironmentLabels, Gauge>,
}

impl ReceiptGauges {
    fn register(&self, metrics: &Metrics) {
        metrics.register("receipts_connected", "SDKs connected to this server", self.connected.clone());
        let applied = "SDKs connected to this server that evaluate with the newest revision";
        metrics.register("receipts_applied", applied, self.applied.clone());
        let slowest = "Milliseconds from the acceptance of the newest revision to its last receipt";
        metrics.register("receipts_slowest_ms", slowest, self.slowest_ms.clone());
    }

    fn show(&self, labels: &EnvironmentLabels, receipts: &Receipts) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.connected.get_or_create(labels).set(count(receipts.connected));
        self.applied.get_or_create(labels).set(count(receipts.applied));
        self.slowest_ms.get_or_create(labels).set(receipts.slowest_ms.unwrap_or_default());
    }
}

pub(super) fn labels(environment: &EnvironmentId) -> EnvironmentLabels {
    EnvironmentLabels { project: environment.project.clone(), environment: environment.environment.clone() }
}

/// What a hub tells of its configuration.
pub(super) struct Metering {
    metrics: Arc<Metrics>,
    labels: EnvironmentLabels,
}

impl Metering {
    pub fn configuration(&self, state: &State, ruleset: &Ruleset) {
        let broken = i64::try_from(state.broken().count()).unwrap_or(i64::MAX);
        self.metrics.broken_documents.get_or_create(&self.labels).set(broken);
        let issues = i64::try_from(ruleset.issues().count()).unwrap_or(i64::MAX);
        self.metrics.compile_issues.get_or_create(&self.labels).set(issues);
    }
}

impl Ended {
    /// For the metric.
    fn reason(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Goodbye(reason) => reason,
        }
    }
}
