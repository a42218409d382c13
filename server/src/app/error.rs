//! Why the application did not do it, by what the caller can do about it.

use tidegate_core::CompileIssue;

use super::BrokenDocument;
use crate::ports::store::{DocumentId, DocumentKind, Expected, StoreError};

/// The application's errors; `http` turns each into a problem, `cli` into a sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// There is no such thing, or the principal may not know of it.
    #[error("there is no {what}")]
    NotFound {
        /// Like ``flag `checkout` ``.
        what: String,
    },
    /// Nobody known asks: no credential, or one that is wrong, expired or revoked. Never says which.
    #[error("{detail}")]
    Unauthenticated {
        /// The way in.
        detail: String,
    },
    /// The principal's role does not allow it.
    #[error("this needs the role {needed}")]
    Forbidden {
        /// The role that would do.
        needed: String,
    },
    /// A field is wrong.
    #[error("{detail}")]
    Invalid {
        /// JSON Pointer of the field within the body, like `/rules/0/serve`.
        field: String,
        /// What is wrong and the way out.
        detail: String,
    },
    /// The change does not compile.
    #[error("the change does not compile: {}", issues.first().map_or("", |issue| issue.message.as_str()))]
    DoesNotCompile {
        /// Every issue that stops it; paths within the body.
        issues: Vec<CompileIssue>,
    },
    /// The caller's version is not the stored one.
    #[error("{what} is at version {actual}, not {expected}: read it again and repeat the change")]
    Stale {
        /// What was to be changed.
        what: String,
        /// The caller's version.
        expected: u64,
        /// The stored version.
        actual: u64,
    },
    /// The write needs an `If-Match`.
    #[error("say which version you read: send it as `If-Match`")]
    VersionRequired,
    /// The key is taken, or was and is archived.
    #[error("{detail}")]
    KeyTaken {
        /// What is wrong and the way out.
        detail: String,
    },
    /// Something else depends on it.
    #[error("{detail}")]
    InUse {
        /// What uses it.
        detail: String,
    },
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The request was carried out before: here is the answer given then.
    #[error("the request was carried out before")]
    Replayed {
        /// The HTTP status given.
        status: u16,
        /// The body given.
        body: String,
    },
    /// Too many attempts: the next one counts after `retry_after_s` seconds.
    #[error("too many attempts: try again in {retry_after_s} s")]
    TooManyRequests {
        /// Seconds to wait, at least 1.
        retry_after_s: u64,
    },
    /// What is stored cannot be read.
    #[error("{0}; delete it, or have its row restored")]
    Broken(BrokenDocument),
    /// The store refused or does not answer.
    #[error(transparent)]
    Store(StoreError),
}

impl AppError {
    /// There is no such document.
    pub fn not_found(id: &DocumentId) -> Self {
        Self::NotFound { what: describe(id) }
    }

    /// The key is taken by a live document, or by an archived one for ever.
    pub fn key_taken(id: &DocumentId, archived: bool) -> Self {
        let what = describe(id);
        let detail = if archived {
            format!("{what} is archived, and its key is never used again: choose another key")
        } else {
            format!("{what} is there already: choose another key")
        };
        Self::KeyTaken { detail }
    }

    /// `field` (a JSON Pointer within the body) is wrong.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), detail: detail.into() }
    }
}

impl From<BrokenDocument> for AppError {
    /// What a project holds is told to whoever reads it; of accounts and keys, the log alone hears.
    fn from(broken: BrokenDocument) -> Self {
        match broken.id.kind {
            DocumentKind::SdkKey | DocumentKind::NotificationChannel | DocumentKind::User | DocumentKind::Token => {
                Self::Store(StoreError::Internal(broken.into()))
            }
            _ => Self::Broken(broken),
        }
    }
}

impl From<StoreError> for AppError {
    /// A precondition that does not hold is the caller's matter; everything else is the store's.
    fn from(error: StoreError) -> Self {
        let StoreError::Conflict { id, expected, actual } = error else { return Self::Store(error) };
        match (expected, actual) {
            // A flag's configuration that was never stored is at version 0.
            (Expected::Absent, Some(actual)) if id.kind == DocumentKind::FlagEnvironment => {
                Self::Stale { what: describe(&id), expected: 0, actual }
            }
            (Expected::Absent, _) => Self::KeyTaken {
                detail: format!("{} is there already, or was and is archived: choose another key", describe(&id)),
            },
            (Expected::Version(expected), Some(actual)) => Self::Stale { what: describe(&id), expected, actual },
            (Expected::Version(_), None) | (Expected::Live, _) => Self::not_found(&id),
        }
    }
}

/// A document in the words of people.
fn describe(id: &DocumentId) -> String {
    let kind = match id.kind {
        DocumentKind::Project => "project",
        DocumentKind::Environment => "environment",
        DocumentKind::Flag => "flag",
        DocumentKind::FlagEnvironment => "configuration of the flag",
        DocumentKind::Segment => "segment",
        DocumentKind::SdkKey => "SDK key",
        DocumentKind::Rollout => "rollout",
        DocumentKind::RolloutTemplate => "rollout template",
        DocumentKind::NotificationChannel => "notification channel",
        DocumentKind::MetricSource => "metric source",
        DocumentKind::User => "user",
        DocumentKind::Token => "token",
    };
    format!("{kind} `{}`", id.key)
}
