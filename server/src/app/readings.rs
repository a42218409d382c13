//! What is asked of metric sources for the gates of the rollouts that go on, and what they answered.
//!
//! The controller says which rollouts go on, and takes what is known; somebody else asks, so that no decision waits for a source.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Mutex, PoisonError},
};

use dashmap::DashMap;
use tidegate_core::Timestamp;
use tidegate_rollout::{
    Bound, Judgement, QueryGate,
    reading::{Reading, Readings},
};

use super::rollouts::Rollout;
use crate::ports::store::EnvironmentId;

/// The gates with a query of the rollouts that go on, by environment and rollout.
#[derive(Debug, Default)]
pub struct Questions {
    rollouts: DashMap<(EnvironmentId, String), Asked>,
    /// Where a gate says something else than before.
    news: Mutex<BTreeSet<EnvironmentId>>,
}

/// One question that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The rollout's environment.
    pub environment: EnvironmentId,
    /// The rollout's id.
    pub rollout: String,
    /// The gate's key.
    pub gate: String,
    /// What is asked.
    pub asks: QueryGate,
    /// Of which step.
    step: usize,
}

/// What is asked for one rollout.
#[derive(Debug)]
struct Asked {
    step: Option<usize>,
    gates: BTreeMap<String, AskedGate>,
}

#[derive(Debug)]
struct AskedGate {
    asks: QueryGate,
    readings: Readings,
    due: Timestamp,
    /// Whether somebody is asking.
    is_out: bool,
}

impl Questions {
    /// Asks for the rollout's gates from now on, where they ask sources, at the step where it is; and says what they say.
    pub fn judge(
        &self,
        environment: &EnvironmentId,
        id: &str,
        rollout: &Rollout,
        judgements: &mut [Judgement],
        now: Timestamp,
    ) {
        let mut queries = rollout
            .spec
            .gates()
            .iter()
            .zip(judgements)
            .filter_map(|(gate, judgement)| gate.query().map(|query| (&gate.key, query, judgement)));
        let mut queries = queries.by_ref().peekable();
        if queries.peek().is_none() {
            return;
        }
        let place = (environment.clone(), id.to_owned());
        let mut asked = self.rollouts.entry(place).or_insert_with(|| Asked { step: None, gates: BTreeMap::new() });
        if asked.step != rollout.status.step {
            *asked = Asked { step: rollout.status.step, gates: BTreeMap::new() };
        }
        for (key, query, judgement) in queries {
            let begin = || AskedGate {
                asks: query.clone(),
                readings: Readings::at_step(query, rollout.status.since),
                due: now,
                is_out: false,
            };
            let gate = asked.gates.entry(key.clone()).or_insert_with(begin);
            *judgement = gate.readings.judge(key, query, now);
        }
    }

    /// What is to be asked now. Each is asked once: the next time after its answer.
    pub fn due(&self, now: Timestamp) -> Vec<Question> {
        let mut due = Vec::new();
        for mut asked in self.rollouts.iter_mut() {
            let ((environment, rollout), asked) = asked.pair_mut();
            let Some(step) = asked.step else { continue };
            for (key, gate) in asked.gates.iter_mut().filter(|(_, gate)| !gate.is_out && gate.due <= now) {
                gate.is_out = true;
                // At even times, but never several at once for those that were missed.
                let every_ms = i64::try_from(gate.asks.every_ms).unwrap_or(i64::MAX);
                let next = gate.due.0.saturating_add(every_ms);
                gate.due = Timestamp(if next > now.0 { next } else { now.0.saturating_add(every_ms) });
                due.push(Question {
                    environment: environment.clone(),
                    rollout: rollout.clone(),
                    gate: key.clone(),
                    asks: gate.asks.clone(),
                    step,
                });
            }
        }
        due
    }

    /// What a source answered.
    pub fn answer(&self, question: &Question, reading: &Reading) {
        let Question { environment, rollout, gate: key, asks, step } = question;
        let Some(mut asked) = self.rollouts.get_mut(&(environment.clone(), rollout.clone())) else { return };
        if asked.step != Some(*step) {
            return;
        }
        let Some(gate) = asked.gates.get_mut(key) else { return };
        gate.is_out = false;
        let now = reading.asked_at;
        let before = gate.readings.judge(key, asks, now).verdict;
        gate.readings.take(asks, reading);
        if gate.readings.judge(key, asks, now).verdict != before {
            self.news.lock().unwrap_or_else(PoisonError::into_inner).insert(environment.clone());
        }
    }

    /// The environments where a gate says something else than when this was asked last.
    pub fn news(&self) -> BTreeSet<EnvironmentId> {
        mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the rollout's sources have answered at the step where it is, by gate.
    pub fn readings(&self, environment: &EnvironmentId, id: &str) -> (Option<usize>, BTreeMap<String, Readings>) {
        let Some(asked) = self.rollouts.get(&(environment.clone(), id.to_owned())) else { return Default::default() };
        let readings = asked.gates.iter().map(|(key, gate)| (key.clone(), gate.readings.clone()));
        (asked.step, readings.collect())
    }

    /// Whether anything is asked for the rollout.
    pub fn are_asked(&self, environment: &EnvironmentId, id: &str) -> bool {
        self.rollouts.contains_key(&(environment.clone(), id.to_owned()))
    }

    /// Goes on with what another process was answered at the step where the rollout is; everything is asked at once.
    pub fn recall(
        &self,
        environment: &EnvironmentId,
        id: &str,
        rollout: &Rollout,
        mut readings: BTreeMap<String, Readings>,
    ) {
        let queries = rollout.spec.gates().iter().filter_map(|gate| Some((gate.key.clone(), gate.query()?)));
        let gates = queries.filter_map(|(key, query)| {
            let readings = readings.remove(&key)?;
            Some((key, AskedGate { asks: query.clone(), readings, due: Timestamp(0), is_out: false }))
        });
        let asked = Asked { step: rollout.status.step, gates: gates.collect() };
        self.rollouts.entry((environment.clone(), id.to_owned())).or_insert(asked);
    }

    /// Forgets the environment's rollouts but these.
    pub fn retain(&self, environment: &EnvironmentId, ids: &[String]) {
        self.rollouts.retain(|(of, id), _| of != environment || ids.contains(id));
    }
}

impl Question {
    /// What is asked of control, where arms are compared.
    pub fn of_control(&self) -> Option<&str> {
        match &self.asks.bound {
            Bound::Absolute { .. } => None,
            Bound::Control { query, .. } => Some(query),
        }
    }
}
