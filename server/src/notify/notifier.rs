//! Reads the audit log, enqueues, sends, tries again.

use std::{collections::BTreeMap, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use tidegate_core::Timestamp;
use tokio::{
    sync::broadcast::error::RecvError,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::tell::tell;
use crate::{
    app::{App, channels::Channel, secret},
    ports::{
        IdSource,
        notify::{Attempt, Notification, Outcome},
        store::{Delivery, DeliveryAttempt, DeliveryState, Enqueue, StoreError},
    },
    telemetry::{Metrics, Stopwatch},
};

/// How often it looks by itself: for what other servers wrote, and for what is due again.
const TICK: Duration = Duration::from_secs(1);

/// Rows read at a time: a row can have some hundred KiB.
const PAGE: u32 = 50;

/// Messages on their way at once, of as many channels: a channel gets one at a time, so that one that hangs keeps one place.
const MAX_IN_FLIGHT: usize = 32;

/// Longer than any messenger takes: only so that the claim below is never outlived.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(40);

/// After so long, somebody else tries what a process took and never told of again.
const CLAIM_MS: i64 = 60_000;

/// How long messages on their way may take when the process is told to stop. Those that do not make it are sent again.
const GRACE: Duration = Duration::from_secs(2);

/// Messages of a channel that wait at most.
const MAX_WAITING: u32 = 1_000;

/// How often a message is tried: with the waits below, for 24 hours, more or less.
pub const MAX_ATTEMPTS: u32 = 56;

/// The wait after the first attempt is up to so long, after the second up to twice as long, and so on.
const FIRST_WAIT_MS: u64 = 10_000;

/// No wait is longer.
const MAX_WAIT_MS: u64 = 3_600_000;

/// Nor shorter.
const MIN_WAIT_MS: u64 = 1_000;

/// How long deliveries are kept once they do not wait any more.
const KEEP_MS: i64 = 30 * 24 * 3_600_000;

/// Forgotten at a time.
const PRUNE_PAGE: u32 = 1_000;

/// The notifier of a process. Several on one database take turns.
pub struct Notifier {
    app: App,
    metrics: NotifierMetrics,
    in_flight: JoinSet<()>,
}

/// What is counted.
#[derive(Clone)]
struct NotifierMetrics {
    attempts: Family<AttemptLabels, Counter>,
    dropped: Counter,
    n_waiting: Gauge,
    oldest_s: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AttemptLabels {
    /// The channel's kind; `none` where the channel is gone.
    kind: &'static str,
    /// `delivered`, `failed` (it is tried again) or `dead`.
    outcome: &'static str,
}

impl Notifier {
    /// A notifier that tells what it counts.
    pub fn new(app: App, metrics: &Metrics) -> Self {
        let ours = NotifierMetrics {
            attempts: Family::default(),
            dropped: Counter::default(),
            n_waiting: Gauge::default(),
            oldest_s: Gauge::default(),
        };
        let NotifierMetrics { attempts, dropped, n_waiting, oldest_s } = ours.clone();
        metrics.register("notification_attempts", "Attempts to send a notification, by how they ended", attempts);
        metrics.register("notifications_dropped", "Notifications dropped as too many waited", dropped);
        metrics.register("notifications_waiting", "Notifications that wait to be sent", n_waiting);
        let help = "How long the oldest notification that waits has waited";
        metrics.register("notifications_oldest_seconds", help, oldest_s);
        Self { app, metrics: ours, in_flight: JoinSet::new() }
    }

    /// Reads and sends until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hints = self.app.changes.subscribe();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                hint = hints.recv() => match hint {
                    // One look is for all that happened meanwhile.
                    Ok(_) | Err(RecvError::Lagged(_)) => while hints.try_recv().is_ok() {},
                    Err(RecvError::Closed) => break,
                },
                _ = ticks.tick() => {}
                _ = self.in_flight.join_next(), if !self.in_flight.is_empty() => {}
            }
            if let Err(error) = self.turn().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "notifications wait");
            }
        }
        let rest = async { while self.in_flight.join_next().await.is_some() {} };
        if timeout(GRACE, rest).await.is_err() {
            tracing::info!("notifications on their way were given up, and are sent again later");
        }
    }

    /// Reads what is new, and sends what is due and has room.
    async fn turn(&mut self) -> Result<(), StoreError> {
        loop {
            let LogRead { may_be_more, n_dropped } = read_log(&self.app).await?;
            self.metrics.dropped.inc_by(n_dropped);
            if n_dropped > 0 {
                tracing::warn!(n_dropped, "notifications are dropped, as too many wait for their channel");
            }
            if !may_be_more {
                break;
            }
        }
        let now = self.app.clock.now();
        let queue = self.app.store.delivery_queue().await?;
        self.metrics.n_waiting.set(i64::try_from(queue.n_waiting).unwrap_or(i64::MAX));
        self.metrics.oldest_s.set(queue.oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0).max(0) / 1_000));
        let room = u32::try_from(MAX_IN_FLIGHT.saturating_sub(self.in_flight.len())).unwrap_or(0);
        if room == 0 || queue.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        for delivery in take(&self.app, room).await? {
            let (app, metrics) = (self.app.clone(), self.metrics.clone());
            self.in_flight.spawn(async move {
                if let Err(error) = deliver(&app, &delivery, &metrics).await {
                    // The claim ends, and it is sent once more, under the same id.
                    tracing::warn!(error = &error as &dyn std::error::Error, id = delivery.id, "not recorded");
                }
            });
        }
        Ok(())
    }

    /// Reads what is new, sends what is due, and waits until all of it has come to an end. For tests.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn work_off(&mut self) -> Result<(), StoreError> {
        loop {
            self.turn().await?;
            if self.in_flight.join_next().await.is_none() {
                return Ok(());
            }
        }
    }
}

