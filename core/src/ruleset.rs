//! Compile: configuration in, an immutable [`Ruleset`] and the issues found out.

use std::sync::Arc;

pub use crate::issue::{CompileIssue, Severity};
use crate::{
    condition::SegmentUse,
    config::{Availability, FlagConfig, FlagFile, ResolvedFlag, SegmentConfig},
    evaluation::FlagValue,
    flag::Flag,
    key::{FlagKey, SegmentKey},
    link::{FlagNode, Places, SegmentNode, link},
    order,
    segment::Segment,
    table::{Keyed, Table},
    text::TextSet,
};

/// An environment's flags and segments, compiled. Immutable; [`update`](Self::update) shares what did not change.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    pub(crate) flags: Table<FlagNode>,
    pub(crate) segments: Table<SegmentNode>,
}

/// One change of an environment's configuration.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a change is moved once; boxes would burden every caller")]
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
    /// Adds or replaces a flag by what the server evaluated.
    PutResolved(ResolvedFlag),
    /// Removes a flag.
    DeleteFlag(FlagKey),
    /// Kills a flag, until the next `PutFlag`: the kill frame's fast lane. Nothing happens where there is no such flag.
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

/// Compiles a whole environment. Never fails: what cannot be used is left out, and said.
///
/// Where a key comes twice, nobody knows which was meant: the flag is broken, the segment cannot be used.
pub fn compile(file: &FlagFile) -> (Ruleset, Vec<CompileIssue>) {
    let empty = Ruleset::default();
    let mut draft = Draft::of(&empty);
    let mut known = TextSet::default();
    for config in &file.flags {
        draft.put_flag(if known.insert(config.key.as_str()) {
            Flag::compile(config)
        } else {
            Flag::broken(config.key.clone(), "duplicate_key", "several flags have this key".to_owned())
        });
    }
    known.clear();
    for config in &file.segments {
        draft.put_segment(if known.insert(config.key.as_str()) {
            Segment::compile(config)
        } else {
            Segment::broken(config.key.clone(), "duplicate_key", "several segments have this key".to_owned())
        });
    }
    draft.finish()
}

impl Ruleset {
    /// The ruleset with `changes` applied in their order, sharing what they do not touch.
    ///
    /// Returns the issues of every flag and segment touched, and those that the changes brought upon others, such as
    /// the missing prerequisite of a flag that stays when the other is deleted. Costs one compilation for each object
    /// put, a few lookups for each that depends on it, and a look at each flag; where a key is added or removed, a few
    /// lookups for every object.
    #[must_use]
    pub fn update(&self, changes: Vec<Change>) -> (Self, Vec<CompileIssue>) {
        let mut draft = Draft::of(self);
        for change in changes {
            draft.apply(change);
        }
        draft.finish()
    }

