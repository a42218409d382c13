//! What the controller saw of each rollout when it looked last: told by the database, so that every server shows it, and whoever
//! controls next goes on with what metric sources have answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_rollout::{Arms, Judgement, Plan, reading::Readings};
use utoipa::ToSchema;

use super::{App, AppError, Stored, moment::Moment, rollouts::Rollout};
use crate::ports::store::{EnvironmentId, StoreError, ToldLook};

/// What the controller saw when it looked last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveRollout {
    /// When.
    pub at: Moment,
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

impl LiveRollout {
    /// What was seen, and what is planned for it.
    pub fn new(at: Moment, units: Arms, gates: Vec<Judgement>, plan: &Plan) -> Self {
        Self { at, reason: plan.reason.to_string(), units, gates }
    }
}

impl App {
    /// Tells what was seen of these rollouts of an environment.
    ///
    /// # Errors
    /// Of the database.
    pub async fn tell_looks(
        &self,
        environment: &EnvironmentId,
        looks: Vec<(String, LiveRollout)>,
    ) -> Result<(), StoreError> {
        let told = |(rollout, live): (String, LiveRollout)| {
            let at = live.at.0;
            let (step, readings) = self.questions.readings(environment, &rollout);
            let body = serde_json::to_string(&Told { live, step, readings }).unwrap_or_default();
            ToldLook { rollout, body, at }
        };
        let told: Vec<_> = looks.into_iter().map(told).collect();
        if told.is_empty() { Ok(()) } else { self.store.tell_looks(&told).await }
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
