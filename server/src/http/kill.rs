//! `/projects/{project}/environments/{environment}/kill` and `…/restore`: no `If-Match`, nothing to wait for.

use axum::{Json, extract::State};
use serde_json::Value;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Path, Reasoned, Write},
};
use crate::{
    app::{
        access::Action,
        input,
        kill::{KillTarget, Killed, Restored},
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Operate), routes!(kill))
        .route(Access::Project(Action::Operate), routes!(restore))
}

/// Kills a flag, or all flags with a tag: everybody gets the off variant at once. Needs a `reason`; doing it again
/// changes nothing.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/kill", tag = "flags", operation_id = "kill",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Reasoned<KillTarget>, responses((status = 200, body = Killed))
)]
async fn kill(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    Write { request, body }: Write<Value>,
) -> Result<Json<Killed>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.kill(&request, &environment, &input::parse::<KillTarget>(&body)?).await?))
}

/// Lifts the kill of a flag, or of all flags with a tag. Needs a `reason`; doing it again changes nothing.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/restore", tag = "flags", operation_id = "restore",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Reasoned<KillTarget>, responses((status = 200, body = Restored))
)]
async fn restore(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    Write { request, body }: Write<Value>,
) -> Result<Json<Restored>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.restore(&request, &environment, &input::parse::<KillTarget>(&body)?).await?))
}