    /// The flags that may answer otherwise because these flags and segments changed, but did not change themselves: they use
    /// one of the segments, or need one of the flags, directly or through others. In the order of the keys.
    ///
    /// Costs a look at each object, as often as the longest chain from the changed ones is long.
    pub fn dependents(&self, flags: &[FlagKey], segments: &[SegmentKey]) -> Vec<FlagKey> {
        let mut segments: TextSet<'_> = segments.iter().map(SegmentKey::as_str).collect();
        let mut changed: TextSet<'_> = flags.iter().map(FlagKey::as_str).collect();
        let n_changed = changed.len();
        let uses = |uses: &[SegmentUse], segments: &TextSet<'_>| {
            !segments.is_empty() && uses.iter().any(|named| segments.contains(named.segment.as_str()))
        };
        let mut n_known = usize::MAX;
        while n_known != segments.len() + changed.len() {
            n_known = segments.len() + changed.len();
            for SegmentNode { segment, .. } in self.segments.iter() {
                if uses(&segment.uses, &segments) {
                    segments.insert(segment.key.as_str());
                }
            }
            for FlagNode { flag, .. } in self.flags.iter() {
                if uses(&flag.uses, &segments) || flag.prerequisites.iter().any(|it| changed.contains(it.flag.as_str()))
                {
                    changed.insert(flag.key.as_str());
                }
            }
        }
        if changed.len() == n_changed {
            return Vec::new();
        }
        let given: TextSet<'_> = flags.iter().map(FlagKey::as_str).collect();
        let keys = self.flag_keys().filter(|key| changed.contains(key.as_str()) && !given.contains(key.as_str()));
        keys.cloned().collect()
    }

    /// Everything that is wrong in the whole environment: what compiling it at once would report.
    pub fn issues(&self) -> impl Iterator<Item = &CompileIssue> {
        let of_flags = self.flags.iter().flat_map(|node| &node.issues);
        of_flags.chain(self.segments.iter().flat_map(|node| &node.issues))
    }

    /// The keys of all flags, in the order of the keys.
    pub fn flag_keys(&self) -> impl Iterator<Item = &FlagKey> {
        self.flags.iter().map(|node| &node.flag.key)
    }

    /// What is known of a flag without a context.
    pub fn outline(&self, flag: &str) -> Option<Outline<'_>> {
        self.find(flag).map(|node| Outline(&node.flag))
    }

    /// As [`outline`](Self::outline), of every flag, in the order of the keys.
    pub fn outlines(&self) -> impl Iterator<Item = Outline<'_>> {
        self.flags.iter().map(|node| Outline(&node.flag))
    }

    #[inline]
    pub(crate) fn find(&self, flag: &str) -> Option<&FlagNode> {
        self.flags.find(flag)
    }
}

/// What is known of a compiled flag without a context.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'r>(&'r Flag);

impl<'r> Outline<'r> {
    /// The flag's key.
    pub fn key(self) -> &'r FlagKey {
        &self.0.key
    }

    /// The flag's version.
    pub fn version(self) -> u64 {
        self.0.version
    }

    /// What client keys may see of it.
    pub fn availability(self) -> Availability {
        self.0.availability
    }

    /// Its variants with their values; none, where they cannot be read.
    pub fn variants(self) -> impl Iterator<Item = (&'r str, &'r FlagValue)> {
        self.0.variants.iter().map(|variant| (variant.key.as_str(), &variant.value))
    }

    /// The ids of its rules, in their order; they may be empty.
    pub fn rule_ids(self) -> impl Iterator<Item = &'r str> {
        self.0.rules.iter().map(|rule| &*rule.id)
    }
}

/// Changes of a ruleset, as they came.
struct Draft<'r> {
    base: &'r Ruleset,
    flags: Vec<(Arc<str>, Edit<FlagNode>)>,
    segments: Vec<(Arc<str>, Edit<SegmentNode>)>,
}

/// What is done to one object.
enum Edit<T> {
    Put(T),
    Delete,
    /// Nothing happens where there is no such object.
    Amend(fn(&mut T)),
}