async fn deliver(app: &App, delivery: &Delivery, metrics: &NotifierMetrics) -> Result<(), StoreError> {
    let watch = Stopwatch::start();
    let (kind, attempt) = send(app, delivery).await?;
    let duration_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let state = record(app, delivery, attempt, duration_ms).await?;
    let outcome = match state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Waiting => "failed",
        DeliveryState::Dead => "dead",
    };
    metrics.attempts.get_or_create(&AttemptLabels { kind, outcome }).inc();
    Ok(())
}

/// What came of reading the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRead {
    /// Whether there may be more rows.
    pub may_be_more: bool,
    /// How many notifications were dropped, as too many wait for their channel.
    pub n_dropped: u64,
}

/// Reads the next rows of the audit log, and enqueues what is to be sent of them.
///
/// # Errors
/// Those of the store. Nothing is done then, and nothing is lost.
pub async fn read_log(app: &App) -> Result<LogRead, StoreError> {
    let from = app.store.notifier_cursor().await?;
    let rows = app.store.audit_chain(from, PAGE).await?;
    let Some(last) = rows.last() else { return Ok(LogRead::default()) };
    let (to, at) = (last.sequence, app.clock.now());
    let mut channels: BTreeMap<String, Vec<(String, Channel)>> = BTreeMap::new();
    let mut deliveries = Vec::new();
    for row in &rows {
        let Some(notification) = tell(row) else { continue };
        let project = &notification.project;
        if !channels.contains_key(project) {
            channels.insert(project.clone(), app.channels_of(project).await?);
        }
        let of_project = channels.get(project).map(Vec::as_slice).unwrap_or_default();
        let wanting = of_project.iter().filter(|(_, channel)| channel.wants(&notification));
        deliveries.extend(wanting.map(|(key, _)| delivery(key, &row.hash, &notification, at)));
    }
    let is_full = rows.len() >= PAGE as usize;
    let enqueue = Enqueue { from, to, deliveries, max_waiting: MAX_WAITING, at };
    // Another notifier was faster: what it enqueued is what we would have.
    let enqueued = app.store.enqueue_deliveries(&enqueue).await?;
    Ok(LogRead { may_be_more: is_full || enqueued.is_none(), n_dropped: enqueued.unwrap_or(0) })
}

fn delivery(channel: &str, row_hash: &str, notification: &Notification, at: Timestamp) -> Delivery {
    let Notification { project, environment, flag, rollout, sequence, .. } = notification;
    let told = serde_json::to_string(notification);
    let told = told.unwrap_or_else(|error| unreachable!("a notification has string keys only: {error}"));
    let name = [row_hash, project, channel].join("/");
    let id = secret::hash(&name).chars().take(32).collect::<String>();
    Delivery {
        id: format!("msg_{id}"),
        project: project.clone(),
        channel: channel.to_owned(),
        sequence: *sequence,
        subject: rollout.clone().unwrap_or_else(|| format!("{environment}/{flag}")),
        notification: told,
        state: DeliveryState::Waiting,
        n_attempts: 0,
        due_at: at,
        created_at: at,
        tried_at: None,
        status: None,
        duration_ms: None,
        problem: None,
    }
}

/// Takes up to `limit` deliveries that are due: they are this process's for `CLAIM_MS`.
///
/// # Errors
/// Those of the store.
pub async fn take(app: &App, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    let now = app.clock.now();
    app.store.take_deliveries(now, Timestamp(now.0.saturating_add(CLAIM_MS)), limit).await
}

