//! Evaluation contexts, read once.

use tidegate_core::{Context, tree};
use tidegate_protocol::events::UnitHash;
use wasm_bindgen::prelude::wasm_bindgen;

/// An evaluation context, ready to be evaluated for.
#[wasm_bindgen]
#[derive(Debug)]
pub struct EvaluationContext {
    pub(crate) context: Context,
    /// Of its targeting key, where it has one.
    pub(crate) unit: Option<UnitHash>,
}

#[wasm_bindgen]
impl EvaluationContext {
    /// Reads a context: JSON text, an object with `targetingKey` and attributes. Undefined where it is none.
    pub fn parse(json: &str) -> Option<EvaluationContext> {
        let context: Context = tree::parse(json).ok()?;
        let unit = context.targeting_key().map(UnitHash::of);
        Some(Self { context, unit })
    }
}
