//! `/changes`: what the stream sends, for networks that break websockets. And `/events`: what clients send on it.

use axum::{
    Json,
    body::{Body as HttpBody, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tidegate_core::Context;
use tidegate_protocol::{
    Position,
    events::{EventBatch, Exposure, Measurement, UnitHash},
    message::ClientContext,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Problem, Routes,
    error::Code,
    extract::{Body, Query, SdkKey},
    ofrep::{check_signature, names},
};
use crate::{
    app::{AppError, SdkKeyKind, SdkPrincipal},
    stream::{Frame, Personal, up_to_date},
};

pub(super) fn routes() -> Routes {
    Routes::new().route(Access::SdkKey, routes!(changes, changes_for)).route(Access::SdkKey, routes!(take_events))
}

/// What the client has; all three, or nothing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Held {
    /// The epoch of its position.
    epoch: Option<String>,
    /// The revision of its position.
    revision: Option<u64>,
    /// The digest of its position, 32 hex digits.
    digest: Option<String>,
}

impl Held {
    fn position(self) -> Result<Option<Position>, Problem> {
        match self {
            Self { epoch: None, revision: None, digest: None } => Ok(None),
            Self { epoch: Some(epoch), revision: Some(revision), digest: Some(digest) } => {
                let digest = digest
                    .try_into()
                    .map_err(|_| Problem::new(Code::Malformed, "the digest is 32 hex digits").with_field("?digest"))?;
                Ok(Some(Position { epoch: epoch.into(), revision, digest }))
            }
            _ => {
                let detail =
                    "send `epoch`, `revision` and `digest` of what the client has, or, where it has nothing, none";
                Err(Problem::new(Code::Malformed, detail))
            }
        }
    }
}

/// The change set that brings a client to the newest revision: lines of the protocol of the crate `tidegate-protocol`.
///
/// What the stream sends, for networks that break websockets. A client key sees what it does without a context; it sends one
/// by POST.
#[utoipa::path(
    get, path = "/changes", tag = "stream", operation_id = "getChanges", params(Held),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson", description = "One message a line"),
        (status = 304, description = "As it was for that `If-None-Match`"),
    )
)]
async fn changes(
    State(state): State<AppState>,
    SdkKey(caller): SdkKey,
    Query(held): Query<Held>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    answer(&state, &caller, ChangesFor { position: held.position()?, context: None }, &headers).await
}

/// What a client has, and whom it evaluates for.
#[derive(Debug, Deserialize, ToSchema)]
struct ChangesFor {
    /// What the client has; absent: nothing.
    #[schema(value_type = Option<Object>)]
    position: Option<Position>,
    /// With a client key, whom it evaluates for: its `context`, and in secure mode the `signature` of the targeting key.
    #[serde(flatten)]
    #[schema(value_type = Option<Object>)]
    context: Option<ClientContext>,
}

/// As `getChanges`, with a context: what a client key sees for it. A server key sees everything for any.
#[utoipa::path(
    post, path = "/changes", tag = "stream", operation_id = "getChangesForContext", request_body = ChangesFor,
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson", description = "One message a line"),
        (status = 304, description = "As it was for that `If-None-Match`"),
    )
)]
async fn changes_for(
    State(state): State<AppState>,
    SdkKey(caller): SdkKey,
    headers: HeaderMap,
    Body(asked): Body<ChangesFor>,
) -> Result<Response, HttpError> {
    answer(&state, &caller, asked, &headers).await
}

async fn answer(
    state: &AppState,
    caller: &SdkPrincipal,
    ChangesFor { position, context }: ChangesFor,
    headers: &HeaderMap,
) -> Result<Response, HttpError> {
    let hub = state.streams.hub(&caller.environment).await.map_err(AppError::from)?;
    let front = hub.front().await;
    let (frames, to) = match caller.kind {
        SdkKeyKind::Server => {
            let to = front.state.position.clone();
            let frames = match hub.change_set(&front.state, position.as_ref()).await {
                Some(change_set) => change_set.frames.iter().map(Frame::bytes).collect(),
                None => vec![up_to_date(&to).into()],
            };
            (frames, to)
        }
        SdkKeyKind::Client => {
            let ctx = match &context {
                Some(context) => {
                    Context::from_json(&context.context).map_err(|detail| AppError::invalid("/context", detail))?
                }
                None => Context::anonymous(),
            };
            check_signature(caller, &ctx, context.and_then(|context| context.signature).as_deref())?;
            if let Some((frames, to)) = Personal::new(ctx).advance(&front, position.as_ref(), state.app.clock.now()) {
                (frames.into_iter().map(Bytes::from).collect(), to)
            } else {
                let to = position.unwrap_or_else(|| front.state.position.clone());
                (vec![up_to_date(&to).into()], to)
            }
        }
    };
    // The digest is that of what the key sees, so that the tag stands for the context, too.
    let etag = etag(&to);
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(lines(etag, frames))
}

fn etag(to: &Position) -> String {
    format!("\"{}.{}.{}\"", to.epoch, to.revision, String::from(to.digest))
}

