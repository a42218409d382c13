//! `/gate-presets`.

use axum::Json;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, HttpError, Routes,
    extract::{Body, Path},
};
use crate::app::{
    input,
    presets::{self, ExpandPreset, ExpandedPreset, GatePreset},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::SignedIn, routes!(list_gate_presets))
        .route(Access::SignedIn, routes!(expand_gate_preset))
}

/// All presets.
#[derive(Serialize, ToSchema)]
struct GatePresets {
    /// In the order in which people look for them.
    items: Vec<GatePreset>,
}

/// Presets of gates that ask Prometheus: what most services watch, with the words that they leave open.
#[utoipa::path(
    get, path = "/gate-presets", tag = "metric sources", operation_id = "listGatePresets",
    responses((status = 200, body = GatePresets))
)]
async fn list_gate_presets() -> Json<GatePresets> {
    Json(GatePresets { items: presets::presets() })
}

/// The gates that a preset becomes, for a rollout's spec. Nothing is kept.
#[utoipa::path(
    post, path = "/gate-presets/{preset}", tag = "metric sources", operation_id = "expandGatePreset",
    params(("preset" = String, Path)), request_body = ExpandPreset,
    responses((status = 200, body = ExpandedPreset))
)]
async fn expand_gate_preset(
    Path(preset): Path<String>,
    Body(body): Body<Value>,
) -> Result<Json<ExpandedPreset>, HttpError> {
    Ok(Json(presets::expand(&preset, &input::parse::<ExpandPreset>(&body)?)?))
}
