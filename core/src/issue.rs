//! What compiling finds wrong, and where.

use std::fmt;

use serde::Serialize;

use crate::{
    key::{FlagKey, SegmentKey},
    tree::{Members, Write},
};

/// Something wrong with a configuration, found by compiling it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing, but it is hardly what was meant: a dead rule, say. Does not stop a change.
    Warning,
    /// A rule, prerequisite or segment never holds.
    RuleSkipped,
    /// The flag answers PARSE_ERROR, unless it is killed or disabled and its off variant can be read.
    FlagBroken,
}

impl Write for CompileIssue {
    fn write(&self, out: &mut String) {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::RuleSkipped => "ruleSkipped",
            Severity::FlagBroken => "flagBroken",
        };
        Members::of(out)
            .with("severity", &severity)
            .with("code", &self.code)
            .with("collection", &self.collection)
            .with("key", &self.key)
            .with("path", &self.path)
            .with("message", &self.message)
            .end();
    }
}

/// Where in a flag or segment the compiler is; printed, it is a JSON Pointer. Costs nothing until something is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn field(&'a self, name: &'static str) -> Self {
        Self::Field(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(parent, name) => write!(f, "{parent}/{name}"),
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// Collects the issues of one flag or segment.
#[derive(Debug)]
pub(crate) struct Issues<'k> {
    collection: &'static str,
    key: &'k str,
    found: Vec<CompileIssue>,
}

impl<'k> Issues<'k> {
    pub(crate) fn of_flag(key: &'k FlagKey) -> Self {
        Self { collection: "flags", key: key.as_str(), found: Vec::new() }
    }

    pub(crate) fn of_segment(key: &'k SegmentKey) -> Self {
        Self { collection: "segments", key: key.as_str(), found: Vec::new() }
    }

    pub(crate) fn report(
        &mut self,
        severity: Severity,
        code: &'static str,
        path: impl fmt::Display,
        message: impl Into<String>,
    ) {
        self.found.push(CompileIssue {
            severity,
            code,
            collection: self.collection,
            key: self.key.to_owned(),
            path: path.to_string(),
            message: message.into(),
        });
    }

    pub(crate) fn worst(&self) -> Option<Severity> {
        self.found.iter().map(|issue| issue.severity).max()
    }

    pub(crate) fn finish(self) -> Box<[CompileIssue]> {
        self.found.into()
    }
}