/// Sends a delivery to its channel as that is now. Returns the channel's kind and how it went.
///
/// # Errors
/// Those of the store.
pub async fn send(app: &App, delivery: &Delivery) -> Result<(&'static str, Attempt), StoreError> {
    let Some(channel) = app.channel_of(delivery).await? else {
        return Ok(("none", Attempt::refused(None, "the channel is archived or damaged")));
    };
    let kind = channel.target.kind();
    let Ok(notification) = serde_json::from_str::<Notification>(&delivery.notification) else {
        return Ok((kind, Attempt::refused(None, "the stored notification cannot be read")));
    };
    let message = channel.message(&delivery.id, notification, app.clock.now());
    let attempt = timeout(ATTEMPT_TIMEOUT, app.messenger.send(&message)).await;
    Ok((kind, attempt.unwrap_or_else(|_| Attempt::failed(None, "no answer in time"))))
}

/// Records how an attempt went, and says what the delivery is now.
///
/// # Errors
/// Those of the store.
pub async fn record(
    app: &App,
    delivery: &Delivery,
    attempt: Attempt,
    duration_ms: u64,
) -> Result<DeliveryState, StoreError> {
    let (now, n_attempts) = (app.clock.now(), delivery.n_attempts.saturating_add(1));
    let state = match attempt.outcome {
        Outcome::Delivered => DeliveryState::Delivered,
        Outcome::Failed if n_attempts < MAX_ATTEMPTS => DeliveryState::Waiting,
        Outcome::Failed | Outcome::Refused => DeliveryState::Dead,
    };
    let wait_ms = i64::try_from(wait_ms(n_attempts, app.ids.as_ref())).unwrap_or(i64::MAX);
    let Attempt { status, problem, retry_after_s, .. } = attempt;
    // What the receiver asks for counts, up to what we would wait anyway.
    let asked_ms = i64::try_from(retry_after_s.unwrap_or(0).saturating_mul(1_000).min(MAX_WAIT_MS)).unwrap_or(0);
    let wait_ms = wait_ms.max(asked_ms);
    let recorded = DeliveryAttempt {
        id: delivery.id.clone(),
        n_before: delivery.n_attempts,
        state,
        due_at: Timestamp(now.0.saturating_add(wait_ms)),
        tried_at: now,
        status,
        duration_ms,
        problem,
    };
    let is_news = app.store.record_attempt(&recorded).await?;
    if is_news && state == DeliveryState::Dead {
        let Delivery { id, project, channel, .. } = delivery;
        let problem = recorded.problem.as_deref().unwrap_or_default();
        tracing::warn!(project, channel, id, n_attempts, "a notification is given up: {problem}");
    }
    Ok(state)
}

/// How long to wait after so many attempts: any time up to a ceiling that doubles, so that what failed together does not come back
/// together.
fn wait_ms(n_attempts: u32, ids: &dyn IdSource) -> u64 {
    let doublings = n_attempts.saturating_sub(1).min(20);
    let ceiling = (FIRST_WAIT_MS << doublings).min(MAX_WAIT_MS);
    let mut bytes = [0; 8];
    ids.fill(&mut bytes);
    let scaled = (u128::from(u64::from_le_bytes(bytes)) * u128::from(ceiling)) >> 64;
    MIN_WAIT_MS + u64::try_from(scaled).unwrap_or(ceiling)
}

/// Forgets deliveries that came to their end long ago.
///
/// # Errors
/// Those of the store.
pub async fn prune(app: &App) -> Result<u64, StoreError> {
    let before = Timestamp(app.clock.now().0.saturating_sub(KEEP_MS));
    let mut n_pruned = 0;
    loop {
        let n = app.store.prune_deliveries(before, PRUNE_PAGE).await?;
        n_pruned += n;
        if n < u64::from(PRUNE_PAGE) {
            return Ok(n_pruned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededIds;

    struct Always(u8);

    impl IdSource for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }

        fn ulid(&self, _: Timestamp) -> String {
            String::new()
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_are_random() {
        for (n_attempts, ceiling) in
            [(1, 10_000), (2, 20_000), (3, 40_000), (9, 2_560_000), (10, MAX_WAIT_MS), (56, MAX_WAIT_MS)]
        {
            assert_eq!(wait_ms(n_attempts, &Always(0)), MIN_WAIT_MS);
            let longest = wait_ms(n_attempts, &Always(255));
            assert!((ceiling..=ceiling + MIN_WAIT_MS).contains(&longest), "{n_attempts}: {longest}");
        }
    }

    #[test]
    fn a_message_is_tried_for_a_day() {
        let ids = SeededIds::new(7);
        let mean = |n_attempts| (0..1_000).map(|_| wait_ms(n_attempts, &ids)).sum::<u64>() / 1_000;
        let hours = (1..MAX_ATTEMPTS).map(mean).sum::<u64>() / 3_600_000;
        assert_eq!(hours, 23);
    }
}
