//! What the controller saw of each rollout when it looked last: told by the database, so that every server shows it, and whoever
//! controls next goes on with what metric sources have answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;
use tidegate_rollout::{Arms, Judgement, Plan, Spec, reading::Readings};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal, Stored,
    access::{Action, authorize},
    moment::Moment,
    rollouts::{Rollout, share},
};
use crate::ports::store::{EnvironmentId, StoreError, ToldLook};

/// What the controller saw when it looked last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveRollout {
    /// When.
    pub at: Moment,
    /// The step where it is since, from 0; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The share in force since, 0 to 100,000.
    pub share: u32,
    /// What it does or waits for, as a sentence.
    pub reason: String,
    /// The compared units seen at this step.
    pub units: Arms,
    /// What each gate says, with its numbers.
    pub gates: Vec<Judgement>,
}

/// A look, as it is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    live: LiveRollout,
    /// The step that the readings are of.
    step: Option<usize>,
    /// By gate.
    readings: BTreeMap<String, Readings>,
}

/// What the controller saw of a rollout since it began, now and then.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RolloutHistory {
    /// From the oldest: every 15 seconds in its first hour, then ever more rarely; always when it moved.
    pub items: Vec<LiveRollout>,
}

/// What was seen of one rollout.
#[derive(Debug)]
pub struct Seen {
    /// Its id.
    pub rollout: String,
    /// What was seen.
    pub live: LiveRollout,
    /// Whether its chart needs it.
    pub is_kept: bool,
}

/// As many as an hour has of 15 seconds.
const KEPT_AN_AGE: i64 = 240;

/// Looks are kept so often, in milliseconds, of a rollout that is so old: each time that its age doubles there are 170 more.
pub fn keep_every_ms(age_ms: i64) -> i64 {
    (age_ms / KEPT_AN_AGE).max(15_000)
}

/// More than there can be in the time that they are kept.
const MAX_KEPT: u32 = 10_000;

impl LiveRollout {
    /// What was seen, and what is planned for it.
    pub fn new(at: Moment, units: Arms, gates: Vec<Judgement>, spec: &Spec, plan: &Plan) -> Self {
        let (step, share) = (plan.status.step, share(spec, &plan.status));
        Self { at, step, share, reason: plan.reason.to_string(), units, gates }
    }
}

impl App {
    /// Tells what was seen of these rollouts of an environment.
    ///
    /// # Errors
    /// Of the database.
    pub async fn tell_looks(&self, environment: &EnvironmentId, looks: Vec<Seen>) -> Result<(), StoreError> {
        let (mut told, mut kept) = (Vec::new(), Vec::new());
        for Seen { rollout, live, is_kept } in looks {
            let at = live.at.0;
            if is_kept {
                kept.push(ToldLook { rollout: rollout.clone(), body: json(&live), at });
            }
            let (step, readings) = self.questions.readings(environment, &rollout);
            told.push(ToldLook { rollout, body: json(&Told { live, step, readings }), at });
        }
        if !kept.is_empty() {
            self.store.keep_looks(&kept).await?;
        }
        if told.is_empty() { Ok(()) } else { self.store.tell_looks(&told).await }
    }

    /// What was seen of a rollout since it began, whether it goes on or not.
    ///
    /// # Errors
    /// Where there is no such rollout, and of the database.
    pub async fn rollout_history(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        id: &str,
    ) -> Result<RolloutHistory, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        let stored = self.stored_rollout(environment, id).await?;
        let kept = self.store.kept_looks(&stored.id.key, Timestamp(i64::MIN), MAX_KEPT).await?;
        // What another version of the server kept may not be read.
        Ok(RolloutHistory { items: kept.iter().filter_map(|kept| serde_json::from_str(&kept.body).ok()).collect() })
    }

    /// What was seen of a rollout that goes on; `None`: nobody has looked yet.
    pub(super) async fn last_look(&self, stored: &Stored<Rollout>) -> Result<Option<LiveRollout>, AppError> {
        if stored.body.status.is_ended() {
            return Ok(None);
        }
        Ok(self.told(&stored.id.key).await?.map(|told| told.live))
    }

    /// Goes on with what the rollout's sources have answered, where somebody else asked them before.
    ///
    /// # Errors
    /// Of the database.
    pub async fn recall_readings(
        &self,
        environment: &EnvironmentId,
        stored: &Stored<Rollout>,
    ) -> Result<(), StoreError> {
        let (id, rollout) = (&stored.id.key, &stored.body);
        let asks = rollout.spec.gates().iter().any(|gate| gate.query().is_some());
        if asks
            && !self.questions.are_asked(environment, id)
            && let Some(told) = self.told(id).await?
            && told.step == rollout.status.step
        {
            self.questions.recall(environment, id, rollout, told.readings);
        }
        Ok(())
    }

    /// What another version of the server told is not read.
    async fn told(&self, rollout: &str) -> Result<Option<Told>, StoreError> {
        let told = self.store.told_look(rollout).await?;
        Ok(told.and_then(|told| serde_json::from_str(&told.body).ok()))
    }
}

fn json(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => unreachable!("looks have text for keys: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_rollout_keeps_less() {
        let n_kept = |age_ms: i64| {
            let (mut at, mut n_kept) = (0, 0_u32);
            while at < age_ms {
                at += keep_every_ms(at);
                n_kept += 1;
            }
            n_kept
        };
        let day = 24 * 3_600_000;
        assert_eq!((n_kept(3_600_000), n_kept(day), n_kept(90 * day)), (240, 1_005, 2_087));
    }
}
