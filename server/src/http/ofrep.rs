//! `/ofrep/v1`: the OpenFeature Remote Evaluation Protocol 0.3, for every OpenFeature SDK in any language.
//!
//! The environment is the key's. What a client must know beyond the protocol is in `docs/ofrep.md`.

use std::{borrow::Cow, convert::Infallible, fmt, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use dashmap::DashMap;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_core::{
    Context, ErrorCode, Evaluation, Reason, Timestamp, evaluate,
    evaluate::{evaluate_all, evaluate_public},
    evaluation::FlagValue,
    ruleset::Outline,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::UtoipaMethodRouterExt as _, routes};
use xxhash_rust::xxh3::Xxh3;

use super::{
    Access, AppState, HttpError, Problem, Routes,
    auth::{SIGNATURE, check_page},
    error::Code,
    extract::{Path, Query, SdkKey},
    router::limit,
};
use crate::{
    app::{App, AppError, SdkKeyKind, SdkPrincipal, keys, rulesets::Compiled},
    ports::store::EnvironmentId,
    stream::Notice,
};

pub(super) fn routes() -> Routes {
    let context = || DefaultBodyLimit::max(limit::EVALUATE);
    Routes::new()
        .route(Access::SdkKey, routes!(evaluate_flag).layer(context()))
        .route(Access::SdkKey, routes!(evaluate_flags).layer(context()))
        // Some clients build the address so.
        .also_at("/ofrep/v1/evaluate/flags/")
        .route(Access::StreamToken, routes!(follow))
}

/// The body of an OFREP request. Fields that are not known are ignored, as the protocol grows.
#[derive(Debug, Deserialize, ToSchema)]
struct OfrepRequest {
    /// The evaluation context; its `targetingKey` may be missing where no flag needs one.
    #[schema(value_type = Option<Object>)]
    context: Option<Context>,
}

/// What one flag says.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
enum OfrepAnswer<'a> {
    /// A value, or, without `value` and `variant`, the caller's default.
    #[serde(rename_all = "camelCase")]
    Success {
        /// The flag's key.
        key: &'a str,
        /// Why this value.
        #[schema(value_type = String)]
        reason: Reason,
        /// The variant's key.
        #[serde(skip_serializing_if = "Option::is_none")]
        variant: Option<&'a str>,
        /// The value.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Value>)]
        value: Option<&'a FlagValue>,
        /// What else is known.
        metadata: OfrepMetadata,
    },
    /// No value.
    #[serde(rename_all = "camelCase")]
    Failure {
        /// The flag's key.
        key: &'a str,
        /// Why not.
        #[schema(value_type = String)]
        error_code: ErrorCode,
        /// Why not, for people.
        #[schema(value_type = String)]
        error_details: Cow<'static, str>,
    },
}

/// OFREP's metadata of a flag.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct OfrepMetadata {
    /// The flag's version.
    version: u64,
}

/// What every flag says, and where to hear of changes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "for the description: it is written in parts")]
struct OfrepFlags<'a> {
    /// One answer for each flag, in the order of the keys.
    flags: Vec<OfrepAnswer<'a>>,
    /// Where to hear of changes.
    event_streams: [OfrepEventStream; 1],
}

/// Where to hear of changes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OfrepEventStream {
    /// `sse`: Server-Sent Events.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its address.
    endpoint: OfrepEndpoint,
    /// A client that is not looked at for so long may hang up.
    inactivity_delay_sec: u32,
}

/// An address at the origin that was asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OfrepEndpoint {
    /// Path and query. The query is a secret, for half an hour at least.
    request_uri: String,
}

/// What a client says when it asks again because of an event.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
struct Refetch {
    /// The event's `etag`.
    flag_config_etag: Option<String>,
}

