//! `/projects/{project}/environments/{environment}/evaluate` and `…/explain`: questions, not writes.

use axum::{Json, extract::State};
use serde_json::Value;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Body, Caller, Path},
    router::limit,
};
use crate::{
    app::{
        access::Action,
        evaluation::{Evaluate, Evaluated, Explain, Explained},
        input,
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::ProjectOrServerKey(Action::Read), routes!(evaluate))
        .with_body(limit::EVALUATE)
        .route(Access::ProjectOrServerKey(Action::Read), routes!(explain))
        .with_body(limit::EVALUATE)
}

/// Evaluates a flag, or all flags, for a context.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/evaluate", tag = "evaluation",
    operation_id = "evaluate",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Evaluate, responses((status = 200, body = Evaluated))
)]
async fn evaluate(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<Evaluated>, HttpError> {
    let environment = EnvironmentId { project, environment };
    state.app.authorize_evaluation(&caller.principal, &environment).await?;
    Ok(Json(state.app.evaluate(&environment, &input::parse::<Evaluate>(&body)?).await?))
}

/// Evaluates a flag for a context and tells every step.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/explain", tag = "evaluation",
    operation_id = "explain",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Explain, responses((status = 200, body = Explained))
)]
async fn explain(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<Explained>, HttpError> {
    let environment = EnvironmentId { project, environment };
    state.app.authorize_evaluation(&caller.principal, &environment).await?;
    Ok(Json(state.app.explain(&environment, &input::parse::<Explain>(&body)?).await?))
}
