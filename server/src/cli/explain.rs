//! `tidegate explain`: one evaluation, step by step.

use std::fmt::Write as _;

use tidegate_core::explain::{Explanation, Step};

/// The explanation as people read it.
pub fn render(flag: &str, explanation: &Explanation<'_>) -> String {
    let evaluation = &explanation.evaluation;
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = match (evaluation.value, evaluation.variant) {
        (Some(value), Some(variant)) => writeln!(text, "{flag} = {} (variant {variant})", json(value)),
        _ => writeln!(text, "{flag} has no value: the caller's default is used"),
    };
    let _ = write!(text, "reason {}", json(&evaluation.reason).trim_matches('"'));
    if let Some(error) = evaluation.error {
        let _ = write!(text, ", error {}", json(&error).trim_matches('"'));
    }
    if let Some((index, id)) = evaluation.rule {
        let _ = write!(text, ", rule {index}");
        if !id.is_empty() {
            let _ = write!(text, " `{id}`");
        }
    }
    if let Some(bucket) = evaluation.bucket {
        let _ = write!(text, ", bucket {bucket}");
    }
    text.push_str("\n\n");
    let place = |step: &Step| if step.path.is_empty() { "the flag".to_owned() } else { step.path.clone() };
    let width = explanation.steps.iter().map(|step| place(step).len()).max().unwrap_or_default();
    for step in &explanation.steps {
        let mark = if step.held { '✓' } else { '·' };
        let _ = writeln!(text, "  {mark} {:width$}  {}", place(step), step.detail);
    }
    text
}

fn json(value: &impl serde::Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => unreachable!("values, reasons and error codes have string keys only: {error}"),
    }
}
