//! Compile: configuration in, an immutable [`Ruleset`] and the issues found out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

pub use crate::issue::{CompileIssue, Severity};
use crate::{
    config::{FlagConfig, FlagFile, SegmentConfig},
    flag::Flag,
    key::{FlagKey, SegmentKey},
    link::{FlagIndex, FlagNode, SegmentNode, link},
    segment::Segment,
};

/// An environment's flags and segments, compiled. Immutable; [`update`](Self::update) shares what did not change.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// In the order of their keys.
    pub(crate) flags: Box<[FlagNode]>,
    /// Where in `flags` a key is.
    pub(crate) index: FlagIndex,
    /// In the order of their keys.
    pub(crate) segments: Box<[SegmentNode]>,
    /// What linking found; what compiling found is with the flags and segments.
    pub(crate) link_issues: Box<[CompileIssue]>,
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
    let mut objects = Objects::default();
    for config in &file.flags {
        let flag = if objects.flags.contains_key(&config.key) {
            Flag::broken(config.key.clone(), "duplicate_key", "several flags have this key".to_owned())
        } else {
            Flag::compile(config)
        };
        objects.put_flag(flag);
    }
    for config in &file.segments {
        let segment = if objects.segments.contains_key(&config.key) {
            Segment::broken(config.key.clone(), "duplicate_key", "several segments have this key".to_owned())
        } else {
            Segment::compile(config)
        };
        objects.put_segment(segment);
    }
    let ruleset = objects.link();
    let issues = ruleset.issues().cloned().collect();
    (ruleset, issues)
}

impl Ruleset {
    /// The ruleset with `changes` applied in their order, sharing what they do not touch.
    ///
    /// Returns the issues of every flag and segment touched, and those that the changes brought upon others, such as
    /// the missing prerequisite of a flag that stays when the other is deleted. Costs one compilation for each object
    /// put, and a few lookups for each object there is.
    #[must_use]
    pub fn update(&self, changes: Vec<Change>) -> (Self, Vec<CompileIssue>) {
        let mut objects = Objects::of(self);
        let touched: HashSet<_> = changes.into_iter().map(|change| objects.apply(change)).collect();
        let ruleset = objects.link();

        let known: HashSet<&CompileIssue> = self.link_issues.iter().collect();
        let is_touched = |issue: &CompileIssue| touched.contains(&(issue.collection, issue.key.clone()));
        let own = ruleset.own_issues().filter(|issue| is_touched(issue));
        let links = ruleset.link_issues.iter().filter(|issue| is_touched(issue) || !known.contains(issue));
        let issues = own.chain(links).cloned().collect();
        (ruleset, issues)
    }

    /// Everything that is wrong in the whole environment: what compiling it at once would report.
    pub fn issues(&self) -> impl Iterator<Item = &CompileIssue> {
        self.own_issues().chain(&self.link_issues)
    }

    /// The keys of all flags, in the order of the keys.
    pub fn flag_keys(&self) -> impl Iterator<Item = &FlagKey> {
        self.flags.iter().map(|node| &node.flag.key)
    }

    #[inline]
    pub(crate) fn find(&self, flag: &str) -> Option<&FlagNode> {
        self.flags.get(*self.index.get(flag)?)
    }

    fn own_issues(&self) -> impl Iterator<Item = &CompileIssue> {
        let of_flags = self.flags.iter().flat_map(|node| &node.flag.issues);
        of_flags.chain(self.segments.iter().flat_map(|node| &node.segment.issues))
    }
}

/// Compiled flags, each with whether a kill frame has killed it, and segments: what linking makes a [`Ruleset`] of.
#[derive(Default)]
struct Objects {
    flags: BTreeMap<FlagKey, (Arc<Flag>, bool)>,
    segments: BTreeMap<SegmentKey, Arc<Segment>>,
}

impl Objects {
    fn of(ruleset: &Ruleset) -> Self {
        let flags = ruleset.flags.iter().map(|node| (node.flag.key.clone(), (Arc::clone(&node.flag), node.killed)));
        let segments = ruleset.segments.iter().map(|node| (node.segment.key.clone(), Arc::clone(&node.segment)));
        Self { flags: flags.collect(), segments: segments.collect() }
    }

    /// Returns what `change` touched: the collection and the key.
    fn apply(&mut self, change: Change) -> (&'static str, String) {
        match change {
            Change::PutFlag(config) => self.put_flag(Flag::compile(&config)),
            Change::BrokenFlag { key, message } => self.put_flag(Flag::broken(key, "unreadable", message)),
            Change::KillFlag(key) => {
                if let Some((_, killed)) = self.flags.get_mut(&key) {
                    *killed = true;
                }
                ("flags", key.into())
            }
            Change::DeleteFlag(key) => {
                self.flags.remove(&key);
                ("flags", key.into())
            }
            Change::PutSegment(config) => self.put_segment(Segment::compile(&config)),
            Change::BrokenSegment { key, message } => self.put_segment(Segment::broken(key, "unreadable", message)),
            Change::DeleteSegment(key) => {
                self.segments.remove(&key);
                ("segments", key.into())
            }
        }
    }

    fn put_flag(&mut self, flag: Flag) -> (&'static str, String) {
        let key = flag.key.clone();
        self.flags.insert(key.clone(), (Arc::new(flag), false));
        ("flags", key.into())
    }

    fn put_segment(&mut self, segment: Segment) -> (&'static str, String) {
        let key = segment.key.clone();
        self.segments.insert(key.clone(), Arc::new(segment));
        ("segments", key.into())
    }

    fn link(self) -> Ruleset {
        link(&self.flags.into_values().collect::<Vec<_>>(), self.segments.into_values().collect())
    }
}
