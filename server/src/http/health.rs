//! Whether the server lives, is ready, and what it counts.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Access, AppState, Routes};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Probe, routes!(live))
        .route(Access::Probe, routes!(ready))
        .route(Access::Metrics, routes!(metrics))
}

/// The process answers. Says nothing of the database: restarting the server would not mend that.
#[utoipa::path(
    get, path = "/livez", tag = "server", operation_id = "live",
    responses((status = 204, description = "It does"))
)]
async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether the server can do its work.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Whether requests should be sent here.
    ready: bool,
    /// Why not.
    reasons: Vec<&'static str>,
}

/// The server can do its work: the database answers, and nobody has told it to stop.
#[utoipa::path(
    get, path = "/readyz", tag = "server", operation_id = "ready",
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "It cannot, and why", body = Readiness),
    )
)]
async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let mut reasons = Vec::new();
    if state.stopping.is_cancelled() {
        reasons.push("the server is stopping");
    }
    if let Err(error) = state.app.store.ping().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
        reasons.push("the database does not answer");
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}

/// What the server counts, as `OpenMetrics` text. By default only for callers on the same machine and for instance
/// administrators.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "getMetrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text"))
)]
async fn metrics(State(state): State<AppState>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], state.metrics.render()).into_response()
}
