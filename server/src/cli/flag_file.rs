//! Flag files: read strictly where people check their own, and as an SDK would where they only want answers.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;
use tidegate_core::{
    Change, CompileIssue, FlagConfig, FlagFile, FlagKey, Ruleset, SegmentConfig, SegmentKey, compile, ruleset::Severity,
};

use crate::app::{AppError, input};

/// The file's JSON.
pub fn read(path: &Path) -> Result<Json> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("`{}` is no JSON", path.display()))
}

/// The flag file that `json` is: nothing unknown, nothing of the wrong form.
///
/// # Errors
/// [`AppError::Invalid`] with the JSON Pointer.
pub fn parse_strictly(json: &Json) -> Result<FlagFile, AppError> {
    input::parse(json)
}

/// The ruleset that an SDK would make of the file: a flag or segment that cannot be read is that one's problem.
pub fn compile_tolerantly(json: &Json) -> Result<(Ruleset, Vec<CompileIssue>)> {
    #[derive(Deserialize)]
    struct Outline {
        #[serde(default)]
        flags: Vec<Json>,
        #[serde(default)]
        segments: Vec<Json>,
    }
    // Whole where it can be: compiling a file also finds keys that are there twice.
    if let Ok(file) = FlagFile::deserialize(json) {
        return Ok(compile(&file));
    }
    let outline =
        Outline::deserialize(json).context("a flag file is an object with the lists `flags` and `segments`")?;
    let segments = outline.segments.iter().filter_map(|segment| {
        one::<SegmentConfig>(segment).map_or_else(
            |(key, message)| Some(Change::BrokenSegment { key: SegmentKey::new(key?).ok()?, message }),
            |segment| Some(Change::PutSegment(segment)),
        )
    });
    let flags = outline.flags.iter().filter_map(|flag| {
        one::<FlagConfig>(flag).map_or_else(
            |(key, message)| Some(Change::BrokenFlag { key: FlagKey::new(key?).ok()?, message }),
            |flag| Some(Change::PutFlag(flag)),
        )
    });
    Ok(Ruleset::default().update(segments.chain(flags).collect()))
}

/// The object that `json` is, or its key, if it has one, and what is wrong.
fn one<T: DeserializeOwned>(json: &Json) -> Result<T, (Option<&str>, String)> {
    T::deserialize(json).map_err(|error| (json.get("key").and_then(Json::as_str), error.to_string()))
}

/// An issue as one line for people.
pub fn describe(issue: &CompileIssue) -> String {
    let severity = match issue.severity {
        Severity::Warning => "warning",
        Severity::RuleSkipped => "never matches",
        Severity::FlagBroken => "broken",
    };
    let CompileIssue { collection, key, path, message, .. } = issue;
    format!("{severity}: {collection}/{key}{path}: {message}")
}
