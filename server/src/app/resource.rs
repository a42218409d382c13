//! What reads and writes answer: a document's key, version and times beside its body.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use super::{
    documents::{self, Body, BrokenDocument, Stored},
    moment::Moment,
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
    /// When it was created.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
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

/// A field of a body that a change gives another value.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// JSON Pointer of the field.
    pub field: String,
    /// Its value before; null where it was absent.
    #[schema(value_type = Value)]
    pub before: Json,
    /// Its value after; null where it is absent.
    #[schema(value_type = Value)]
    pub after: Json,
}

impl FieldChange {
    /// The top-level fields that differ, by name.
    pub fn between<T: Body>(before: &T, after: &T) -> Vec<Self> {
        let (before, after) = (documents::value(before), documents::value(after));
        let (Json::Object(before), Json::Object(after)) = (before, after) else { return Vec::new() };
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let value = |fields: &Map<String, Json>, name: &str| fields.get(name).cloned().unwrap_or_default();
        names
            .into_iter()
            .map(|name| Self { field: format!("/{name}"), before: value(&before, name), after: value(&after, name) })
            .filter(|change| change.before != change.after)
            .collect()
    }
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
        let (created_at, updated_at) = (Moment(created_at), Moment(updated_at));
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
