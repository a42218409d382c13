//! Who asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// What it may see.
    pub kind: SdkKeyKind,
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
