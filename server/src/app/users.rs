//! People: who they are, and what they may do where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Actor, Principal, Role,
    documents::{Body, Stored},
};
use crate::ports::store::{DocumentId, DocumentKind};

/// A person, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecord {
    /// What people call them.
    pub name: String,
    /// Where they sign in with; as they wrote it.
    pub email: String,
    /// The argon2id hash as a PHC string; absent: they sign in by link only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// May do everything.
    #[serde(default)]
    pub instance_admin: bool,
    /// The role in each project.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

impl Body for UserRecord {
    const KIND: DocumentKind = DocumentKind::User;
}

/// The principal that a person is.
pub(super) fn principal(user: &Stored<UserRecord>) -> Principal {
    Principal {
        actor: Actor { id: format!("user:{}", user.id.key), name: user.body.name.clone() },
        instance_admin: user.body.instance_admin,
        roles: user.body.roles.clone(),
    }
}

/// The address of a user's document.
pub(super) fn id_of(user: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::User, scope: String::new(), key: user.to_owned() }
}
