//! `/ofrep/v1`: the OpenFeature Remote Evaluation Protocol 0.3, for every OpenFeature SDK in any language.
//!
//! The environment is the key's. What a client must know beyond the protocol is in `docs/ofrep.md`.

mod wire;

use std::{borrow::Cow, convert::Infallible, fmt, sync::Arc};

use axum::{
    Json, RequestExt as _,
    body::Bytes,
    extract::{FromRequest, Request, State, rejection::BytesRejection},
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
    Context, ErrorCode, Evaluation, Timestamp, evaluate,
    evaluate::{evaluate_all, evaluate_public},
    evaluation::FlagValue,
    ruleset::Outline,
};
use utoipa::IntoParams;
use utoipa_axum::routes;
use xxhash_rust::xxh3::Xxh3;

use self::wire::{
    OfrepAnswer, OfrepEndpoint, OfrepEventStream, OfrepFailure, OfrepFlags, OfrepMetadata, OfrepRefusal, OfrepRefused,
    OfrepRequest, OfrepSuccess,
};
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
    stream::{Hub, Notice},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::SdkKey, routes!(evaluate_flag))
        .with_body(limit::EVALUATE)
        .route(Access::SdkKey, routes!(evaluate_flags))
        .with_body(limit::EVALUATE)
        // Some clients build the address so.
        .also_at("/ofrep/v1/evaluate/flags/")
        .route(Access::StreamToken, routes!(follow))
}

/// What a client says when it asks again because of an event.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct Refetch {
    /// The event's `etag`.
    #[param(nullable = false)]
    flag_config_etag: Option<String>,
}

/// Evaluates one flag for a context.
#[utoipa::path(
    post, path = "/evaluate/flags/{key}", tag = "ofrep", operation_id = "ofrepEvaluateFlag",
    params(("key" = String, Path, description = "The flag's key", example = "new-checkout")),
    request_body = OfrepRequest,
    responses(
        (status = 200, body = OfrepSuccess),
        (status = 400, body = OfrepFailure, description = "The context or the flag cannot be used"),
        (status = 404, body = OfrepFailure, description = "There is no such flag"),
        OfrepRefused,
    )
)]
async fn evaluate_flag(
    State(state): State<AppState>,
    Path(key): Path<String>,
    Question { caller, headers, body }: Question,
) -> Response {
    let Asked { context, hub, .. } = match Asked::read(&state, &caller, &headers, body).await {
        Ok(asked) => asked,
        Err(Refused::Unreadable(code, details)) => return failure(&key, code, details).into_response(),
        Err(Refused::Http(error)) => return error.into_response(),
    };
    let front = hub.front().await;
    let ruleset = &front.compiled.ruleset;
    let is_private = || ruleset.outline(&key).is_none_or(|flag| flag.availability().is_private());
    if caller.kind == SdkKeyKind::Client && is_private() {
        // To a client, a private flag is none.
        return failure(&key, ErrorCode::FlagNotFound, details(ErrorCode::FlagNotFound)).into_response();
    }
    answer(&key, &evaluate(ruleset, &key, &context, state.app.clock.now())).into_response()
}