/// Evaluates one flag for a context.
#[utoipa::path(
    post, path = "/evaluate/flags/{key}", tag = "ofrep", operation_id = "ofrepEvaluateFlag",
    params(("key" = String, Path, description = "The flag's key")), request_body = OfrepRequest,
    responses(
        (status = 200, body = OfrepAnswer),
        (status = 400, body = OfrepAnswer, description = "The context or the flag cannot be used"),
        (status = 404, body = OfrepAnswer, description = "There is no such flag"),
    )
)]
async fn evaluate_flag(
    State(state): State<AppState>,
    SdkKey(caller): SdkKey,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, HttpError> {
    let body = body?;
    let context = match read(&body) {
        Ok(context) => context,
        Err((code, details)) => return Ok(failure(&key, code, details).into_response()),
    };
    check_signature(&caller, &context, signature(&headers))?;
    let hub = state.streams.hub(&caller.environment).await.map_err(AppError::from)?;
    let front = hub.front().await;
    let ruleset = &front.compiled.ruleset;
    let is_private = || ruleset.outline(&key).is_none_or(|flag| flag.availability().is_private());
    if caller.kind == SdkKeyKind::Client && is_private() {
        // To a client, a private flag is none.
        return Ok(failure(&key, ErrorCode::FlagNotFound, details(ErrorCode::FlagNotFound)).into_response());
    }
    Ok(answer(&key, &evaluate(ruleset, &key, &context, state.app.clock.now())).into_response())
}

/// Evaluates all flags for a context; with a client key, those that are available to clients.
///
/// The `ETag` stands for the context and the answers: sent back as `If-None-Match`, it is answered with 304 as long as
/// both are the same, and the address in `eventStreams` is good for a while.
#[utoipa::path(
    post, path = "/evaluate/flags", tag = "ofrep", operation_id = "ofrepEvaluateFlags", params(Refetch),
    request_body = OfrepRequest,
    responses(
        (status = 200, body = OfrepFlags),
        (status = 304, description = "As it was for that `If-None-Match`"),
        (status = 400, body = OfrepAnswer, description = "The context cannot be used"),
    )
)]
async fn evaluate_flags(
    State(state): State<AppState>,
    SdkKey(caller): SdkKey,
    Query(refetch): Query<Refetch>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, HttpError> {
    let body = body?;
    let context = match read(&body) {
        Ok(context) => context,
        Err((code, details)) => return Ok(refusal(code, &details)),
    };
    check_signature(&caller, &context, signature(&headers))?;
    let hub = state.streams.hub(&caller.environment).await.map_err(AppError::from)?;
    // Another server may have told of the change: this one must not answer as if it had not happened.
    let told = refetch.flag_config_etag.as_deref().and_then(revision_of);
    let front = hub.front_at(told.unwrap_or_default()).await;
    let compiled = &front.compiled;
    let now = state.app.clock.now();
    let page = state.ofrep.page(&caller, compiled);
    // Written in two steps: the address differs where the answers do not.
    let mut answer = Vec::with_capacity(page.bytes);
    answer.extend_from_slice(br#"{"flags":"#);
    match caller.kind {
        SdkKeyKind::Server => page.write(evaluate_all(&compiled.ruleset, &context, now), &mut answer),
        SdkKeyKind::Client => page.write(evaluate_public(&compiled.ruleset, &context, now), &mut answer),
    }
    let token = StreamToken::of(&caller, now);
    let request_uri = format!("/ofrep/v1/events?token={token}&revision={}", compiled.revision);
    let etag = etag(&[&body, &answer, &token.expires_s.to_le_bytes()]);
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let endpoint = OfrepEndpoint { request_uri };
    let stream = OfrepEventStream { kind: "sse", endpoint, inactivity_delay_sec: INACTIVITY_S };
    answer.extend(br#","eventStreams":"#);
    write(&[stream], &mut answer);
    answer.push(b'}');
    Ok(([(header::ETAG, etag), (header::CONTENT_TYPE, "application/json".to_owned())], answer).into_response())
}

/// The pages of the environments that are asked for, by what the key may see.
#[derive(Debug, Default)]
pub(super) struct Pages(DashMap<(EnvironmentId, SdkKeyKind), Arc<Page>>);

/// The answers about all flags of one ruleset, written but for what the context decides: most of a request's time would be
/// spent on writing the same again.
#[derive(Debug)]
struct Page {
    compiled: Arc<Compiled>,
    /// In the order of the keys.
    flags: Vec<Written>,
    /// About how long an answer is.
    bytes: usize,
}

/// A flag's answers but for the reason: `head`, reason, and the variant's tail or [`NO_VARIANT`].
#[derive(Debug)]
struct Written {
    head: Box<str>,
    tails: Box<[(Box<str>, Box<str>)]>,
}

const NO_VARIANT: &str = "}";

impl Pages {
    fn page(&self, caller: &SdkPrincipal, compiled: &Arc<Compiled>) -> Arc<Page> {
        let at = (caller.environment.clone(), caller.kind);
        if let Some(page) = self.0.get(&at)
            && Arc::ptr_eq(&page.compiled, compiled)
        {
            return Arc::clone(&page);
        }
        let page = Arc::new(Page::new(Arc::clone(compiled), caller.kind));
        self.0.insert(at, Arc::clone(&page));
        page
    }
}

impl Page {
    fn new(compiled: Arc<Compiled>, kind: SdkKeyKind) -> Self {
        let seen =
            compiled.ruleset.outlines().filter(|flag| kind == SdkKeyKind::Server || !flag.availability().is_private());
        let flags: Vec<_> = seen.map(Written::new).collect();
        let longest = |flag: &Written| flag.tails.iter().map(|(_, tail)| tail.len()).max().unwrap_or_default();
        let bytes = flags.iter().map(|flag| flag.head.len() + longest(flag) + 32).sum::<usize>() + 512;
        Self { compiled, flags, bytes }
    }

    /// Writes the array of the answers. `said`: what the page's flags say, in its order.
    fn write<'r>(&self, said: impl Iterator<Item = (&'r str, Evaluation<'r>)>, into: &mut Vec<u8>) {
        into.push(b'[');
        for (index, ((key, said), written)) in said.zip(&self.flags).enumerate() {
            if index > 0 {
                into.push(b',');
            }
            if said.error.is_some() {
                write(&answer(key, &said), into);
            } else {
                written.write(&said, into);
            }
        }
        into.push(b']');
    }
}

impl Written {
    fn new(flag: Outline<'_>) -> Self {
        let json = |value: &FlagValue| {
            serde_json::to_string(value).unwrap_or_else(|error| unreachable!("a flag's value is JSON: {error}"))
        };
        // Keys have no character that JSON would escape.
        let tail = |(key, value): (&str, &FlagValue)| {
            let tail = format!(r#","variant":"{key}","value":{}}}"#, json(value));
            (key.into(), tail.into())
        };
        Self {
            head: format!(r#"{{"key":"{}","metadata":{{"version":{}}},"reason":"#, flag.key(), flag.version()).into(),
            tails: flag.variants().map(tail).collect(),
        }
    }

    fn write(&self, said: &Evaluation<'_>, into: &mut Vec<u8>) {
        into.extend_from_slice(self.head.as_bytes());
        write(&said.reason, into);
        let tail = said.variant.and_then(|variant| self.tails.iter().find(|(key, _)| **key == *variant));
        into.extend_from_slice(tail.map_or(NO_VARIANT, |(_, tail)| tail).as_bytes());
    }
}

/// OFREP's default: a page that nobody has looked at for two minutes hangs up.
const INACTIVITY_S: u32 = 120;

/// Where a client begins to listen.
#[derive(Debug, Deserialize, IntoParams)]
struct Listen {
    /// Of the address in `eventStreams`.
    token: String,
    /// The revision that the client has answers of.
    revision: Option<u64>,
}

/// Tells when flags should be evaluated again: Server-Sent Events, at the address that `eventStreams` names.
///
/// Each event says `{"type":"refetchEvaluation","etag":…,"lastModified":…}`. The first comes at once where something
/// changed since the client evaluated.
#[utoipa::path(
    get, path = "/events", tag = "ofrep", operation_id = "ofrepFollow", params(Listen),
    responses((status = 200, description = "Events, without end", content_type = "text/event-stream", body = String))
)]
async fn follow(
    State(state): State<AppState>,
    Query(listen): Query<Listen>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let caller = Arc::new(StreamToken::redeem(&state.app, &listen.token).await?);
    check_page(&caller, &headers)?;
    let admission =
        state.streams.admit().ok_or_else(|| Problem::overloaded("too many streams are open: try again later"))?;
    let hub = state.streams.hub(&caller.environment).await.map_err(AppError::from)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(revision_of);
    let seen = last.or(listen.revision).unwrap_or_else(|| hub.state().position.revision);
    let notices = state.streams.notices(&hub, &caller, seen, admission);
    let events = notices.map(|Notice { epoch, revision, changed_at }| {
        let etag = format!("{epoch}.{revision}");
        let seconds = changed_at.0.div_euclid(1_000);
        let data = json!({ "type": "refetchEvaluation", "etag": etag, "lastModified": seconds });
        Ok::<_, Infallible>(Event::default().id(etag).data(data.to_string()))
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(state.config.streams.heartbeat));
    // A proxy that gathers what it passes on would keep the events.
    Ok(([("x-accel-buffering", "no")], sse).into_response())
}

/// The revision in the `etag` of an event, `<epoch>.<revision>`.
fn revision_of(etag: &str) -> Option<u64> {
    etag.rsplit_once('.').and_then(|(_, revision)| revision.parse().ok())
}

fn write(answer: &impl Serialize, into: &mut Vec<u8>) {
    serde_json::to_writer(into, answer)
        .unwrap_or_else(|error| unreachable!("answers have only string keys and finite numbers: {error}"));
}

/// The context of a request, or the refusal.
fn read(body: &[u8]) -> Result<Context, (ErrorCode, String)> {
    match serde_json::from_slice::<OfrepRequest>(body) {
        Ok(request) if body.trim_ascii_start().starts_with(b"{") => Ok(request.context.unwrap_or_default()),
        // An array would be read as the fields in their order.
        Ok(_) => Err(no_object()),
        Err(error) if !error.is_data() => Err((ErrorCode::ParseError, format!("the body is not JSON: {error}"))),
        Err(_) if !body.trim_ascii_start().starts_with(b"{") => Err(no_object()),
        Err(error) => Err((ErrorCode::InvalidContext, format!("`context`: {error}"))),
    }
}

fn no_object() -> (ErrorCode, String) {
    (ErrorCode::ParseError, "the body is a JSON object with the member `context`".to_owned())
}

/// In secure mode, whoever names a targeting key shows that the application's server knows it.
pub(super) fn check_signature(
    caller: &SdkPrincipal,
    context: &Context,
    signature: Option<&str>,
) -> Result<(), Problem> {
    if caller.vouches_for(context.targeting_key(), signature) {
        return Ok(());
    }
    let detail = "the key is in secure mode: send the HMAC-SHA256 of the targeting key, made by your server with the key's \
                  signing secret, as the header `X-Tidegate-Signature` (64 hex digits)";
    Err(Problem::new(Code::Forbidden, detail))
}

fn signature(headers: &HeaderMap) -> Option<&str> {
    headers.get(SIGNATURE).and_then(|signature| signature.to_str().ok())
}

/// Over context and answers, as a client sends the tag of its last answer whatever context it asks for next; and over the
/// time until which the stream's token holds, as after a 304 the client keeps the address that it has.
fn etag(parts: &[&[u8]]) -> String {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    format!("\"{:032x}\"", hasher.digest128())
}

/// Opens the event stream of an SDK key: for a browser's `EventSource`, which cannot send headers.
///
/// ```text
/// <id of the key>.<end, in seconds since 1970>.<HMAC-SHA256 of both under the key's token secret>
/// ```
///
/// Any server on the database can check it, and it ends with its key.
struct StreamToken {
    key: String,
    expires_s: i64,
    signature: String,
}

impl StreamToken {
    /// Tokens of this many seconds are the same, so that a client's address stays, and hold as long again.
    const WINDOW_S: i64 = 1_800;

    fn of(caller: &SdkPrincipal, now: Timestamp) -> Self {
        let window = now.0.div_euclid(1_000 * Self::WINDOW_S);
        let expires_s = window.saturating_add(2).saturating_mul(Self::WINDOW_S);
        let signature = caller.token_secret.sign(&Self::message(&caller.key, expires_s));
        Self { key: caller.key.clone(), expires_s, signature }
    }

    fn message(key: &str, expires_s: i64) -> String {
        format!("ofrep events\n{key}\n{expires_s}")
    }

    /// The key that the token stands for.
    async fn redeem(app: &App, token: &str) -> Result<SdkPrincipal, AppError> {
        let refused = || AppError::Unauthenticated {
            detail: "the stream's token is not valid (any more): evaluate again, and take the address of that answer"
                .to_owned(),
        };
        let mut parts = token.splitn(3, '.');
        let (Some(key), Some(expires), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused());
        };
        let expires_s: i64 = expires.parse().map_err(|_| refused())?;
        let caller = keys::sdk_principal(app, key).await?;
        let genuine = caller.token_secret.verifies(&Self::message(key, expires_s), signature);
        let over = app.clock.now().0.div_euclid(1_000) >= expires_s;
        if genuine && !over { Ok(caller) } else { Err(refused()) }
    }
}

impl fmt::Display for StreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.key, self.expires_s, self.signature)
    }
}

