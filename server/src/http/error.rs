//! Refusals: every one is `application/problem+json` (RFC 9457) with a stable `code`.

use axum::{
    extract::rejection::{BytesRejection, PathRejection, QueryRejection, RawPathParamsRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidegate_core::CompileIssue;
use utoipa::ToSchema;

use crate::{app::AppError, ports::store::StoreError};

/// Why a request was refused, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400: the request cannot be read.
    Malformed,
    /// 401: no valid credential.
    Unauthenticated,
    /// 403: the role does not allow it.
    Forbidden,
    /// 403: a browser sent it from another site, or without `X-Tidegate-Csrf: 1`.
    Csrf,
    /// 404: no such thing, or not for these eyes.
    NotFound,
    /// 405: not with this method.
    MethodNotAllowed,
    /// 409: the key is taken, or was.
    KeyTaken,
    /// 409: something else depends on it.
    InUse,
    /// 412: it has changed since it was read.
    Stale,
    /// 413: the body is too large.
    TooLarge,
    /// 415: the body is not JSON.
    UnsupportedMediaType,
    /// 422: `field` is wrong.
    Invalid,
    /// 422: the change does not compile; see `issues`.
    DoesNotCompile,
    /// 422: the idempotency key was used for another request.
    IdempotencyMismatch,
    /// 428: `If-Match` is missing.
    VersionRequired,
    /// 429: too many attempts; see `Retry-After`.
    TooManyRequests,
    /// 500: what is stored cannot be read.
    Broken,
    /// 500: the server's fault.
    Internal,
    /// 503: not now; see `Retry-After`.
    Unavailable,
    /// 507: the disk is full; reads go on.
    DiskFull,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Csrf => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeyTaken | Self::InUse => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::DoesNotCompile | Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::VersionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Broken | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The status code in words.
    pub title: &'static str,
    /// The status code.
    pub status: u16,
    /// Why, for programs: stable.
    pub code: Code,
    /// Why, for people, and the way out.
    pub detail: String,
    /// JSON Pointer of the wrong field within the body; `?name` for a query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why the change does not compile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<CompileIssue>,
    /// The header `Retry-After`, in seconds.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A refusal of that kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = code.status();
        Self {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            issues: Vec::new(),
            retry_after_s: None,
        }
    }

    /// The same, of that field.
    #[must_use]
    pub fn with_field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    pub(super) fn with_retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The server's fault. Says nothing of the cause: that is in the log, under the request's id.
    pub(super) fn internal() -> Self {
        Self::new(
            Code::Internal,
            "something went wrong here; the server's log has it under this request's `X-Request-Id`",
        )
    }

    /// Too much to do at the moment.
    pub(super) fn overloaded(detail: &str) -> Self {
        Self::new(Code::Unavailable, detail).with_retry_after(1)
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let detail = error.to_string();
        match error {
            AppError::NotFound { .. } => Self::new(Code::NotFound, detail),
            AppError::Unauthenticated { .. } => Self::new(Code::Unauthenticated, detail),
            AppError::Forbidden { .. } => Self::new(Code::Forbidden, detail),
            AppError::Invalid { field, .. } => Self::new(Code::Invalid, detail).with_field(field),
            AppError::DoesNotCompile { issues } => Self { issues, ..Self::new(Code::DoesNotCompile, detail) },
            AppError::Stale { .. } => Self::new(Code::Stale, detail),
            AppError::VersionRequired => Self::new(Code::VersionRequired, detail),
            AppError::KeyTaken { .. } => Self::new(Code::KeyTaken, detail),
            AppError::InUse { .. } => Self::new(Code::InUse, detail),
            AppError::Broken(broken) => {
                tracing::error!("{broken}");
                Self::new(Code::Broken, detail)
            }
            AppError::IdempotencyMismatch => Self::new(Code::IdempotencyMismatch, detail),
            AppError::TooManyRequests { retry_after_s } => {
                Self::new(Code::TooManyRequests, detail).with_retry_after(retry_after_s)
            }
            AppError::Store(StoreError::Full(cause)) => {
                tracing::error!(cause, "the database's disk is full");
                Self::new(Code::DiskFull, "the database's disk is full: nothing can be changed until there is space")
            }
            AppError::Store(StoreError::Unavailable(cause)) => {
                tracing::error!(cause, "the database does not answer");
                Self::new(Code::Unavailable, "the database does not answer").with_retry_after(5)
            }
            AppError::Store(StoreError::Outdated { .. }) => {
                Self::overloaded("others change the environment all the time: try again")
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let retry_after = self.retry_after_s.map(HeaderValue::from);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(retry_after) = retry_after {
            headers.insert(header::RETRY_AFTER, retry_after);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What a handler gives instead of its own answer.
#[derive(Debug)]
pub enum HttpError {
    /// A refusal.
    Problem(Problem),
    /// The answer that the same request got before.
    Replay {
        /// Its status.
        status: u16,
        /// Its body.
        body: String,
    },
}

impl From<Problem> for HttpError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<AppError> for HttpError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Replayed { status, body } => Self::Replay { status, body },
            error => Self::Problem(error.into()),
        }
    }
}

impl From<PathRejection> for HttpError {
    fn from(rejection: PathRejection) -> Self {
        // Percent-encoding that is no UTF-8: nothing has that name.
        Problem::new(Code::NotFound, rejection.body_text()).into()
    }
}

impl From<RawPathParamsRejection> for HttpError {
    fn from(rejection: RawPathParamsRejection) -> Self {
        Problem::new(Code::NotFound, rejection.body_text()).into()
    }
}

impl From<QueryRejection> for HttpError {
    fn from(rejection: QueryRejection) -> Self {
        Problem::new(Code::Malformed, rejection.body_text()).into()
    }
}

impl From<BytesRejection> for HttpError {
    fn from(rejection: BytesRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::Malformed,
        };
        let detail = match code {
            Code::TooLarge => "the body is larger than this resource takes".to_owned(),
            _ => rejection.body_text(),
        };
        Problem::new(code, detail).into()
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Replay { status, body } => super::idempotency::replay(status, body),
        }
    }
}