/// Evaluates all flags for a context; with a client key, those that are available to clients.
///
/// The `ETag` stands for the context and the answers: sent back as `If-None-Match`, it is answered with 304 as long as
/// both are the same, and the address in `eventStreams` is good for a while.
#[utoipa::path(
    post, path = "/evaluate/flags", tag = "ofrep", operation_id = "ofrepEvaluateFlags",
    params(
        Refetch,
        ("flagConfigLastModified" = Option<String>, Query, description = "The event's `lastModified`; not needed"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer"),
    ),
    request_body = OfrepRequest,
    responses(
        (status = 200, body = OfrepFlags, headers(("ETag" = String, description = "Of the context and the answers"))),
        (status = 304, description = "As it was for that `If-None-Match`", headers(("ETag" = String))),
        (status = 400, body = OfrepRefusal, description = "The context cannot be used"),
        OfrepRefused,
    )
)]
async fn evaluate_flags(
    State(state): State<AppState>,
    refetch: Result<Query<Refetch>, HttpError>,
    Question { caller, headers, body }: Question,
) -> Response {
    let Asked { body, context, hub } = match Asked::read(&state, &caller, &headers, body).await {
        Ok(asked) => asked,
        Err(Refused::Unreadable(code, details)) => {
            let refusal = OfrepRefusal { error_code: code, error_details: details };
            return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
        }
        Err(Refused::Http(error)) => return error.into_response(),
    };
    // Another server may have told of the change: this one must not answer as if it had not happened. A hint that cannot be
    // read is none.
    let hint = refetch.ok().and_then(|Query(refetch)| refetch.flag_config_etag);
    let told = hint.as_deref().and_then(revision_of);
    let front = hub.front_at(told.unwrap_or_default()).await;
    let compiled = &front.compiled;
    let now = state.app.clock.now();
    let page = state.ofrep.pages.of(&caller, compiled);
    // Written in two steps: the address differs where the answers do not.
    let mut answer = Vec::with_capacity(page.bytes);
    answer.extend_from_slice(br#"{"flags":"#);
    match caller.kind {
        SdkKeyKind::Server => page.write(evaluate_all(&compiled.ruleset, &context, now), &mut answer),
        SdkKeyKind::Client => page.write(evaluate_public(&compiled.ruleset, &context, now), &mut answer),
    }
    let token = state.ofrep.tokens.of(&caller, now);
    let request_uri = format!("/ofrep/v1/events?token={token}&revision={}", compiled.revision);
    let etag = etag(&[&body[..], &answer, &token.expires_s.to_le_bytes()]);
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, &etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let endpoint = OfrepEndpoint { request_uri };
    let stream = OfrepEventStream { kind: "sse", endpoint, inactivity_delay_sec: INACTIVITY_S };
    answer.extend(br#","eventStreams":"#);
    write(&[stream], &mut answer);
    answer.push(b'}');
    ([(header::ETAG, etag), (header::CONTENT_TYPE, "application/json".to_owned())], answer).into_response()
}

/// What is kept between requests.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pages: Pages,
    tokens: Tokens,
}

/// The pages of the environments that are asked for, by what the key may see.
#[derive(Debug, Default)]
struct Pages {
    of_servers: DashMap<EnvironmentId, Arc<Page>>,
    of_clients: DashMap<EnvironmentId, Arc<Page>>,
}

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

const NO_VARIANT: &str = r#""}"#;

impl Pages {
    fn of(&self, caller: &SdkPrincipal, compiled: &Arc<Compiled>) -> Arc<Page> {
        let pages = match caller.kind {
            SdkKeyKind::Server => &self.of_servers,
            SdkKeyKind::Client => &self.of_clients,
        };
        if let Some(page) = pages.get(&caller.environment)
            && Arc::ptr_eq(&page.compiled, compiled)
        {
            return Arc::clone(&page);
        }
        let page = Arc::new(Page::new(Arc::clone(compiled), caller.kind));
        pages.insert(caller.environment.clone(), Arc::clone(&page));
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
            let tail = format!(r#"","variant":"{key}","value":{}}}"#, json(value));
            (key.into(), tail.into())
        };
        Self {
            head: format!(r#"{{"key":"{}","metadata":{{"version":{}}},"reason":""#, flag.key(), flag.version()).into(),
            tails: flag.variants().map(tail).collect(),
        }
    }

    fn write(&self, said: &Evaluation<'_>, into: &mut Vec<u8>) {
        into.extend_from_slice(self.head.as_bytes());
        into.extend_from_slice(said.reason.as_str().as_bytes());
        let tail = said.variant.and_then(|variant| self.tails.iter().find(|(key, _)| **key == *variant));
        into.extend_from_slice(tail.map_or(NO_VARIANT, |(_, tail)| tail).as_bytes());
    }
}

/// OFREP's default: a page that nobody has looked at for two minutes hangs up.
const INACTIVITY_S: u32 = 120;

/// Where a client begins to listen.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
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

/// What a request brings.
struct Question {
    caller: Arc<SdkPrincipal>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
}

impl FromRequest<AppState> for Question {
    type Rejection = HttpError;

    async fn from_request(mut request: Request, state: &AppState) -> Result<Self, HttpError> {
        let SdkKey(caller) = request.extract_parts().await?;
        // Not copied: whoever reads the body does not look at them.
        let headers = std::mem::take(request.headers_mut());
        Ok(Self { caller, headers, body: Bytes::from_request(request, state).await })
    }
}

/// What is asked, of one flag or of all, by somebody who may.
struct Asked {
    body: Bytes,
    context: Context,
    hub: Arc<Hub>,
}

/// Why nothing is evaluated.
enum Refused {
    /// The body is no question: told as OFREP has it.
    Unreadable(ErrorCode, String),
    Http(HttpError),
}

impl<E: Into<HttpError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Http(error.into())
    }
}

