//! SDK keys: what applications present, each for one environment.

use serde::{Deserialize, Serialize};

use super::{
    App, AppError, SdkKeyKind, SdkPrincipal,
    documents::Body,
    secret::{CredentialKind, Presented},
};
use crate::ports::store::{DocumentId, DocumentKind};

/// An SDK key, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SdkKeyRecord {
    /// What people call it.
    pub name: String,
    /// What it opens.
    pub kind: SdkKeyKind,
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// SHA-256 of the secret part, hex.
    pub secret_hash: String,
}

impl Body for SdkKeyRecord {
    const KIND: DocumentKind = DocumentKind::SdkKey;
}

fn id_of(key: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::SdkKey, scope: String::new(), key: key.to_owned() }
}

impl SdkKeyKind {
    fn credential(self) -> CredentialKind {
        match self {
            Self::Server => CredentialKind::ServerKey,
            Self::Client => CredentialKind::ClientKey,
        }
    }
}

/// What the presented SDK key opens.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is malformed, unknown, wrong or revoked: never says which.
pub async fn authenticate_sdk(app: &App, presented: &str) -> Result<SdkPrincipal, AppError> {
    let refused = || AppError::Unauthenticated { detail: "the SDK key is not valid".to_owned() };
    let presented = Presented::parse(presented).ok_or_else(refused)?;
    let key = match app.live::<SdkKeyRecord>(&id_of(presented.id)).await {
        Err(AppError::NotFound { .. }) => return Err(refused()),
        other => other?.body,
    };
    if presented.kind != key.kind.credential() || !presented.matches(&key.secret_hash) {
        return Err(refused());
    }
    let SdkKeyRecord { project, environment, kind, .. } = key;
    Ok(SdkPrincipal { key: presented.id.to_owned(), project, environment, kind })
}

/// Whether a key that was accepted before still holds: an open stream asks every few seconds.
///
/// # Errors
/// [`AppError::Store`] where the database does not answer: no reason to close the stream.
pub async fn still_valid(app: &App, principal: &SdkPrincipal) -> Result<bool, AppError> {
    match app.live::<SdkKeyRecord>(&id_of(&principal.key)).await {
        Ok(_) => Ok(true),
        Err(AppError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
