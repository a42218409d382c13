//! Documents and their bodies: the codec between the store's text and the application's types.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use tidegate_core::Timestamp;

use super::{
    AppError,
    model::{Environment, Flag, FlagEnvironment, Project, Segment},
};
use crate::ports::store::{Document, DocumentId, DocumentKind, Expected, StoreError};

/// A type that is the body of one kind of document.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind.
    const KIND: DocumentKind;

    /// What the audit log keeps of a change: before and after, null where there is none.
    fn audit(before: Option<&Self>, after: Option<&Self>) -> (Json, Json) {
        let shown = |body: Option<&Self>| body.map_or(Json::Null, value);
        (shown(before), shown(after))
    }
}

impl Body for Project {
    const KIND: DocumentKind = DocumentKind::Project;
}

impl Body for Environment {
    const KIND: DocumentKind = DocumentKind::Environment;
}

impl Body for Flag {
    const KIND: DocumentKind = DocumentKind::Flag;
}

impl Body for FlagEnvironment {
    const KIND: DocumentKind = DocumentKind::FlagEnvironment;
}

impl Body for Segment {
    const KIND: DocumentKind = DocumentKind::Segment;

    /// Long member lists are shown by what changed in them: the log would otherwise keep megabytes for each member.
    fn audit(before: Option<&Self>, after: Option<&Self>) -> (Json, Json) {
        super::segments::audit(before, after)
    }
}

/// A document whose body was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// The document's address.
    pub id: DocumentId,
    /// 1 when created, +1 with each change.
    pub version: u64,
    /// Whether it is archived.
    pub archived: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The body.
    pub body: T,
}

/// A document whose body cannot be read: somebody wrote to the database by hand, or a newer server did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored {} `{}` cannot be read: {message}", id.kind.as_str(), id.key)]
pub struct BrokenDocument {
    /// The document's address.
    pub id: DocumentId,
    /// Its version.
    pub version: u64,
    /// What is wrong with the body.
    pub message: String,
}

/// Reads a document's body.
pub fn read<T: Body>(document: &Document) -> Result<Stored<T>, BrokenDocument> {
    let body = serde_json::from_str(&document.body).map_err(|error| BrokenDocument {
        id: document.id.clone(),
        version: document.version,
        message: error.to_string(),
    })?;
    Ok(Stored {
        id: document.id.clone(),
        version: document.version,
        archived: document.archived,
        created_at: document.created_at,
        updated_at: document.updated_at,
        body,
    })
}

/// The caller read this version of a document.
///
/// # Errors
/// [`AppError::Stale`] where they did not.
pub fn check_version(id: &DocumentId, version: u64, expected: u64) -> Result<(), AppError> {
    if version == expected {
        return Ok(());
    }
    let (id, expected, actual) = (id.clone(), Expected::Version(expected), Some(version));
    Err(StoreError::Conflict { id, expected, actual }.into())
}

/// The address of a document with a body of type `T`.
pub fn id_of<T: Body>(scope: impl Into<String>, key: impl Into<String>) -> DocumentId {
    DocumentId { kind: T::KIND, scope: scope.into(), key: key.into() }
}

/// The body as canonical JSON text (RFC 8785).
pub fn write<T: Body>(body: &T) -> String {
    match serde_json_canonicalizer::to_string(body) {
        Ok(text) => text,
        Err(error) => unreachable!("a body has string keys and finite numbers only: {error}"),
    }
}

/// The body as JSON.
pub fn value<T: Body>(body: &T) -> Json {
    match serde_json::to_value(body) {
        Ok(value) => value,
        Err(error) => unreachable!("a body has string keys only: {error}"),
    }
}

/// What the audit log shows of a document that may be broken: its body, as JSON or as the text it is.
pub fn audit_document(document: &Document) -> Json {
    serde_json::from_str(&document.body).unwrap_or_else(|_| Json::String(document.body.clone()))
}