impl<'r> Draft<'r> {
    fn of(base: &'r Ruleset) -> Self {
        Self { base, flags: Vec::new(), segments: Vec::new() }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::PutFlag(config) => self.put_flag(Flag::compile(&config)),
            Change::PutResolved(resolved) => self.put_flag(Flag::resolved(resolved)),
            Change::BrokenFlag { key, message } => self.put_flag(Flag::broken(key, "unreadable", message)),
            Change::KillFlag(key) => {
                self.flags.push((Arc::clone(key.shared()), Edit::Amend(|node| node.killed = true)));
            }
            Change::DeleteFlag(key) => self.flags.push((Arc::clone(key.shared()), Edit::Delete)),
            Change::PutSegment(config) => self.put_segment(Segment::compile(&config)),
            Change::BrokenSegment { key, message } => self.put_segment(Segment::broken(key, "unreadable", message)),
            Change::DeleteSegment(key) => self.segments.push((Arc::clone(key.shared()), Edit::Delete)),
        }
    }

    fn put_flag(&mut self, flag: Flag) {
        self.flags.push((Arc::clone(flag.key.shared()), Edit::Put(FlagNode::new(flag))));
    }

    fn put_segment(&mut self, segment: Segment) {
        self.segments.push((Arc::clone(segment.key.shared()), Edit::Put(SegmentNode::new(segment))));
    }

    /// The ruleset that it leads to, and what is wrong with the objects put, and newly wrong with others.
    fn finish(self) -> (Ruleset, Vec<CompileIssue>) {
        let base = self.base;
        let flags = settle(self.flags, &base.flags);
        let segments = settle(self.segments, &base.segments);
        let flag_keys: Vec<_> = flags.iter().map(|(key, _)| Arc::clone(key)).collect();
        let segment_keys: Vec<_> = segments.iter().map(|(key, _)| Arc::clone(key)).collect();
        let mut ruleset = Ruleset { flags: base.flags.with(flags), segments: base.segments.with(segments) };

        let segments_moved = !ruleset.segments.has_places_of(&base.segments);
        let flags_moved = segments_moved || !ruleset.flags.has_places_of(&base.flags);
        let touched = Places {
            flags: places(&ruleset.flags, &flag_keys, flags_moved),
            segments: places(&ruleset.segments, &segment_keys, segments_moved),
        };
        let linked = link(&mut ruleset, base, touched);

        let mut issues = news(&ruleset.flags, &base.flags, &linked.flags, &flag_keys, |node| &node.issues);
        issues.extend(news(&ruleset.segments, &base.segments, &linked.segments, &segment_keys, |node| &node.issues));
        (ruleset, issues)
    }
}

/// What `edits` make of each object, `None` where it goes, in the order of the keys.
fn settle<T: Keyed>(edits: Vec<(Arc<str>, Edit<T>)>, base: &Table<T>) -> Vec<(Arc<str>, Option<T>)> {
    let mut settled: Vec<(Arc<str>, Option<T>)> = Vec::with_capacity(edits.len());
    for (key, edit) in order::by_text(edits, |(key, _)| key) {
        let before = settled.pop_if(|(last, _)| *last == key).map(|(_, object)| object);
        let object = match edit {
            Edit::Put(object) => Some(object),
            Edit::Delete => None,
            Edit::Amend(amend) => {
                let mut object = before.unwrap_or_else(|| base.find(&key).cloned());
                object.iter_mut().for_each(amend);
                object
            }
        };
        settled.push((key, object));
    }
    settled
}

/// Where the objects with `keys` are now; every place, where places moved.
fn places<T: Keyed>(table: &Table<T>, keys: &[Arc<str>], moved: bool) -> Vec<usize> {
    if moved { (0..table.len()).collect() } else { keys.iter().filter_map(|key| table.place(key)).collect() }
}

