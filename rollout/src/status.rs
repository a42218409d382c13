//! How far a rollout has come, and what people may do to it.

use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;

use crate::plan::Waiting;

/// How far a rollout has come. Only [`plan`](crate::plan()) and the methods here make another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutStatus))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Grows by one with each transition: with each change of state or step. Whoever moves a rollout says which generation they saw.
    pub generation: u64,
    /// Whether it goes on.
    pub state: State,
    /// The step whose share is in force, from 0; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// When state or step last changed.
    pub since: Timestamp,
    /// How much of the step's bake is done.
    pub bake: Bake,
    /// Whether a person approved the next step.
    #[serde(default)]
    pub approved: bool,
    /// Whether a person ended the step's bake.
    #[serde(default)]
    pub skipped: bool,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// Whether a rollout goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutState))]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It goes on by itself.
    Running,
    /// It does not rise until a person resumes it. Harm still ends it.
    Paused,
    /// The last step's bake is done. Ended.
    Completed,
    /// The share is 0 again. Ended.
    RolledBack,
    /// The flag is killed. Ended.
    Killed,
}

/// How long the present share was in force everywhere, with fresh telemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutBake))]
#[serde(rename_all = "camelCase")]
pub struct Bake {
    /// Up to `since`, in milliseconds.
    pub done_ms: u64,
    /// Since when it bakes without interruption; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Why a person cannot do that to a rollout now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It ended: a new attempt is a new rollout.
    #[error("the rollout has ended; start a new one")]
    Ended,
    /// It is paused already.
    #[error("the rollout is paused already")]
    Paused,
    /// It is not paused.
    #[error("the rollout is not paused")]
    NotPaused,
    /// No step is in force yet.
    #[error("the rollout's first step has not begun yet; try again in a moment")]
    NotBegun,
}

impl Status {
    /// A rollout that begins now, with its first step to come.
    pub fn new(now: Timestamp) -> Self {
        Self {
            generation: 1,
            state: State::Running,
            step: None,
            since: now,
            bake: Bake::default(),
            approved: false,
            skipped: false,
            waiting: None,
        }
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Completed | State::RolledBack | State::Killed)
    }

    /// A person stops it from rising.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn paused(&self, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Running => Ok(self.moved(State::Paused, now)),
            State::Paused => Err(Refusal::Paused),
            _ => Err(Refusal::Ended),
        }
    }

    /// A person lets it go on; what was baked counts.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn resumed(&self, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Paused => Ok(self.moved(State::Running, now)),
            State::Running => Err(Refusal::NotPaused),
            _ => Err(Refusal::Ended),
        }
    }

    /// A person approves the step after the present one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn approved(&self) -> Result<Self, Refusal> {
        self.at_a_step()?;
        Ok(Self { generation: self.generation + 1, approved: true, ..self.clone() })
    }

    /// A person ends the step's bake: the next step begins, or the rollout completes, whatever the gates do not know. Also approves.
    /// Harm still ends it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn skipped(&self) -> Result<Self, Refusal> {
        self.at_a_step()?;
        let generation = self.generation + 1;
        Ok(Self { generation, state: State::Running, approved: true, skipped: true, ..self.clone() })
    }

    /// A person ends it: the share goes to 0.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn rolled_back(&self, now: Timestamp) -> Result<Self, Refusal> {
        if self.is_ended() {
            return Err(Refusal::Ended);
        }
        Ok(self.moved(State::RolledBack, now))
    }

    fn at_a_step(&self) -> Result<(), Refusal> {
        match self.step {
            _ if self.is_ended() => Err(Refusal::Ended),
            None => Err(Refusal::NotBegun),
            Some(_) => Ok(()),
        }
    }

    /// In another state. What is baked so far is found out by the next plan, which knows whether somebody watched.
    pub(crate) fn moved(&self, state: State, now: Timestamp) -> Self {
        Self { generation: self.generation + 1, state, since: now, waiting: None, ..self.clone() }
    }

    /// At another step.
    pub(crate) fn at_step(&self, step: usize, now: Timestamp) -> Self {
        Self {
            generation: self.generation + 1,
            step: Some(step),
            since: now,
            bake: Bake::default(),
            approved: false,
            skipped: false,
            waiting: None,
            ..self.clone()
        }
    }
}
