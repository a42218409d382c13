//! `Idempotency-Key`: a POST that is sent twice is carried out once.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use serde::Deserialize;

use super::{
    error::{Code, Problem},
    extract::etag,
};
use crate::app::{Principal, principal::Idempotency, secret::sha256_hex};

const HEADER: &str = "idempotency-key";

/// The client's wish to have this request carried out once; `None` for other methods than POST.
///
/// # Errors
/// A [`Problem`] where the key is no text of 1 to 128 visible ASCII characters.
pub(super) fn wish(parts: &Parts, body: &[u8], principal: &Principal) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = parts.headers.get(HEADER).filter(|_| parts.method == Method::POST) else { return Ok(None) };
    let key =
        key.to_str().ok().filter(|key| (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    let Some(key) = key else {
        let detail = "`Idempotency-Key` has 1 to 128 visible ASCII characters: a UUID, say";
        return Err(Problem::new(Code::Malformed, detail));
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let request = sha256_hex([parts.method.as_str().as_bytes(), b"\n", target.as_bytes(), b"\n", body]);
    // Each principal has its own keys: nobody reads another's answers by guessing.
    Ok(Some(Idempotency { key: format!("{} {key}", principal.actor.id), request }))
}

/// The answer given the first time; the version headers are made again from its body.
pub(super) fn replay(status: u16, body: String) -> Response {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let version = serde_json::from_str(&body).ok().map(|Versioned { version }| version);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    if let Some(version) = version {
        headers.insert(header::ETAG, etag(version));
    }
    response
}