/// Whether an `If-None-Match` names the tag (RFC 9110 §13.1.2: compared weakly).
pub(super) fn names(known: &HeaderValue, etag: &str) -> bool {
    let tags = known.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.into_iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn failure(key: &str, error_code: ErrorCode, error_details: impl Into<Cow<'static, str>>) -> OfrepAnswer<'_> {
    OfrepAnswer::Failure { key, error_code, error_details: error_details.into() }
}

/// A refusal of a request that names no flag.
fn refusal(code: ErrorCode, details: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "errorCode": code, "errorDetails": details }))).into_response()
}

fn answer<'a>(key: &'a str, evaluation: &Evaluation<'a>) -> OfrepAnswer<'a> {
    let Evaluation { value, variant, reason, error, flag_version: version, .. } = *evaluation;
    match error {
        Some(code) => failure(key, code, details(code)),
        None => OfrepAnswer::Success { key, reason, variant, value, metadata: OfrepMetadata { version } },
    }
}

/// Why there is no value, for people.
fn details(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::FlagNotFound => "there is no such flag in the key's environment",
        ErrorCode::ParseError => "the flag is broken: its page in the admin UI says where",
        ErrorCode::TargetingKeyMissing => {
            "the flag's rollout needs a `targetingKey`, or the attribute that it buckets by"
        }
        ErrorCode::InvalidContext => {
            "the attribute that the flag buckets by is neither a string nor an integral number"
        }
        _ => "the flag could not be evaluated",
    }
}

