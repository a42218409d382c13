//! Who asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::SigningSecret;
use crate::ports::store::EnvironmentId;

/// What somebody may do in a project; each role can do all that the one before can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Reads everything but secrets.
    Viewer,
    /// Changes flags and segments.
    Editor,
    /// Kills flags, lifts kills, moves rollouts.
    Operator,
    /// Environments, SDK keys, members.
    Admin,
}

/// Who did something, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `user:<id>`, `token:<id>`, `cli:<os user>`, `controller`, `system`.
    pub id: String,
    /// The name that people know.
    pub name: String,
}

/// Who asks, and what they hold. Scope always comes from here, never from the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// For the audit log.
    pub actor: Actor,
    /// May do everything, in every project; the only one who makes projects and users.
    pub instance_admin: bool,
    /// The role in each project, by the project's key.
    pub roles: BTreeMap<String, Role>,
}

/// What every command carries beside its own fields. See [`commit`](super::commit) for what it is good for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub principal: Principal,
    /// Why, in their words; trimmed. Empty where none was given.
    pub reason: String,
    /// For the audit log and the log lines.
    pub request_id: String,
    /// The client's idempotency key with the hash of its request, where it sent one.
    pub idempotency: Option<Idempotency>,
}

/// A client's wish to have a request carried out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Principal and the client's key.
    pub key: String,
    /// SHA-256 of method, path and body, hex.
    pub request: String,
}

/// An SDK: what its key opens, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdkPrincipal {
    /// The public part of the key, for logs and to ask whether it still holds.
    pub key: String,
    /// The only environment that it opens.
    pub environment: EnvironmentId,
    /// What it may see.
    pub kind: SdkKeyKind,
    /// The sites whose pages may use it: origins like `https://shop.example.org`, or `*`. Of a server key: none.
    pub allowed_origins: Vec<String>,
    /// In secure mode: the secret under which targeting keys are signed.
    pub signing_secret: Option<SigningSecret>,
    /// Signs the short-lived tokens of this key's event streams; nobody is ever given it.
    pub token_secret: SigningSecret,
}

impl SdkPrincipal {
    /// Whether the key may evaluate for that targeting key: always, but in secure mode, where the signature must fit.
    /// Nobody in particular needs none.
    pub fn vouches_for(&self, targeting_key: Option<&str>, signature: Option<&str>) -> bool {
        match (&self.signing_secret, targeting_key) {
            (Some(secret), Some(key)) => signature.is_some_and(|signature| secret.verifies(key, signature)),
            _ => true,
        }
    }

    /// Whether a page of that origin may use the key.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// What an SDK key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SdkKeyKind {
    /// Secret: the rules of every flag.
    Server,
    /// Public: only what flags make available to clients.
    Client,
}
