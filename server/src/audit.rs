//! The audit log: one row per change, in the change's own transaction, each chained to the one before.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::Timestamp;

/// What a change says of itself, before the store gives it its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `user:<id>`, `token:<id>`, `cli:<os user>`, `controller`, `system`.
    pub actor: String,
    /// The actor's name at that time, for people.
    pub actor_name: String,
    /// What was done: `flag.create`, `flag.update`, `flag.kill`, …
    pub action: String,
    /// The project, where there is one.
    pub project: Option<String>,
    /// The environment, where there is one.
    pub environment: Option<String>,
    /// The resource, like `flag/checkout`.
    pub resource: String,
    /// The state before; null where there was none.
    pub before: Json,
    /// The state after; null where there is none.
    pub after: Json,
    /// Why, in the actor's words; may be empty where no reason is required.
    pub reason: String,
    /// The request that caused it.
    pub request_id: String,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// 1 for the first row, +1 each.
    pub sequence: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// The version of the leaf's byte form.
    pub leaf_version: u32,
    /// The `hash` of the row before, 64 hex digits; zeros for the first row.
    pub previous_hash: String,
    /// SHA-256 of the leaf, 64 hex digits.
    pub hash: String,
}

/// The byte form hashed today.
pub const LEAF_VERSION: u32 = 1;

/// The `previous_hash` of the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Puts `entry` at `sequence` after a row with `previous_hash`.
///
/// The leaf is the canonical JSON (RFC 8785) of the row without `hash`; its SHA-256 is the row's hash.
pub fn chain(_entry: AuditEntry, _sequence: u64, _previous_hash: &str) -> AuditRow {
    todo!()
}