impl Asked {
    async fn read(
        state: &AppState,
        caller: &SdkPrincipal,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Self, Refused> {
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = "the body is larger than 64 KiB: send only attributes that flags ask for";
                Problem::new(Code::TooLarge, detail).into()
            }
            _ => HttpError::from(rejection),
        })?;
        let context = read(&body).map_err(|(code, details)| Refused::Unreadable(code, details))?;
        let signature = headers.get(SIGNATURE).and_then(|signature| signature.to_str().ok());
        check_signature(caller, &context, signature)?;
        let hub = state.streams.hub(&caller.environment).await.map_err(AppError::from)?;
        Ok(Self { body, context, hub })
    }
}

/// The context of a request, or the refusal.
fn read(body: &[u8]) -> Result<Context, (ErrorCode, String)> {
    match serde_json::from_slice::<OfrepRequest>(body) {
        Ok(request) if body.trim_ascii_start().starts_with(b"{") => Ok(request.context.unwrap_or_default()),
        // An array would be read as the fields in their order.
        Ok(_) => Err(no_object()),
        Err(error) if !error.is_data() => {
            Err((ErrorCode::ParseError, format!("the body cannot be read as JSON: {error}")))
        }
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
#[derive(Debug)]
struct StreamToken {
    key: String,
    expires_s: i64,
    signature: String,
}

/// The newest token of each key that asks: signed once for its time.
#[derive(Debug, Default)]
struct Tokens(DashMap<String, Arc<StreamToken>>);

impl Tokens {
    /// Tokens kept at most.
    const CAPACITY: usize = 10_000;

    fn of(&self, caller: &SdkPrincipal, now: Timestamp) -> Arc<StreamToken> {
        let expires_s = StreamToken::expiry(now);
        if let Some(token) = self.0.get(&caller.key)
            && token.expires_s == expires_s
        {
            return Arc::clone(&token);
        }
        let token = Arc::new(StreamToken::new(caller, expires_s));
        if self.0.len() >= Self::CAPACITY {
            self.0.clear();
        }
        self.0.insert(caller.key.clone(), Arc::clone(&token));
        token
    }
}

impl StreamToken {
    /// Tokens of this many seconds are the same, so that a client's address stays, and hold as long again.
    const WINDOW_S: i64 = 1_800;

    /// When tokens given `now` end, in seconds since 1970.
    fn expiry(now: Timestamp) -> i64 {
        let window = now.0.div_euclid(1_000 * Self::WINDOW_S);
        window.saturating_add(2).saturating_mul(Self::WINDOW_S)
    }

    fn new(caller: &SdkPrincipal, expires_s: i64) -> Self {
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
    OfrepAnswer::Failure(OfrepFailure { key, error_code, error_details: error_details.into() })
}

fn answer<'a>(key: &'a str, evaluation: &Evaluation<'a>) -> OfrepAnswer<'a> {
    let Evaluation { value, variant, reason, error, flag_version: version, .. } = *evaluation;
    match error {
        Some(code) => failure(key, code, details(code)),
        None => OfrepAnswer::Success(OfrepSuccess { key, reason, variant, value, metadata: OfrepMetadata { version } }),
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
            Self::Success(_) => StatusCode::OK,
            Self::Failure(OfrepFailure { error_code: ErrorCode::FlagNotFound, .. }) => StatusCode::NOT_FOUND,
            Self::Failure(_) => StatusCode::BAD_REQUEST,
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
