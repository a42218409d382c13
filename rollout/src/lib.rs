//! Progressive rollouts, as far as they go yet: what a rollout is to do, and what makes that well formed.
//!
//! The planner, a pure function from `(spec, status, observation, now)` to a plan, stands on these types.
#![deny(missing_docs)]

pub mod evidence;

use serde::{Deserialize, Serialize};
use tidegate_core::bucket::BUCKETS;

/// What a rollout is to do: raise the share of a variant step by step.
///
/// A value of this type is valid: made by [`Spec::new`], and checked when it is deserialized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Unchecked", deny_unknown_fields)]
pub struct Spec {
    steps: Vec<Step>,
}

/// One share, and how long it must hold before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Units with a bucket below it are in: 1 to 100,000 (everybody).
    pub share: u32,
    /// How long the share must have been in force everywhere before the next step, in milliseconds; at least
    /// [`MIN_BAKE_MS`].
    pub bake_ms: u64,
}

/// The shortest bake: one minute. Below it metrics cannot have arrived, and a rollout would be a switch.
pub const MIN_BAKE_MS: u64 = 60_000;

/// The bake of each default step: 15 minutes.
pub const DEFAULT_BAKE_MS: u64 = 15 * 60_000;

/// The most steps of a rollout.
pub const MAX_STEPS: usize = 100;

/// Why a list of steps is no rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There are no steps.
    #[error("a rollout has at least one step")]
    Empty,
    /// There are more than [`MAX_STEPS`].
    #[error("a rollout has at most {MAX_STEPS} steps")]
    TooMany,
    /// A share does not grow.
    #[error("step {step}: its share must be above the share of the step before, or above 0 for the first")]
    NotRising {
        /// The step, from 0.
        step: usize,
    },
    /// The last share is not everybody, or a share is more than everybody.
    #[error("the last step must have the share {BUCKETS}, everybody")]
    NotComplete,
    /// A bake is too short.
    #[error("step {step}: it must bake for at least {MIN_BAKE_MS} ms")]
    BakeTooShort {
        /// The step, from 0.
        step: usize,
    },
}

impl Spec {
    /// A rollout of `steps`, whose shares rise strictly to 100,000.
    ///
    /// # Errors
    /// [`SpecError`] says which rule the steps break, and where.
    pub fn new(steps: Vec<Step>) -> Result<Self, SpecError> {
        if steps.len() > MAX_STEPS {
            return Err(SpecError::TooMany);
        }
        let last = steps.last().ok_or(SpecError::Empty)?;
        let shares_before = std::iter::once(0).chain(steps.iter().map(|step| step.share));
        for (index, (step, before)) in steps.iter().zip(shares_before).enumerate() {
            if step.share <= before {
                return Err(SpecError::NotRising { step: index });
            }
            if step.bake_ms < MIN_BAKE_MS {
                return Err(SpecError::BakeTooShort { step: index });
            }
        }
        if last.share != BUCKETS {
            return Err(SpecError::NotComplete);
        }
        Ok(Self { steps })
    }

    /// The steps, at least one.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Default for Spec {
    /// 10, 25, 50, 100 %, 15 minutes each.
    fn default() -> Self {
        let steps = [10_000, 25_000, 50_000, BUCKETS].map(|share| Step { share, bake_ms: DEFAULT_BAKE_MS });
        Self { steps: steps.to_vec() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    steps: Vec<Step>,
}

impl TryFrom<Unchecked> for Spec {
    type Error = SpecError;

    fn try_from(unchecked: Unchecked) -> Result<Self, SpecError> {
        Self::new(unchecked.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shares_and_bakes: &[(u32, u64)], expected: Result<(), SpecError>) {
        let steps = shares_and_bakes.iter().map(|&(share, bake_ms)| Step { share, bake_ms }).collect();
        assert_eq!(Spec::new(steps).map(drop), expected);
    }

    #[test]
    fn shares_rise_strictly_to_everybody() {
        check(&[(100_000, 60_000)], Ok(()));
        check(&[(1, 60_000), (2, 60_000), (100_000, 60_000)], Ok(()));
        check(&[], Err(SpecError::Empty));
        check(&[(0, 60_000), (100_000, 60_000)], Err(SpecError::NotRising { step: 0 }));
        check(&[(50_000, 60_000), (50_000, 60_000)], Err(SpecError::NotRising { step: 1 }));
        check(&[(50_000, 60_000)], Err(SpecError::NotComplete));
        check(&[(100_001, 60_000)], Err(SpecError::NotComplete));
        check(&[(100_000, 59_999)], Err(SpecError::BakeTooShort { step: 0 }));
        check(&[(1, 60_000); MAX_STEPS + 1], Err(SpecError::TooMany));
    }

    #[test]
    fn the_default_steps_are_valid_and_survive_json() {
        let spec = Spec::default();
        assert_eq!(Spec::new(spec.steps().to_vec()), Ok(spec.clone()));
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
    }

    #[test]
    fn an_invalid_spec_is_refused_when_read() {
        let error = serde_json::from_str::<Spec>(r#"{"steps": [{"share": 50000, "bakeMs": 60000}]}"#).unwrap_err();
        assert!(error.to_string().starts_with("the last step must have the share 100000"), "{error}");
    }
}
