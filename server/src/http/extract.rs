//! What handlers take: who asks, what they send, which version they read.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request as HttpRequest},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::{
    error::{Code, HttpError, Problem},
    idempotency,
    layers::RequestId,
};
use crate::app::{AppError, Principal, Request, SdkPrincipal, input, sessions::Me};

/// Who asks: put there by the route's guard, never taken from the URL.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is, and what they hold.
    pub principal: Principal,
    /// The session by which they ask; `None`: a token or key.
    pub session: Option<CallerSession>,
}

/// The session by which a person asks.
#[derive(Clone, Debug)]
pub struct CallerSession {
    /// The session's id.
    pub id: String,
    /// The person.
    pub me: Me,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| AppError::Unauthenticated { detail: "sign in first".to_owned() }.into())
    }
}

/// The SDK key that asks, on routes of [`Access::SdkKey`](super::Access::SdkKey): put there by the route's guard.
#[derive(Clone, Debug)]
pub struct SdkKey(pub Arc<SdkPrincipal>);

impl<S: Send + Sync> FromRequestParts<S> for SdkKey {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpError> {
        let key = parts.extensions.get::<Self>().cloned();
        key.ok_or_else(|| AppError::Forbidden { needed: "of an SDK key".to_owned() }.into())
    }
}

/// A read, for use cases that take a [`Request`]: it has no reason, and is never a repetition.
#[derive(Debug)]
pub struct Read(pub Request);

impl<S: Send + Sync> FromRequestParts<S> for Read {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(Request {
            principal: caller.principal,
            reason: String::new(),
            request_id: RequestId::of(&parts.extensions),
            idempotency: None,
        }))
    }
}

/// A write with a JSON body: who asks, why, and what.
///
/// `reason` is taken out of the body before it becomes a `T`: every write has it, so no `T` declares it. `T` should
/// refuse unknown fields, so that nobody's typing error goes unnoticed. In OpenAPI its body is a [`Reasoned<T>`].
#[derive(Debug)]
pub struct Write<T> {
    /// For the use case.
    pub request: Request,
    /// What is to be written.
    pub body: T,
}

/// The body of a write, for OpenAPI: a `T` and the reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct Reasoned<T> {
    /// What is to be written.
    #[serde(flatten)]
    pub body: T,
    /// Why, for the audit log; at most 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The longest reason, in characters.
const MAX_REASON_CHARACTERS: usize = 1000;

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Write<T> {
    type Rejection = HttpError;

    async fn from_request(request: HttpRequest, state: &S) -> Result<Self, HttpError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let bytes = Bytes::from_request(HttpRequest::from_parts(parts.clone(), body), state).await?;
        let mut json = parse(&parts.headers, &bytes)?;
        let reason = json.as_object_mut().and_then(|fields| fields.remove("reason"));
        let reason = match reason {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(reason)) => reason,
            Some(_) => return Err(AppError::invalid("/reason", "the reason is text").into()),
        };
        let idempotency = idempotency::wish(&parts, &bytes, &caller.principal)?;
        let request = Request {
            principal: caller.principal,
            reason: checked_reason(&reason, "/reason")?,
            request_id: RequestId::of(&parts.extensions),
            idempotency,
        };
        Ok(Self { request, body: input::read_at("", json)? })
    }
}

/// A write without a body (DELETE): who asks, and why (`?reason=`).
#[derive(Debug)]
pub struct BareWrite(pub Request);

/// The query of a write without a body, for OpenAPI.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReasonQuery {
    /// Why, for the audit log; at most 1000 characters.
    reason: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for BareWrite {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let AxumQuery(ReasonQuery { reason }) = AxumQuery::from_request_parts(parts, state).await?;
        Ok(Self(Request {
            principal: caller.principal,
            reason: checked_reason(&reason.unwrap_or_default(), "?reason")?,
            request_id: RequestId::of(&parts.extensions),
            idempotency: None,
        }))
    }
}

fn checked_reason(reason: &str, field: &str) -> Result<String, AppError> {
    let reason = reason.trim();
    if reason.chars().count() > MAX_REASON_CHARACTERS {
        return Err(AppError::invalid(field, format!("a reason has at most {MAX_REASON_CHARACTERS} characters")));
    }
    Ok(reason.to_owned())
}

/// A JSON body that writes nothing: a question, a sign-in.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = HttpError;

    async fn from_request(request: HttpRequest, state: &S) -> Result<Self, HttpError> {
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, state).await?;
        Ok(Self(input::read_at("", parse(&headers, &bytes)?)?))
    }
}

/// The parameters of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let AxumPath(value) = AxumPath::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// The parameters of the query. Unknown ones are ignored.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let AxumQuery(value) = AxumQuery::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// The version that the caller read: `If-Match: "7"`.
///
/// A weak tag (`W/"7"`) counts too: proxies that compress make strong tags weak, and ours names a version, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub u64);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpError> {
        Ok(Self(if_match(&parts.headers)?.ok_or(AppError::VersionRequired)?))
    }
}

/// As [`IfMatch`], where there may be nothing yet to have read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaybeIfMatch(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for MaybeIfMatch {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpError> {
        Ok(Self(if_match(&parts.headers)?))
    }
}

fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    });
    match version {
        Some(version) => Ok(Some(version)),
        None => Err(Problem::new(Code::Malformed, "`If-Match` is one version in quotes, like `\"7\"`")),
    }
}

/// The `ETag` of a version.
pub(super) fn etag(version: u64) -> HeaderValue {
    match HeaderValue::try_from(format!("\"{version}\"")) {
        Ok(value) => value,
        Err(error) => unreachable!("digits and quotes make a header: {error}"),
    }
}

/// An answer that carries its version as `ETag`.
#[derive(Debug)]
pub struct Versioned<T> {
    /// 200 or 201.
    pub status: StatusCode,
    /// The version of what is shown.
    pub version: u64,
    /// What is shown.
    pub body: T,
}

impl<T> Versioned<T> {
    /// 200.
    pub fn ok(version: u64, body: T) -> Self {
        Self { status: StatusCode::OK, version, body }
    }

    /// 201.
    pub fn created(version: u64, body: T) -> Self {
        Self { status: StatusCode::CREATED, version, body }
    }
}

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        (self.status, [(header::ETAG, etag(self.version))], axum::Json(self.body)).into_response()
    }
}

/// Reads JSON. What is no JSON is refused with its line and column.
fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Json, HttpError> {
    if !is_json(headers) {
        let detail = "send JSON, with `Content-Type: application/json`";
        return Err(Problem::new(Code::UnsupportedMediaType, detail).into());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = match bytes {
            [] => "the body is empty: send JSON".to_owned(),
            _ => format!("the body is no JSON: {error}"),
        };
        Problem::new(Code::Malformed, detail).into()
    })
}

/// `application/json`, or anything `+json` (a merge patch). Forms cannot send it, so no other site can without asking.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn versions_are_read_from_if_match() {
        let read = |value: &str| if_match(&headers(header::IF_MATCH, value)).map_err(|problem| problem.code);
        assert_eq!(read("\"7\""), Ok(Some(7)));
        assert_eq!(read("W/\"7\""), Ok(Some(7)));
        for wrong in ["7", "*", "\"7\", \"8\"", "\"-1\"", "\"\"", "\"x\""] {
            assert_eq!(read(wrong), Err(Code::Malformed), "{wrong}");
        }
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn only_json_is_json() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("text/plain; x=application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data", false),
        ] {
            assert_eq!(is_json(&headers(header::CONTENT_TYPE, content_type)), expected, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
