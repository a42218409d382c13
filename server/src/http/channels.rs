//! `/projects/{project}/notification-channels`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, IfMatch, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::{
    app::{
        Page,
        access::Action,
        channels::{Channel, CreateChannel, DeliveryView, MadeChannel, NotificationChannel, TestResult},
        input,
        resource::{Listed, Resource},
    },
    ports::notify::{Severity, Target},
};

pub(super) fn routes() -> Routes {
    let administer = Access::Project(Action::Administer);
    Routes::new()
        .route(administer, routes!(list_channels, create_channel))
        .route(administer, routes!(get_channel, update_channel, archive_channel))
        .route(administer, routes!(change_channel_key))
        .route(administer, routes!(test_channel))
        .route(administer, routes!(list_deliveries))
        .route(administer, routes!(retry_delivery))
}

#[derive(Deserialize)]
struct ChannelPath {
    project: String,
    channel: String,
}

#[derive(Deserialize)]
struct DeliveryPath {
    project: String,
    channel: String,
    delivery: String,
}

/// The notification channels of a project.
#[utoipa::path(
    get, path = "/projects/{project}/notification-channels", tag = "notifications", operation_id = "listChannels",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<Listed<Resource<NotificationChannel>>>))
)]
async fn list_channels(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<Resource<NotificationChannel>>>>, HttpError> {
    Ok(Json(state.app.list::<Channel>(&caller.principal, &project, &page).await?))
}

/// Makes a notification channel. A webhook's signing key is in the answer, this once.
#[utoipa::path(
    post, path = "/projects/{project}/notification-channels", tag = "notifications", operation_id = "createChannel",
    params(("project" = String, Path)),
    request_body = Reasoned<CreateChannel>, responses((status = 201, body = Resource<MadeChannel>))
)]
async fn create_channel(
    State(state): State<AppState>,
    Path(project): Path<String>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<MadeChannel>>, HttpError> {
    let created = state.app.create_channel(&request, &project, input::parse::<CreateChannel>(&body)?).await?;
    Ok(Versioned::created(created.version, created))
}

/// One notification channel.
#[utoipa::path(
    get, path = "/projects/{project}/notification-channels/{channel}", tag = "notifications",
    operation_id = "getChannel",
    params(("project" = String, Path), ("channel" = String, Path)),
    responses((status = 200, body = Resource<NotificationChannel>))
)]
async fn get_channel(
    State(state): State<AppState>,
    caller: Caller,
    Path(ChannelPath { project, channel }): Path<ChannelPath>,
) -> Result<Versioned<Resource<NotificationChannel>>, HttpError> {
    let channel = state.app.one::<Channel>(&caller.principal, &project, &channel).await?;
    Ok(Versioned::ok(channel.version, channel))
}

/// What may change of a notification channel; what is left out stays, `null` takes back to the default.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
#[schema(rename_all = "camelCase")]
struct UpdateChannel {
    /// What people call it.
    name: Option<String>,
    /// Where its messages go; replaced as a whole, of the same kind.
    target: Option<Target>,
    /// What is milder is not sent.
    min_severity: Option<Severity>,
    /// Only notifications of these environments are sent; empty: of all.
    environments: Option<Vec<String>>,
}

/// Changes a notification channel (JSON merge patch).
#[utoipa::path(
    patch, path = "/projects/{project}/notification-channels/{channel}", tag = "notifications",
    operation_id = "updateChannel",
    params(("project" = String, Path), ("channel" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UpdateChannel>, responses((status = 200, body = Resource<NotificationChannel>))
)]
async fn update_channel(
    State(state): State<AppState>,
    Path(ChannelPath { project, channel }): Path<ChannelPath>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<NotificationChannel>>, HttpError> {
    let channel = state.app.update::<Channel>(&request, &project, &channel, version, &body).await?;
    Ok(Versioned::ok(channel.version, channel))
}

/// Archives a notification channel: what waits for it is not sent any more. Its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}/notification-channels/{channel}", tag = "notifications",
    operation_id = "archiveChannel",
    params(("project" = String, Path), ("channel" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_channel(
    State(state): State<AppState>,
    Path(ChannelPath { project, channel }): Path<ChannelPath>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    state.app.archive::<Channel>(&request, &project, &channel, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook another signing key, which is in the answer, this once. For a day, messages are signed with the old one, too.
#[utoipa::path(
    post, path = "/projects/{project}/notification-channels/{channel}/key", tag = "notifications",
    operation_id = "changeChannelKey",
    params(("project" = String, Path), ("channel" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 200, body = Resource<MadeChannel>))
)]
async fn change_channel_key(
    State(state): State<AppState>,
    Path(ChannelPath { project, channel }): Path<ChannelPath>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<Versioned<Resource<MadeChannel>>, HttpError> {
    let channel = state.app.change_channel_key(&request, &project, &channel, version).await?;
    Ok(Versioned::ok(channel.version, channel))
}

/// Sends a test message to a notification channel at once, and tells what happened.
#[utoipa::path(
    post, path = "/projects/{project}/notification-channels/{channel}/test", tag = "notifications",
    operation_id = "testChannel",
    params(("project" = String, Path), ("channel" = String, Path)),
    responses((status = 200, body = TestResult))
)]
async fn test_channel(
    State(state): State<AppState>,
    Path(ChannelPath { project, channel }): Path<ChannelPath>,
    BareWrite(request): BareWrite,
) -> Result<Json<TestResult>, HttpError> {
    Ok(Json(state.app.test_channel(&request, &project, &channel).await?))
}

/// What has become of a channel's notifications, newest first. Those of the last 30 days are kept.
#[utoipa::path(
    get, path = "/projects/{project}/notification-channels/{channel}/deliveries", tag = "notifications",
    operation_id = "listDeliveries",
    params(("project" = String, Path), ("channel" = String, Path), PageQuery),
    responses((status = 200, body = Page<DeliveryView>))
)]
async fn list_deliveries(
    State(state): State<AppState>,
    caller: Caller,
    Path(ChannelPath { project, channel }): Path<ChannelPath>,
    Paging(page): Paging,
) -> Result<Json<Page<DeliveryView>>, HttpError> {
    Ok(Json(state.app.deliveries(&caller.principal, &project, &channel, &page).await?))
}

/// Sends a notification again, as if it were new: a dead one, or one that waits and need not any more.
#[utoipa::path(
    post, path = "/projects/{project}/notification-channels/{channel}/deliveries/{delivery}/retry",
    tag = "notifications", operation_id = "retryDelivery",
    params(("project" = String, Path), ("channel" = String, Path), ("delivery" = String, Path)),
    responses((status = 200, body = DeliveryView))
)]
async fn retry_delivery(
    State(state): State<AppState>,
    Path(DeliveryPath { project, channel, delivery }): Path<DeliveryPath>,
    BareWrite(request): BareWrite,
) -> Result<Json<DeliveryView>, HttpError> {
    Ok(Json(state.app.retry_delivery(&request, &project, &channel, &delivery).await?))
}
