//! What JavaScript is told to do, as JSON text, and the types of it.

use tidegate_core::{
    CompileIssue, FlagKey, SegmentKey,
    tree::{Members, Write, text},
};
use tidegate_protocol::{
    Status,
    sync::{Cause, Poll},
};
use wasm_bindgen::prelude::wasm_bindgen;

/// One effect of a call of the engine.
#[derive(Debug)]
pub(crate) enum Effect {
    Connect,
    Disconnect { reason: &'static str },
    Send { frame: String },
    Poll(Poll),
    Changed(Changed),
    Status(Status),
    Received { id: String },
}

/// A change of what is evaluated with; it is done already.
#[derive(Debug)]
pub(crate) struct Changed {
    pub flags: Vec<FlagKey>,
    pub segments: Vec<SegmentKey>,
    /// The flags that may answer differently for one of these.
    pub dependents: Vec<FlagKey>,
    pub cause: &'static str,
    /// When the newest of the changes was accepted.
    pub at: Option<i64>,
    pub issues: Vec<CompileIssue>,
}

impl Write for Effect {
    fn write(&self, out: &mut String) {
        match self {
            Self::Connect => Members::typed(out, "connect"),
            Self::Disconnect { reason } => Members::typed(out, "disconnect").with("reason", reason),
            Self::Send { frame } => Members::typed(out, "send").with("frame", frame),
            Self::Poll(Poll { position, etag }) => {
                Members::typed(out, "poll").with_some("position", position.as_ref()).with_some("etag", etag.as_ref())
            }
            Self::Changed(Changed { flags, segments, dependents, cause, at, issues }) => Members::typed(out, "changed")
                .with("flags", flags)
                .with("segments", segments)
                .with("dependents", dependents)
                .with("cause", cause)
                .with_some("changedAt", at.as_ref())
                .with("issues", issues),
            Self::Status(status) => Members::typed(out, "status").with("status", &name(*status)),
            Self::Received { id } => Members::typed(out, "received").with("id", id),
        }
        .end();
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
fn name(status: Status) -> &'static str {
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
    if effects.is_empty() { None } else { Some(text(&effects)) }
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
  dependents: string[];
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
  /** Whether compressed frames can be read: whether the server may send them. */
  inflates: boolean;
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
