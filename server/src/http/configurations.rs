//! `/projects/{project}/flags/{flag}/environments/{environment}`.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{
    VariantKey,
    config::{Availability, Prerequisite, Rule, Serve, Target},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Caller, IfMatch, Path, Query, Reasoned, Versioned, Write},
};
use crate::{
    app::{
        access::Action,
        configurations::{Configuration, ConfigurationChange, Mode, UnderRollout},
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(get_configuration))
        .route(Access::Project(Action::Edit), routes!(configure_flag))
}

/// `?dryRun=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct DryRun {
    /// Show what would change; write nothing.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
}

impl From<DryRun> for Mode {
    fn from(DryRun { dry_run }: DryRun) -> Self {
        if dry_run { Self::DryRun } else { Self::Commit }
    }
}

/// `?restartRollout=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct RestartRollout {
    /// Where a rollout moves the flag, a change of what is served to whom ends it, and begins it anew with the changed flag; else such a
    /// change is refused.
    #[serde(default)]
    #[param(default = false)]
    restart_rollout: bool,
}

#[derive(Deserialize)]
struct ConfigurationPath {
    project: String,
    flag: String,
    environment: String,
}

/// What a flag does in one environment.
#[utoipa::path(
    get, path = "/projects/{project}/flags/{flag}/environments/{environment}", tag = "flags",
    operation_id = "getConfiguration",
    params(("project" = String, Path), ("flag" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = Configuration))
)]
async fn get_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path(ConfigurationPath { project, flag, environment }): Path<ConfigurationPath>,
) -> Result<Versioned<Configuration>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let configuration = state.app.configuration(&caller.principal, &environment, &flag).await?;
    Ok(Versioned::ok(configuration.version, configuration))
}

/// What may change of a configuration; what is left out stays, `null` takes back to the default. Each field is replaced
/// as a whole.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct ConfigureFlag {
    /// A disabled flag serves its off variant to everybody.
    enabled: Option<bool>,
    /// What a disabled or killed flag serves; null: the caller's default.
    off_variant: Option<VariantKey>,
    /// All must hold, else the off variant is served.
    prerequisites: Option<Vec<Prerequisite>>,
    /// Individual targeting keys, before any rule.
    targets: Option<Vec<Target>>,
    /// Tried in order. A rule without an id gets one. Weights become ranges that move the fewest buckets away from those
    /// of the stored rule with the same id.
    rules: Option<Vec<Rule>>,
    /// What is served where no target and no rule matched. Weights become ranges that move the fewest buckets.
    default: Option<Serve>,
    /// What client keys may see of the flag.
    availability: Option<Availability>,
}

/// Changes what a flag does in one environment (JSON merge patch). `If-Match: "0"` where it was never configured there.
#[utoipa::path(
    patch, path = "/projects/{project}/flags/{flag}/environments/{environment}", tag = "flags",
    operation_id = "configureFlag",
    params(
        ("project" = String, Path), ("flag" = String, Path), ("environment" = String, Path),
        ("If-Match" = String, Header), DryRun, RestartRollout,
    ),
    request_body = Reasoned<ConfigureFlag>, responses((status = 200, body = Configuration))
)]
async fn configure_flag(
    State(state): State<AppState>,
    Path(ConfigurationPath { project, flag, environment }): Path<ConfigurationPath>,
    Query(dry_run): Query<DryRun>,
    Query(RestartRollout { restart_rollout }): Query<RestartRollout>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Configuration>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let under_rollout = if restart_rollout { UnderRollout::Restart } else { UnderRollout::Refuse };
    let change = ConfigurationChange { expected: version, patch: &body, mode: dry_run.into(), under_rollout };
    let configured = state.app.change_configuration(&request, &environment, &flag, change).await?;
    Ok(Versioned::ok(configured.version, configured))
}
