//! Compile: configuration in, an immutable [`Ruleset`] and the issues found out.

use serde::Serialize;

use crate::{
    config::{FlagConfig, FlagFile, SegmentConfig},
    key::{FlagKey, SegmentKey},
};

/// An environment's flags and segments, compiled. Immutable; [`update`](Self::update) shares what did not change.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {}

/// One change of an environment's configuration.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds or replaces a flag.
    PutFlag(FlagConfig),
    /// Adds or replaces a flag whose configuration could not be read: it answers PARSE_ERROR.
    BrokenFlag {
        /// The flag's key.
        key: FlagKey,
        /// What is wrong, for the issue.
        message: String,
    },
    /// Removes a flag.
    DeleteFlag(FlagKey),
    /// Kills a flag, until the next `PutFlag`: the kill frame's fast lane.
    KillFlag(FlagKey),
    /// Adds or replaces a segment.
    PutSegment(SegmentConfig),
    /// Adds or replaces a segment whose configuration could not be read: nothing that uses it holds.
    BrokenSegment {
        /// The segment's key.
        key: SegmentKey,
        /// What is wrong, for the issue.
        message: String,
    },
    /// Removes a segment.
    DeleteSegment(SegmentKey),
}

/// Something wrong with a configuration, found by compiling it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompileIssue {
    /// What the issue does to the answer.
    pub severity: Severity,
    /// A stable name, like `unknown_operator`.
    pub code: &'static str,
    /// `flags` or `segments`.
    pub collection: &'static str,
    /// The key of the flag or segment.
    pub key: String,
    /// JSON Pointer within the flag or segment, like `/rules/0/conditions/1/operator`.
    pub path: String,
    /// A sentence that says what is wrong and the way out.
    pub message: String,
}

/// What a [`CompileIssue`] does to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing, but it is hardly what was meant: a dead rule, say. Does not stop a change.
    Warning,
    /// A rule or segment never holds.
    RuleSkipped,
    /// The flag always answers PARSE_ERROR.
    FlagBroken,
}

/// Compiles a whole environment. Never fails: what cannot be used is left out, and said.
pub fn compile(_file: &FlagFile) -> (Ruleset, Vec<CompileIssue>) {
    todo!()
}

impl Ruleset {
    /// The ruleset with `changes` applied, sharing what they do not touch, and the issues of everything touched.
    #[must_use]
    pub fn update(&self, _changes: Vec<Change>) -> (Self, Vec<CompileIssue>) {
        todo!()
    }

    /// The keys of all flags, in the order of the keys.
    pub fn flag_keys(&self) -> impl Iterator<Item = &FlagKey> {
        std::iter::empty()
    }
}
