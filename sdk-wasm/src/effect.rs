//! What JavaScript is told to do, as JSON text, and the types of it.

use serde::Serialize;
use tidegate_core::{CompileIssue, FlagKey, SegmentKey};
use tidegate_protocol::{
    Position, Status,
    sync::{Cause, Poll},
};
use wasm_bindgen::prelude::wasm_bindgen;

/// One effect of a call of the engine.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Effect {
    Connect,
    Disconnect { reason: &'static str },
    Send { frame: String },
    Poll(Question),
    Changed(Changed),
    Status { status: &'static str },
    Received { id: String },
}

#[derive(Debug, Serialize)]
pub(crate) struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

/// A change of what is evaluated with; it is done already.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    pub flags: Vec<FlagKey>,
    pub segments: Vec<SegmentKey>,
    pub cause: &'static str,
    /// When the newest of the changes was accepted.
    #[serde(rename = "changedAt", skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    pub issues: Vec<CompileIssue>,
}

impl From<Poll> for Question {
    fn from(Poll { position, etag }: Poll) -> Self {
        Self { position, etag }
    }
}

/// A cause's name, and when the newest of the changes was accepted.
pub(crate) fn cause(cause: Cause) -> (&'static str, Option<i64>) {
    match cause {
        Cause::Commit { changed_at } => ("commit", changed_at),
        Cause::Kill { changed_at, .. } => ("kill", changed_at),
        Cause::Restored => ("restored", None),
    }
}

/// A status as OpenFeature names it.
pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::NotReady => "NOT_READY",
        Status::Ready => "READY",
        Status::Stale => "STALE",
        Status::Error => "ERROR",
        Status::Fatal => "FATAL",
    }
}

/// As JavaScript gets it: undefined where there is nothing to do, which is the most frequent.
pub(crate) fn encode(effects: &[Effect]) -> Option<String> {
    if effects.is_empty() { None } else { Some(json(&effects)) }
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("effects have string keys only: {error}"))
}

/// Next to what they describe, so that they change together.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How a client stands with the server: OpenFeature's provider states. */
export type EngineStatus = "NOT_READY" | "READY" | "STALE" | "ERROR" | "FATAL";

/** What a snapshot is of. */
export interface Position {
  epoch: string;
  revision: number;
  digest: string;
}

/** Something wrong in the configuration of a flag or segment. */
export interface CompileIssue {
  severity: string;
  code: string;
  collection: string;
  key: string;
  path: string;
  message: string;
}

/** A change of what is evaluated with. */
export interface Changed {
  type: "changed";
  flags: string[];
  segments: string[];
  cause: "commit" | "kill" | "restored" | "bootstrap";
  changedAt?: number;
  issues: CompileIssue[];
}

/** What is to be done, in this order, after a call of the engine. */
export type Effect =
  | { type: "connect" }
  | { type: "disconnect"; reason: string }
  | { type: "send"; frame: string }
  | { type: "poll"; position?: Position; etag?: string }
  | Changed
  | { type: "status"; status: EngineStatus }
  | { type: "received"; id: string };

/** Why there is no connection. */
export type Lost = "broken" | "busy" | "refused";

/** How an engine behaves; what is absent has the default of every SDK. */
export interface EngineOptions {
  sdk: string;
  seed: number;
  retainBodies: boolean;
  gatherEvents: boolean;
  connectTimeoutMs?: number;
  graceMs?: number;
  polling?: { afterAttempts: number; intervalMs: number; timeoutMs: number };
}

/** The value behind an id. */
export interface Described {
  kind: "boolean" | "string" | "number" | "json";
  variant: string;
  value: unknown;
}
"#;
