//! Explain: the same answer as [`evaluate`](crate::evaluate()), with the trace that led to it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    context::Context,
    evaluate::{NOT_FOUND, Trace, evaluate_node},
    evaluation::{Evaluation, Timestamp},
    ruleset::Ruleset,
};

/// An evaluation and how it came about.
#[derive(Clone, Debug)]
pub struct Explanation<'r> {
    /// What [`evaluate`](crate::evaluate()) answers.
    pub evaluation: Evaluation<'r>,
    /// Step by step, in the order of the evaluation; what was not looked at is not there.
    pub steps: Vec<Step>,
}

/// One step of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The JSON Pointer of what was looked at, like `/rules/0/conditions/1`; empty for the flag itself. Steps within a
    /// prerequisite's flag start with the prerequisite: `/prerequisites/0/rules/2`.
    pub path: String,
    /// Whether it held or matched.
    pub held: bool,
    /// A sentence with the values that were compared, or the bucket and what it gets.
    pub detail: String,
}

/// Evaluates `flag` as [`evaluate`](crate::evaluate()) does and tells every step.
pub fn explain<'r>(ruleset: &'r Ruleset, flag: &str, ctx: &Context, now: Timestamp) -> Explanation<'r> {
    let mut recorder = Recorder::default();
    let evaluation = if let Some(node) = ruleset.find(flag) {
        evaluate_node(ruleset, node, ctx, now, &mut recorder)
    } else {
        recorder.note(false, || "there is no such flag".to_owned());
        NOT_FOUND
    };
    Explanation { evaluation, steps: recorder.steps }
}

#[derive(Default)]
struct Recorder {
    path: String,
    steps: Vec<Step>,
}

impl Trace for Recorder {
    fn note(&mut self, held: bool, detail: impl FnOnce() -> String) {
        self.steps.push(Step { path: self.path.clone(), held, detail: detail() });
    }

    fn within<R>(
        &mut self,
        name: &'static str,
        index: impl Into<Option<usize>>,
        step: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let outer = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        if let Some(index) = index.into() {
            // Writing to a string cannot fail.
            let _ = write!(self.path, "/{index}");
        }
        let result = step(self);
        self.path.truncate(outer);
        result
    }
}