/// The issues of the objects at `linked`: all of those in `put`, which is in order, and what is new of others.
fn news<T: Keyed>(
    now: &Table<T>,
    before: &Table<T>,
    linked: &[usize],
    put: &[Arc<str>],
    issues: fn(&T) -> &[CompileIssue],
) -> Vec<CompileIssue> {
    let mut news = Vec::new();
    for object in linked.iter().filter_map(|place| now.get(*place)) {
        let was_put = put.binary_search(object.key()).is_ok();
        let known = before.find(object.key()).filter(|_| !was_put).map(issues).unwrap_or_default();
        for issue in issues(object) {
            if !known.contains(issue) {
                news.push(issue.clone());
            }
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{Context, Timestamp, evaluate};

    fn segment(key: &str, rules: &Json) -> Change {
        Change::PutSegment(serde_json::from_value(json!({ "key": key, "included": ["ada"], "rules": rules })).unwrap())
    }

    /// A flag that is on for the members of the segment `beta`.
    fn flag(key: &str) -> Change {
        let rule =
            json!({ "conditions": [{ "operator": "segment", "values": ["beta"] }], "serve": { "variant": "on" } });
        let flag = json!({
            "key": key, "kind": "boolean", "enabled": true, "salt": key, "rules": [rule],
            "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }], "default": { "variant": "off" },
        });
        Change::PutFlag(serde_json::from_value(flag).unwrap())
    }

    #[track_caller]
    fn check(ruleset: &Ruleset, variant: &str) {
        let ada = Context::new("ada");
        assert_eq!(evaluate(ruleset, "checkout", &ada, Timestamp(0)).variant, Some(variant));
    }

    #[test]
    fn dependents_are_found_through_segments_and_prerequisites() {
        let uses = |of: &str| json!([{ "conditions": [{ "operator": "segment", "values": [of] }] }]);
        let needing = |key: &str, needed: &str| {
            Change::PutFlag(
                serde_json::from_value(json!({
                    "key": key, "kind": "boolean", "enabled": true, "offVariant": "off", "default": { "variant": "on" },
                    "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
                    "prerequisites": [{ "flag": needed, "variants": ["on"] }],
                }))
                .unwrap(),
            )
        };
        let changes = vec![
            segment("inner", &json!([])),
            segment("beta", &uses("inner")),
            segment("other", &json!([])),
            flag("checkout"),
            needing("a-receipt", "checkout"),
            needing("stars", "a-receipt"),
            needing("zebra", "gone"),
        ];
        let (ruleset, _) = Ruleset::default().update(changes);
        let dependents = |flags: &[&str], segments: &[&str]| {
            let flags: Vec<_> = flags.iter().map(|key| FlagKey::new(key).unwrap()).collect();
            let segments: Vec<_> = segments.iter().map(|key| SegmentKey::new(key).unwrap()).collect();
            ruleset.dependents(&flags, &segments).iter().map(FlagKey::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(dependents(&[], &["inner"]), "a-receipt checkout stars");
        assert_eq!(dependents(&["checkout"], &["beta"]), "a-receipt stars");
        assert_eq!(dependents(&["a-receipt"], &["other"]), "stars");
        assert_eq!(dependents(&["gone"], &[]), "zebra");
        assert_eq!(dependents(&["stars", "unknown"], &["nobody"]), "");
    }

    #[test]
    fn a_resolved_flag_says_what_the_server_said() {
        let resolved = |fields: Json| {
            let mut flag = json!({ "key": "checkout", "version": 7 });
            flag.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let (ruleset, issues) =
                Ruleset::default().update(vec![Change::PutResolved(serde_json::from_value(flag).unwrap())]);
            let found = evaluate(&ruleset, "checkout", &Context::anonymous(), Timestamp(0));
            let value = serde_json::to_value(found.value).unwrap();
            (json!([value, found.variant, found.reason, found.error, found.flag_version]), issues.len())
        };
        let on = json!({ "variant": "on", "value": true, "reason": "SPLIT" });
        assert_eq!(resolved(on), (json!([true, "on", "SPLIT", null, 7]), 0));
        assert_eq!(resolved(json!({ "reason": "DISABLED" })), (json!([null, null, "DISABLED", null, 7]), 0));
        let missing = json!({ "reason": "ERROR", "errorCode": "TARGETING_KEY_MISSING" });
        assert_eq!(resolved(missing), (json!([null, null, "ERROR", "TARGETING_KEY_MISSING", 7]), 0));
        let wrong = json!({ "variant": "on", "value": null, "reason": "STATIC" });
        assert_eq!(resolved(wrong), (json!([null, null, "ERROR", "PARSE_ERROR", 7]), 1));
    }

    #[test]
    fn flags_hear_when_a_segment_stands_otherwise() {
        let uses = |key: &str| json!([{ "conditions": [{ "operator": "segment", "values": [key] }] }]);
        let (usable, issues) = Ruleset::default().update(vec![flag("checkout"), segment("beta", &json!([]))]);
        assert_eq!(issues, []);
        check(&usable, "on");
        // The segment now uses itself, or one that is not there: it cannot be used, and the flag says so.
        for broken in ["beta", "nothing"] {
            let (unusable, issues) = usable.update(vec![segment("beta", &uses(broken))]);
            let told: Vec<_> = issues.iter().map(|issue| (issue.key.as_str(), issue.code)).collect();
            assert!(told.contains(&("checkout", "unusable_segment")), "{told:?}");
            check(&unusable, "off");
            let (repaired, issues) = unusable.update(vec![segment("beta", &json!([]))]);
            assert_eq!(issues, []);
            check(&repaired, "on");
        }
    }
}
