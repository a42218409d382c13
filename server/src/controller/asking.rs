//! Asks metric sources for the gates that are due, beside the controller: it never waits for them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use tidegate_rollout::reading::{Problem, Reading, Sample};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::app::{App, readings::Question};

/// How often it sees whether something is due.
const TICK: Duration = Duration::from_millis(200);

/// Questions under way at once; more wait, within their time.
const MAX_QUESTIONS: usize = 64;

/// Of one source: a slow one does not take the place of others.
const MAX_QUESTIONS_OF_SOURCE: usize = 4;

/// The longest time for an answer; less where a gate asks more often.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Asks metric sources for gates.
pub struct Asker {
    app: App,
    asking: JoinSet<()>,
    permits: Arc<Semaphore>,
    /// By project and source.
    of_sources: HashMap<(String, String), Arc<Semaphore>>,
    /// How questions end.
    pub counted: Counted,
}

/// How questions end, for `/metrics`.
#[derive(Clone, Debug)]
pub struct Counted {
    /// How many there were, by source and outcome.
    pub asked: Family<QuestionLabels, Counter>,
    /// How long they took, by source.
    pub seconds: Family<SourceLabels, Histogram>,
}

/// A metric source.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SourceLabels {
    /// Its project's key.
    pub project: String,
    /// Its key.
    pub source: String,
}

/// A metric source, and how a question ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct QuestionLabels {
    /// Its project's key.
    pub project: String,
    /// Its key.
    pub source: String,
    /// `answered`, `no_source`, `timeout`, `unreachable`, `status`, `refused` or `unusable`.
    pub outcome: &'static str,
}

/// Upper edges, in seconds.
const BUCKETS_S: [f64; 8] = [0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

impl Asker {
    /// Asks for the gates of the application's rollouts.
    pub fn new(app: App) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_QUESTIONS));
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS_S);
        let counted = Counted { asked: Family::default(), seconds: Family::new_with_constructor(histogram) };
        Self { app, asking: JoinSet::new(), permits, of_sources: HashMap::new(), counted }
    }

    /// Asks until `shutdown`; answers that are still to come are not waited for.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => self.ask_due(),
            }
            while self.asking.try_join_next().is_some() {}
        }
    }

    /// Asks all that is due, and waits for the answers.
    pub async fn ask_around(&mut self) {
        self.ask_due();
        while self.asking.join_next().await.is_some() {}
    }

    fn ask_due(&mut self) {
        for question in self.app.questions.due(self.app.clock.now()) {
            let place = (question.environment.project.clone(), question.asks.source.clone());
            let of_source =
                self.of_sources.entry(place).or_insert_with(|| Arc::new(Semaphore::new(MAX_QUESTIONS_OF_SOURCE)));
            let permits = [Arc::clone(of_source), Arc::clone(&self.permits)];
            self.asking.spawn(ask(self.app.clone(), question, permits, self.counted.clone()));
        }
        self.of_sources.retain(|_, permits| Arc::strong_count(permits) > 1);
    }
}

async fn ask(app: App, question: Question, permits: [Arc<Semaphore>; 2], counted: Counted) {
    let time = MAX_TIME.min(Duration::from_millis(question.asks.every_ms));
    let asked_at = app.clock.now();
    let asking = async {
        let [of_source, of_all] = &permits;
        let (Ok(_first), Ok(_second)) = (of_source.acquire().await, of_all.acquire().await) else {
            return (Err(Problem::Timeout), None);
        };
        let project = &question.environment.project;
        let place = match app.source_place(project, &question.asks.source).await {
            Ok(place) => place,
            Err(problem) => return (Err(problem), None),
        };
        let treatment = app.metrics.ask(&place, &question.asks.query, time);
        match question.of_control() {
            None => (treatment.await, None),
            Some(control) => {
                let (treatment, control) = tokio::join!(treatment, app.metrics.ask(&place, control, time));
                (treatment, Some(control))
            }
        }
    };
    // A source that is slow in telling why gets a moment more.
    let answer = timeout(time + TICK, asking).await;
    let (treatment, control) = answer.unwrap_or((Err(Problem::Timeout), None));
    let took_ms = app.clock.now().0.saturating_sub(asked_at.0);
    counted.count(&question, took_ms, [Some(&treatment), control.as_ref()]);
    app.questions.answer(&question, &Reading { asked_at, treatment, control });
}

impl Counted {
    fn count(&self, question: &Question, took_ms: i64, answers: [Option<&Result<Sample, Problem>>; 2]) {
        let (project, source) = (&question.environment.project, &question.asks.source);
        for answer in answers.into_iter().flatten() {
            let labels = QuestionLabels { project: project.clone(), source: source.clone(), outcome: outcome(answer) };
            self.asked.get_or_create(&labels).inc();
        }
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let seconds = took_ms as f64 / 1e3;
        let labels = SourceLabels { project: project.clone(), source: source.clone() };
        self.seconds.get_or_create(&labels).observe(seconds);
    }
}

/// How a question ended. What came may still be too old, or no number.
fn outcome(answer: &Result<Sample, Problem>) -> &'static str {
    match answer {
        Ok(_) => "answered",
        Err(Problem::NoSource) => "no_source",
        Err(Problem::Timeout) => "timeout",
        Err(Problem::Unreachable { .. }) => "unreachable",
        Err(Problem::Status { .. }) => "status",
        Err(Problem::Refused { .. }) => "refused",
        Err(_) => "unusable",
    }
}