impl IntoResponse for OfrepAnswer<'_> {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Success { .. } => StatusCode::OK,
            Self::Failure { error_code: ErrorCode::FlagNotFound, .. } => StatusCode::NOT_FOUND,
            Self::Failure { .. } => StatusCode::BAD_REQUEST,
        };
        (status, Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_page_says_what_one_answer_says() {
        let flag = |key: &str, rest: Value| {
            let mut flag = json!({
                "key": key, "kind": "string", "version": 3, "enabled": true, "salt": key, "offVariant": "off",
                "variants": [{ "key": "on", "value": "\"on\"\n" }, { "key": "off", "value": "" }],
                "default": { "variant": "on" }, "availability": "values",
            });
            flag.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            flag
        };
        let half = json!([{ "variant": "on", "weight": 50_000 }, { "variant": "off", "weight": 50_000 }]);
        let file = json!({ "flags": [
            flag("a", json!({})),
            flag("b", json!({ "enabled": false })),
            flag("c", json!({ "enabled": false, "offVariant": null })),
            flag("d", json!({ "default": { "distribution": { "weights": half } } })),
            flag("e", json!({ "variants": [] })),
            flag("f", json!({ "availability": "private" })),
        ]});
        let (ruleset, _) = tidegate_core::compile(&serde_json::from_value(file).unwrap());
        let compiled = Arc::new(Compiled { revision: 1, ruleset });
        for ctx in [Context::anonymous(), Context::new("ada"), Context::new("bob")] {
            let all: Vec<_> = evaluate_all(&compiled.ruleset, &ctx, Timestamp(0)).collect();
            let public: Vec<_> = evaluate_public(&compiled.ruleset, &ctx, Timestamp(0)).collect();
            assert_eq!((all.len(), public.len()), (6, 5));
            for (kind, said) in [(SdkKeyKind::Server, all), (SdkKeyKind::Client, public)] {
                let mut page = Vec::new();
                Page::new(Arc::clone(&compiled), kind).write(said.iter().copied(), &mut page);
                let each: Vec<_> = said.iter().map(|(key, said)| json!(answer(key, said))).collect();
                assert_eq!(serde_json::from_slice::<Value>(&page).unwrap(), json!(each));
            }
        }
    }

    #[test]
    fn tags_stand_for_context_and_answers() {
        assert_eq!(etag(&[b"a", b"b"]), etag(&[b"a", b"b"]));
        assert_ne!(etag(&[b"a", b"b"]), etag(&[b"", b"ab"]));
        let tag = etag(&[b"a", b"b"]);
        for (known, matches) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"x\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
        ] {
            assert_eq!(names(&HeaderValue::try_from(&known).unwrap(), &tag), matches, "{known}");
        }
    }
}
