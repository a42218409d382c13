//! API tokens: for machines that configure, within one project or the whole instance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Actor, App, AppError, Principal, Role,
    documents::Body,
    moment::Moment,
    secret::{CredentialKind, Presented},
};
use crate::ports::store::{DocumentId, DocumentKind};

/// An API token, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRecord {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret part, hex.
    pub secret_hash: String,
    /// What it may do.
    #[serde(flatten)]
    pub scope: TokenScope,
    /// When it stops working; absent: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
}

/// What a token may do: never more than its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum TokenScope {
    /// A role in one project.
    Project {
        /// The project's key.
        project: String,
        /// The role there.
        role: Role,
    },
    /// Everything.
    #[serde(rename_all = "camelCase")]
    Instance {
        /// Always true.
        instance_admin: bool,
    },
}

impl Body for TokenRecord {
    const KIND: DocumentKind = DocumentKind::Token;
}

pub(super) fn id_of(token: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::Token, scope: String::new(), key: token.to_owned() }
}

/// Whose token it is that was presented.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is malformed, unknown, wrong, expired or revoked: never says which.
pub async fn authenticate(app: &App, presented: &str) -> Result<Principal, AppError> {
    let refused = || AppError::Unauthenticated { detail: "the API token is not valid".to_owned() };
    let presented = Presented::parse(presented).filter(|it| it.kind == CredentialKind::Token).ok_or_else(refused)?;
    let token = match app.live::<TokenRecord>(&id_of(presented.id)).await {
        Err(AppError::NotFound { .. }) => return Err(refused()),
        other => other?,
    };
    let expired = token.body.expires_at.is_some_and(|at| at.0 <= app.clock.now());
    if !presented.matches(&token.body.secret_hash) || expired {
        return Err(refused());
    }
    let (instance_admin, roles) = match token.body.scope {
        TokenScope::Instance { instance_admin } => (instance_admin, BTreeMap::new()),
        TokenScope::Project { project, role } => (false, BTreeMap::from([(project, role)])),
    };
    let actor = Actor { id: format!("token:{}", presented.id), name: token.body.name };
    Ok(Principal { actor, instance_admin, roles })
}
