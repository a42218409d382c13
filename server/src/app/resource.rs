//! What reads and writes answer: a document's key, version and times beside its body.

use serde::Serialize;
use tidegate_core::Timestamp;
use utoipa::ToSchema;

use super::{
    documents::{BrokenDocument, Stored},
    times::as_rfc3339,
};

/// A configured thing as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource<T> {
    /// Names it; never changes.
    pub key: String,
    /// Send it as `If-Match` with a change.
    pub version: u64,
    /// Whether it is archived.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// When it was created, RFC 3339.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed, RFC 3339.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub body: T,
}

/// One item of a list: a resource, or the news that it is broken. One broken item never fails the list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Listed<T> {
    /// As it should be.
    Whole(T),
    /// Its body cannot be read.
    Broken(Broken),
}

/// A thing whose stored body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: u64,
    /// What is wrong.
    pub broken: String,
}

impl<T> Listed<T> {
    /// Its key, broken or not.
    pub fn key<'a>(&'a self, whole: impl FnOnce(&'a T) -> &'a str) -> &'a str {
        match self {
            Self::Whole(item) => whole(item),
            Self::Broken(broken) => &broken.key,
        }
    }
}

impl<T> From<Stored<T>> for Resource<T> {
    fn from(stored: Stored<T>) -> Self {
        let Stored { id, version, archived, created_at, updated_at, body } = stored;
        Self { key: id.key, version, archived, created_at, updated_at, body }
    }
}

impl From<BrokenDocument> for Broken {
    fn from(broken: BrokenDocument) -> Self {
        Self { broken: broken.to_string(), key: broken.id.key, version: broken.version }
    }
}

impl<T> From<Result<Stored<T>, BrokenDocument>> for Listed<Resource<T>> {
    fn from(read: Result<Stored<T>, BrokenDocument>) -> Self {
        match read {
            Ok(stored) => Self::Whole(stored.into()),
            Err(broken) => Self::Broken(broken.into()),
        }
    }
}
