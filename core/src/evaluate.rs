//! Evaluate: one flag, one context, one answer.

use crate::{
    context::Context,
    evaluation::{Evaluation, Timestamp},
    ruleset::Ruleset,
};

/// Evaluates `flag` for `ctx` at `now`. Never fails: the [`Evaluation`] says what went wrong.
pub fn evaluate<'r>(_ruleset: &'r Ruleset, _flag: &str, _ctx: &Context, _now: Timestamp) -> Evaluation<'r> {
    todo!()
}

/// Evaluates every flag for `ctx`, in the order of the keys, in one pass.
pub fn evaluate_all<'r>(
    _ruleset: &'r Ruleset,
    _ctx: &Context,
    _now: Timestamp,
) -> impl Iterator<Item = (&'r str, Evaluation<'r>)> {
    std::iter::empty()
}
