//! What is served and measured, gathered for the server.
//!
//! Evaluations count exposures in a [`table`] of atomics: no lock, no waiting, and no allocation but where a flag serves a
//! variant for the first time since the table was emptied. The driver empties it now and then, and sends what it finds
//! through its [`outbox`].

mod outbox;
mod table;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tidegate_core::{Context, ErrorCode, Evaluation, Timestamp};
use tidegate_protocol::events::{Exposure, MAX_METRIC_BYTES, Measurement, UnitHash};
use tokio::sync::{Notify, mpsc};

pub(crate) use self::outbox::Outbox;
use self::table::{Counted, Exposed, Table};

/// Different exposures that wait to be sent, unless told otherwise.
pub(crate) const MAX_EXPOSURES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Measurements that wait to be sent; more are dropped.
const MAX_MEASUREMENTS: usize = 10_000;

/// Where evaluations and measurements are counted. Shared by all clones of a client.
#[derive(Debug)]
pub(crate) struct Telemetry {
    table: ArcSwap<Table>,
    measurements: mpsc::Sender<Measurement>,
    dropped: AtomicU64,
    /// There is so much that the driver should not wait for its time.
    pressed: Notify,
}

/// Takes what was gathered. There is one for each [`Telemetry`].
#[derive(Debug)]
pub(crate) struct Drain {
    telemetry: Arc<Telemetry>,
    measurements: mpsc::Receiver<Measurement>,
    /// An empty table, for the next exchange.
    spare: Option<Arc<Table>>,
    /// A table that is not counted in any more, but for evaluations that had begun to.
    retired: Option<Arc<Table>>,
}

/// What [`Drain::take`] took.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub exposures: Vec<Exposure>,
    pub measurements: Vec<Measurement>,
}

impl Telemetry {
    /// Keeps up to `max_exposures` different exposures.
    pub fn new(max_exposures: NonZeroUsize) -> (Arc<Self>, Drain) {
        let (sender, receiver) = mpsc::channel(MAX_MEASUREMENTS);
        let telemetry = Arc::new(Self {
            table: ArcSwap::from_pointee(Table::new(max_exposures)),
            measurements: sender,
            dropped: AtomicU64::new(0),
            pressed: Notify::new(),
        });
        let drain = Drain { telemetry: Arc::clone(&telemetry), measurements: receiver, spare: None, retired: None };
        (telemetry, drain)
    }

    /// Counts an evaluation of the flag `key` that gave the caller `variant`, or, where there is none, its default.
    #[inline]
    pub fn expose(&self, ctx: &Context, key: &str, evaluation: &Evaluation<'_>, variant: Option<&str>, now: Timestamp) {
        if evaluation.error == Some(ErrorCode::FlagNotFound) {
            return;
        }
        let unit = ctx.targeting_key().map(UnitHash::of);
        let (rule, bucket) = (evaluation.rule, evaluation.cohort());
        let exposed = Exposed { flag: key, version: evaluation.flag_version, variant, rule, unit, bucket };
        match self.table.load().count(exposed, now) {
            Counted::Yes => {}
            Counted::HalfFull => self.pressed.notify_one(),
            Counted::NoRoom => self.drop_one(),
        }
    }

    /// Keeps a measurement; drops one that cannot be sent.
    pub fn track(&self, ctx: &Context, metric: &str, value: Option<f64>, now: Timestamp) {
        let usable = (1..=MAX_METRIC_BYTES).contains(&metric.len()) && value.is_none_or(f64::is_finite);
        let unit = ctx.targeting_key().map(UnitHash::of);
        let measurement = || Measurement { metric: metric.to_owned(), unit, value, at: now.0 };
        if !usable || self.measurements.try_send(measurement()).is_err() {
            self.drop_one();
        } else if self.measurements.capacity() == MAX_MEASUREMENTS / 2 {
            self.pressed.notify_one();
        }
    }

    /// How many evaluations and measurements there was no room for.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drain {
    /// Takes what was gathered since the last call, in no order. Exposures that an evaluation still counts at this moment
    /// come with the next call.
    pub fn take(&mut self) -> Gathered {
        let mut gathered = Gathered::default();
        if self.retired.is_none() && !self.telemetry.table.load().is_empty() {
            let fresh = self.spare.take().unwrap_or_else(|| Arc::new(self.telemetry.table.load().another()));
            self.retired = Some(self.telemetry.table.swap(fresh));
        }
        if let Some(mut retired) = self.retired.take() {
            match Arc::get_mut(&mut retired) {
                Some(table) => {
                    gathered.exposures = table.drain();
                    self.spare = Some(retired);
                }
                None => self.retired = Some(retired),
            }
        }
        while let Ok(measurement) = self.measurements.try_recv() {
            gathered.measurements.push(measurement);
        }
        gathered
    }

    /// Nothing is left for the next call of [`take`](Self::take).
    fn is_done(&self) -> bool {
        self.retired.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClient;

    #[test]
    fn threads_that_evaluate_while_the_table_is_emptied_lose_nothing() {
        const THREADS: u64 = 4;
        const EVALUATIONS: u64 = 20_000;
        let (telemetry, mut drain) = Telemetry::new(NonZeroUsize::new(1_000).unwrap());
        let contexts: Vec<_> = (0..50).map(|n| Context::new(format!("user-{n}"))).collect();
        let evaluation = Evaluation {
            value: None,
            variant: Some("on"),
            reason: tidegate_core::Reason::Static,
            error: None,
            flag_version: 3,
            rule: None,
            bucket: None,
        };
        let mut total = 0;
        let mut add =
            |gathered: Gathered| total += gathered.exposures.iter().map(|exposure| exposure.count).sum::<u64>();
        std::thread::scope(|scope| {
            let at_work: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        for n in 0..EVALUATIONS {
                            let ctx = &contexts[usize::try_from(n % 50).unwrap()];
                            telemetry.expose(ctx, "checkout", &evaluation, Some("on"), Timestamp(7));
                        }
                    })
                })
                .collect();
            while !at_work.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                add(drain.take());
            }
        });
        add(drain.take());
        add(drain.take());
        assert_eq!((total, telemetry.dropped()), (THREADS * EVALUATIONS, 0));
    }

    #[test]
    fn what_cannot_be_sent_is_counted_as_dropped() {
        let (telemetry, mut drain) = Telemetry::new(NonZeroUsize::MIN);
        let ctx = Context::new("ada");
        telemetry.track(&ctx, "", None, Timestamp(0));
        telemetry.track(&ctx, &"m".repeat(MAX_METRIC_BYTES + 1), None, Timestamp(0));
        telemetry.track(&ctx, "m", Some(f64::NAN), Timestamp(0));
        assert_eq!((telemetry.dropped(), drain.take().measurements.len()), (3, 0));
        for _ in 0..=MAX_MEASUREMENTS {
            telemetry.track(&ctx, "m", Some(1.0), Timestamp(0));
        }
        assert_eq!((telemetry.dropped(), drain.take().measurements.len()), (4, MAX_MEASUREMENTS));
    }

    #[test]
    fn only_flags_that_exist_are_exposed() {
        let flags = TestClient::new();
        flags.set("a", true);
        let ctx = Context::new("ada");
        flags.client().bool("nothing", false, &ctx);
        flags.client().bool("a", false, &ctx);
        flags.client().string("a", "", &ctx);
        let exposures = flags.exposures();
        let seen: Vec<_> = exposures.iter().map(|it| (it.flag.as_str(), it.variant.as_deref(), it.count)).collect();
        assert_eq!(seen, [("a", None, 1), ("a", Some("set"), 1)]);
    }
}
