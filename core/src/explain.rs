//! Explain: the same answer as [`evaluate`](crate::evaluate), with the trace that led to it.

use serde::Serialize;

use crate::{
    context::Context,
    evaluation::{Evaluation, Timestamp},
    ruleset::Ruleset,
};

/// An evaluation and how it came about.
#[derive(Clone, Debug)]
pub struct Explanation<'r> {
    /// What [`evaluate`](crate::evaluate) answers.
    pub evaluation: Evaluation<'r>,
    /// Step by step, in the order of the evaluation.
    pub steps: Vec<Step>,
}

/// One step of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The JSON Pointer of what was looked at, like `/rules/0/conditions/1`; empty for the flag itself.
    pub path: String,
    /// Whether it held or matched.
    pub held: bool,
    /// A sentence with the values that were compared, or the bucket and the range.
    pub detail: String,
}

/// Evaluates `flag` as [`evaluate`](crate::evaluate) does and tells every step.
pub fn explain<'r>(_ruleset: &'r Ruleset, _flag: &str, _ctx: &Context, _now: Timestamp) -> Explanation<'r> {
    todo!()
}
