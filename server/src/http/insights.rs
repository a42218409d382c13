//! How often flags are served.

use axum::{Json, extract::State};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Caller, Path},
};
use crate::{
    app::{
        access::Action,
        insights::{EnvironmentInsights, FlagInsights},
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(get_flag_insights))
        .route(Access::Project(Action::Read), routes!(get_environment_insights))
}

/// How often applications were served a flag's variants in the last hour, minute by minute, as they told the server that is asked.
#[utoipa::path(
    get, path = "/projects/{project}/flags/{flag}/environments/{environment}/insights", tag = "flags",
    operation_id = "getFlagInsights",
    params(("project" = String, Path), ("flag" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = FlagInsights))
)]
async fn get_flag_insights(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, flag, environment)): Path<(String, String, String)>,
) -> Result<Json<FlagInsights>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.flag_insights(&caller.principal, &environment, &flag).await?))
}

/// When each flag was served last, as applications told the server that is asked: flags that are not there may not be needed any more.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/insights", tag = "flags",
    operation_id = "getEnvironmentInsights",
    params(("project" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = EnvironmentInsights))
)]
async fn get_environment_insights(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
) -> Result<Json<EnvironmentInsights>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.environment_insights(&caller.principal, &environment).await?))
}
