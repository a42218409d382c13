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
    /// The keys of gates that a person said not to heed, until the rollout ends: they are judged and shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
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
    /// Everybody has the variant, and gates are watched for a while: where one finds harm, the flag is killed.
    Guarding,
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
    /// Everybody has the variant; only its gates are watched.
    #[error(
        "the rollout is through, and only its gates are watched: kill the flag, or roll out the old variant; `complete` ends the watch"
    )]
    Guarding,
    /// Its gates are not watched after the last step, or it is not there yet.
    #[error("the rollout is not through yet: it completes by itself, or after `skip` at its last step")]
    NotGuarding,
    /// A person said before not to heed the gate.
    #[error("the gate is overridden already")]
    Overridden,
    /// Nobody said not to heed the gate.
    #[error("the gate is not overridden")]
    NotOverridden,
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
            overridden: Vec::new(),
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
            _ => Err(self.is_through()),
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
            _ => Err(self.is_through()),
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

    /// A person ends the wait: the first or the next step begins, or the rollout completes, whatever the gates do not know, and whatever
    /// windows and freezes say. Also approves. Harm still ends it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn skipped(&self) -> Result<Self, Refusal> {
        self.at_work()?;
        let generation = self.generation + 1;
        Ok(Self { generation, state: State::Running, approved: true, skipped: true, ..self.clone() })
    }

    /// A person ends it: the share goes to 0.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn rolled_back(&self, now: Timestamp) -> Result<Self, Refusal> {
        self.at_work()?;
        Ok(self.moved(State::RolledBack, now))
    }

    /// A person ends the watch after the last step.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn completed(&self, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Guarding => Ok(self.moved(State::Completed, now)),
            _ if self.is_ended() => Err(Refusal::Ended),
            _ => Err(Refusal::NotGuarding),
        }
    }

    /// A person says not to heed a gate of the rollout: it holds nothing and ends nothing any more.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn overriding(&self, gate: &str) -> Result<Self, Refusal> {
        let mut overridden = self.overridden.clone();
        match overridden.binary_search_by(|key| key.as_str().cmp(gate)) {
            _ if self.is_ended() => Err(Refusal::Ended),
            Ok(_) => Err(Refusal::Overridden),
            Err(place) => {
                overridden.insert(place, gate.to_owned());
                Ok(Self { generation: self.generation + 1, overridden, ..self.clone() })
            }
        }
    }

    /// A person says to heed a gate again.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn heeding(&self, gate: &str) -> Result<Self, Refusal> {
        let mut overridden = self.overridden.clone();
        overridden.retain(|key| key != gate);
        match overridden.len() == self.overridden.len() {
            _ if self.is_ended() => Err(Refusal::Ended),
            true => Err(Refusal::NotOverridden),
            false => Ok(Self { generation: self.generation + 1, overridden, ..self.clone() }),
        }
    }

    fn at_a_step(&self) -> Result<(), Refusal> {
        self.at_work()?;
        self.step.map(|_| ()).ok_or(Refusal::NotBegun)
    }

    fn at_work(&self) -> Result<(), Refusal> {
        match self.state {
            State::Running | State::Paused => Ok(()),
            _ => Err(self.is_through()),
        }
    }

    fn is_through(&self) -> Refusal {
        if self.state == State::Guarding { Refusal::Guarding } else { Refusal::Ended }
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
