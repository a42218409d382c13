//! Segments, compiled one by one. What they refer to is found by [linking](crate::link).

use crate::{
    condition::{Condition, ConditionCompiler, SegmentUse},
    config::SegmentConfig,
    issue::{CompileIssue, Issues, Path, Severity},
    key::SegmentKey,
    limits,
    text::TextMap,
};

/// A compiled segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) key: SegmentKey,
    /// Whether nothing in it, taken by itself, is wrong. A rule that uses an unusable segment never holds.
    pub(crate) usable: bool,
    pub(crate) included: TextMap<()>,
    pub(crate) excluded: TextMap<()>,
    /// The conditions of each rule.
    pub(crate) rules: Box<[Box<[Condition]>]>,
    pub(crate) uses: Box<[SegmentUse]>,
    pub(crate) cost: u32,
    pub(crate) issues: Box<[CompileIssue]>,
}

impl Segment {
    pub(crate) fn compile(config: &SegmentConfig) -> Self {
        let mut issues = Issues::of_segment(&config.key);
        let included = members(&config.included, &Path::Root.field("included"), &mut issues);
        let excluded = members(&config.excluded, &Path::Root.field("excluded"), &mut issues);

        let mut compiler = ConditionCompiler::new(&mut issues);
        let mut rules = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.iter().enumerate() {
            compiler.rule = index;
            let path = Path::Root.field("rules");
            let path = path.index(index);
            let path = path.field("conditions");
            if rule.conditions.is_empty() {
                let message = "a segment's rule needs a condition: without one, everybody would be in";
                compiler.issues.report(Severity::RuleSkipped, "missing_condition", path, message);
            }
            rules.extend(compiler.conditions(&rule.conditions, &path, 0));
        }
        let ConditionCompiler { uses, cost, .. } = compiler;
        Self {
            key: config.key.clone(),
            // One bad rule spoils the segment: left out, it would narrow the segment, and widen a rule that negates it.
            usable: issues.worst() < Some(Severity::RuleSkipped),
            included,
            excluded,
            rules: rules.into(),
            uses: uses.into(),
            cost,
            issues: issues.finish(),
        }
    }

    /// A segment whose configuration cannot be used at all.
    pub(crate) fn broken(key: SegmentKey, code: &'static str, message: String) -> Self {
        let mut issues = Issues::of_segment(&key);
        issues.report(Severity::RuleSkipped, code, Path::Root, message);
        let issues = issues.finish();
        Self {
            key,
            usable: false,
            included: TextMap::default(),
            excluded: TextMap::default(),
            rules: Box::default(),
            uses: Box::default(),
            cost: 0,
            issues,
        }
    }
}

fn members(keys: &[String], path: &Path<'_>, issues: &mut Issues<'_>) -> TextMap<()> {
    if keys.len() > limits::MEMBERS {
        let message = format!("a segment lists at most {} keys", limits::MEMBERS);
        issues.report(Severity::RuleSkipped, "too_many", path, message);
        return TextMap::default();
    }
    if let Some(index) = keys.iter().position(|key| key.len() > limits::TEXT_BYTES) {
        let message = format!("a key has at most {} bytes", limits::TEXT_BYTES);
        issues.report(Severity::RuleSkipped, "too_long", path.index(index), message);
        return TextMap::default();
    }
    TextMap::new(&keys.iter().map(|key| (key.as_str(), ())).collect::<Vec<_>>())
}