/// The frames as they are, each on its line: nothing is copied for the ten thousandth client.
fn lines(etag: String, frames: Vec<Bytes>) -> Response {
    let pieces = frames.into_iter().flat_map(|frame| [frame, Bytes::from_static(b"\n")]);
    let body = HttpBody::from_stream(stream::iter(pieces.map(Ok::<_, std::convert::Infallible>)));
    let headers = [(header::ETAG, etag), (header::CONTENT_TYPE, "application/x-ndjson".to_owned())];
    (headers, body).into_response()
}

/// Events, as SDKs and others send them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewEvents {
    /// Chosen by the client, another one for each batch, at most 64 bytes: a batch that comes twice counts once.
    id: String,
    /// What was served to whom; with the measurements at most 500.
    #[serde(default)]
    exposures: Vec<NewExposure>,
    /// What was measured.
    #[serde(default)]
    measurements: Vec<NewMeasurement>,
    /// How many events the client had no room for since its last batch.
    #[serde(default)]
    dropped: u64,
}

/// A unit was served a variant, once or more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewExposure {
    /// The flag's key.
    flag: String,
    /// The variant's key; absent: the caller's default.
    variant: Option<String>,
    /// The flag's version, as in `metadata` of an evaluation.
    #[serde(default)]
    version: u64,
    /// To whom: the targeting key. It is hashed before anything else is done with it.
    targeting_key: Option<String>,
    /// Instead of it, its hash, as SDKs send it: `xxh3_64` of the UTF-8, 16 hex digits.
    #[schema(value_type = Option<String>)]
    unit: Option<UnitHash>,
    /// The `bucket` of the evaluation, where that of the flag's default decided. With the targeting key it is not needed.
    bucket: Option<u32>,
    /// The id of the rule that served, where one did.
    rule: Option<String>,
    /// How often, at least once.
    #[serde(default = "once")]
    count: u64,
    /// When first: milliseconds since 1970. Absent: now.
    at: Option<i64>,
}

/// Something was measured.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewMeasurement {
    /// What: at most 128 bytes.
    metric: String,
    /// To whom: the targeting key. It is hashed before anything else is done with it.
    targeting_key: Option<String>,
    /// Instead of it, its hash, as SDKs send it: `xxh3_64` of the UTF-8, 16 hex digits.
    #[schema(value_type = Option<String>)]
    unit: Option<UnitHash>,
    /// How much; absent: it happened.
    value: Option<f64>,
    /// When: milliseconds since 1970. Absent: now.
    at: Option<i64>,
}

fn unit(hash: Option<UnitHash>, targeting_key: Option<&str>) -> Option<UnitHash> {
    hash.or_else(|| targeting_key.map(UnitHash::of))
}

fn once() -> u64 {
    1
}

/// That a batch was taken.
#[derive(Debug, Serialize, ToSchema)]
struct EventsTaken {
    /// The batch's id.
    id: String,
}

/// Takes exposures and measurements: those of our SDKs where they cannot use the stream, and those of OFREP's clients, as
/// that protocol has none.
#[utoipa::path(
    post, path = "/events", tag = "stream", operation_id = "takeEvents", request_body = NewEvents,
    responses((status = 202, body = EventsTaken, description = "Taken, now or before"))
)]
async fn take_events(
    State(state): State<AppState>,
    SdkKey(caller): SdkKey,
    Body(events): Body<NewEvents>,
) -> Result<(StatusCode, Json<EventsTaken>), HttpError> {
    let caller: &SdkPrincipal = &caller;
    let hub = state.streams.hub(&caller.environment).await.map_err(AppError::from)?;
    let bucket_of = |flag: &str, key: &str| hub.bucket(flag, key);
    let batch = batch(events, state.app.clock.now().0, bucket_of);
    if !state.streams.take_events(&hub, caller, None, &batch).await?.settled().await {
        let detail = "the events could not be kept: send them again under the same id";
        return Err(Problem::new(Code::Unavailable, detail).with_retry_after(1).into());
    }
    Ok((StatusCode::ACCEPTED, Json(EventsTaken { id: batch.id })))
}

fn batch(
    NewEvents { id, exposures, measurements, dropped }: NewEvents,
    now: i64,
    bucket_of: impl Fn(&str, &str) -> Option<u32>,
) -> EventBatch {
    let exposures = exposures.into_iter().map(
        |NewExposure { flag, variant, version, targeting_key, unit: hash, bucket, rule, count, at }| {
            let bucket = bucket.or_else(|| bucket_of(&flag, targeting_key.as_deref()?));
            Exposure {
                flag,
                variant,
                version,
                unit: unit(hash, targeting_key.as_deref()),
                bucket,
                rule,
                count,
                at: at.unwrap_or(now),
            }
        },
    );
    let measurements =
        measurements.into_iter().map(|NewMeasurement { metric, targeting_key, unit: hash, value, at }| Measurement {
            metric,
            unit: unit(hash, targeting_key.as_deref()),
            value,
            at: at.unwrap_or(now),
        });
    EventBatch { id, exposures: exposures.collect(), measurements: measurements.collect(), dropped }
}
