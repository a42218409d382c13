//! Link: joins compiled flags and segments to what they refer to.
//!
//! Compiling looks at one object at a time; linking finds cycles, references to what is missing, and evaluations that
//! would be too deep or too long. A change links what it touches and what depends on that.

use std::sync::Arc;

use crate::{
    condition::SegmentUse,
    evaluate::{Outcome, Why},
    flag::{Flag, Outlet, State},
    graph::{self, Ordered},
    issue::{CompileIssue, Issues, Path, Severity},
    key::VariantKey,
    limits,
    ordinal::Ordinal,
    ruleset::Ruleset,
    segment::Segment,
    table::{Keyed, Table},
};

/// A flag among all others.
#[derive(Clone, Debug)]
pub(crate) struct FlagNode {
    pub(crate) flag: Arc<Flag>,
    /// Killed by a kill frame, whatever the configuration says.
    pub(crate) killed: bool,
    pub(crate) answer: Answer,
    pub(crate) prerequisites: Box<[PrerequisiteLink]>,
    /// The place of the segment that each [`SegmentUse`] names.
    pub(crate) segments: Box<[usize]>,
    /// The rules that use a segment which cannot be used; in order, mostly empty.
    skipped_rules: Box<[usize]>,
    standing: Standing,
    /// What compiling and linking it found.
    pub(crate) issues: Box<[CompileIssue]>,
}

/// Whether a flag's answer depends on the context.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Fixed(Outcome),
    /// The default's distribution alone decides.
    Draw,
    Walk,
}

/// A prerequisite, found.
#[derive(Clone, Debug)]
pub(crate) struct PrerequisiteLink {
    /// The flag's place; [`MISSING`]: there is no such flag.
    pub(crate) flag: usize,
    /// The accepted variants, as that flag counts them.
    pub(crate) accepted: Box<[Ordinal]>,
}

/// A segment among all others.
#[derive(Clone, Debug)]
pub(crate) struct SegmentNode {
    pub(crate) segment: Arc<Segment>,
    /// The place of the segment that each [`SegmentUse`] names.
    pub(crate) links: Box<[usize]>,
    standing: Standing,
    /// What compiling and linking it found.
    pub(crate) issues: Box<[CompileIssue]>,
}

/// The place of what is not there: nothing is found at it.
const MISSING: usize = usize::MAX;

/// How an object stands with those that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    usable: bool,
    /// The longest chain of objects that need each other, this one included.
    depth: u32,
    cost: u32,
}

/// Objects of a ruleset, by their places.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) flags: Vec<usize>,
    pub(crate) segments: Vec<usize>,
}

/// Links the objects at `touched`, which were put since `before`, and those that depend on them; returns whom it linked,
/// in the order of their keys. Where places moved, everything is touched.
pub(crate) fn link(ruleset: &mut Ruleset, before: &Ruleset, touched: Places) -> Places {
    let (segments, changed) = link_segments(&mut ruleset.segments, &before.segments, &touched.segments);
    let flags = link_flags(&mut ruleset.flags, &ruleset.segments, touched.flags, &changed);
    Places { flags, segments }
}

/// Returns the segments that were linked, and those of them that now stand otherwise than `before`.
fn link_segments(
    segments: &mut Table<SegmentNode>,
    before: &Table<SegmentNode>,
    touched: &[usize],
) -> (Vec<usize>, Vec<usize>) {
    for &place in touched {
        let links = segments.get(place).map(|node| find_segments(&node.segment.uses, segments));
        if let Some((node, links)) = segments.get_mut(place).zip(links) {
            node.links = links;
        }
    }
    let n_segments = segments.len();
    let mut dependencies = Vec::with_capacity(n_segments);
    for node in segments.iter() {
        dependencies.push(found(&node.links, n_segments));
    }
    let order = graph::affected(&dependencies, touched);
    let mut changed = Vec::new();
    for &Ordered { node: place, cyclic } in &order {
        let Some(node) = segments.get(place) else { continue };
        let mut issues = Issues::of_segment(&node.segment.key);
        let standing = node.stand(cyclic, segments, &mut issues);
        let issues = all_issues(&node.segment.issues, issues);
        if before.get(place).is_none_or(|before| before.standing != standing) {
            changed.push(place);
        }
        if let Some(node) = segments.get_mut(place) {
            *node = SegmentNode {
                standing,
                issues,
                links: std::mem::take(&mut node.links),
                segment: Arc::clone(&node.segment),
            };
        }
    }
    (in_order(&order, n_segments), changed)
}

fn link_flags(
    flags: &mut Table<FlagNode>,
    segments: &Table<SegmentNode>,
    mut touched: Vec<usize>,
    changed_segments: &[usize],
) -> Vec<usize> {
    for &place in &touched {
        let links = flags.get(place).map(|node| {
            let prerequisites = node.flag.prerequisites.iter().map(|needed| {
                let flag = flags.place(needed.flag.as_str()).unwrap_or(MISSING);
                PrerequisiteLink { flag, accepted: Box::default() }
            });
            (prerequisites.collect(), find_segments(&node.flag.uses, segments))
        });
        if let Some((node, (prerequisites, segments))) = flags.get_mut(place).zip(links) {
            (node.prerequisites, node.segments) = (prerequisites, segments);
        }
    }
    if !changed_segments.is_empty() {
        let is_changed = marks(segments.len(), changed_segments);
        for (place, node) in flags.iter().enumerate() {
            if node.segments.iter().any(|segment| is_changed.get(*segment) == Some(&true)) {
                touched.push(place);
            }
        }
    }
    let n_flags = flags.len();
    let mut dependencies = Vec::with_capacity(n_flags);
    for node in flags.iter() {
        let links: Vec<_> = node.prerequisites.iter().map(|needed| needed.flag).collect();
        dependencies.push(found(&links, n_flags));
    }
    let order = graph::affected(&dependencies, &touched);
    for &Ordered { node: place, cyclic } in &order {
        let linked = flags.get(place).map(|node| node.linked(cyclic, flags, segments));
        if let Some((node, linked)) = flags.get_mut(place).zip(linked) {
            *node = linked;
        }
    }
    in_order(&order, n_flags)
}

/// Those of `links` that lead somewhere.
fn found(links: &[usize], n_places: usize) -> Vec<usize> {
    links.iter().copied().filter(|place| *place < n_places).collect()
}

fn find_segments(uses: &[SegmentUse], segments: &Table<SegmentNode>) -> Box<[usize]> {
    uses.iter().map(|named| segments.place(named.segment.as_str()).unwrap_or(MISSING)).collect()
}

fn in_order(order: &[Ordered], n_places: usize) -> Vec<usize> {
    let places: Vec<_> = order.iter().map(|ordered| ordered.node).collect();
    marks(n_places, &places).into_iter().enumerate().filter_map(|(place, marked)| marked.then_some(place)).collect()
}

/// For each of all places, whether it is one of `places`.
fn marks(n_places: usize, places: &[usize]) -> Vec<bool> {
    let mut marks = vec![false; n_places];
    for place in places {
        if let Some(mark) = marks.get_mut(*place) {
            *mark = true;
        }
    }
    marks
}

fn all_issues(compiled: &[CompileIssue], linked: Issues<'_>) -> Box<[CompileIssue]> {
    compiled.iter().cloned().chain(linked.finish()).collect()
}

impl Keyed for SegmentNode {
    fn key(&self) -> &Arc<str> {
        self.segment.key.shared()
    }
}

impl SegmentNode {
    /// To be linked.
    pub(crate) fn new(segment: Segment) -> Self {
        Self {
            segment: Arc::new(segment),
            links: Box::default(),
            standing: Standing::default(),
            issues: Box::default(),
        }
    }

    /// Judges a segment whose dependencies are judged.
    fn stand(&self, cyclic: bool, segments: &Table<Self>, issues: &mut Issues<'_>) -> Standing {
        if cyclic {
            let message = "the segment uses itself, directly or through others";
            issues.report(Severity::RuleSkipped, "segment_cycle", Path::Root.field("rules"), message);
            return Standing::default();
        }
        let Needed { standing, unusable } = need(&self.segment.uses, &self.links, segments, issues);
        let standing = standing.with_own(self.segment.cost);
        let affordable = standing.check(Severity::RuleSkipped, &Path::Root.field("rules"), issues);
        Standing { usable: self.segment.usable && unusable.is_empty() && affordable, ..standing }
    }
}

struct Needed<'u> {
    standing: Standing,
    unusable: Vec<&'u SegmentUse>,
}

/// What using segments costs, and which uses do not work.
fn need<'u>(
    uses: &'u [SegmentUse],
    links: &[usize],
    segments: &Table<SegmentNode>,
    issues: &mut Issues<'_>,
) -> Needed<'u> {
    let mut needed = Needed { standing: Standing::default(), unusable: Vec::new() };
    for (named, link) in uses.iter().zip(links) {
        match segments.get(*link).map(|segment| segment.standing) {
            Some(standing) if standing.usable => needed.standing = needed.standing.needing(standing),
            Some(_) => {
                let message = format!("the segment `{}` cannot be used; repair it first", named.segment);
                issues.report(Severity::RuleSkipped, "unusable_segment", &named.path, message);
                needed.unusable.push(named);
            }
            None => {
                let message = format!("there is no segment `{}`", named.segment);
                issues.report(Severity::RuleSkipped, "unknown_segment", &named.path, message);
                needed.unusable.push(named);
            }
        }
    }
    needed
}

impl Standing {
    fn needing(self, other: Self) -> Self {
        Self { depth: self.depth.max(other.depth), cost: self.cost.saturating_add(other.cost), ..self }
    }

    fn with_own(self, cost: u32) -> Self {
        Self { depth: self.depth + 1, cost: self.cost.saturating_add(cost).saturating_add(1), ..self }
    }

    /// Whether depth and cost are within bounds.
    fn check(self, severity: Severity, path: &Path<'_>, issues: &mut Issues<'_>) -> bool {
        if self.depth > limits::CHAIN {
            let message =
                format!("this is the end of a chain of {}; at most {} are allowed", self.depth, limits::CHAIN);
            issues.report(severity, "chain_too_long", path, message);
        }
        if self.cost > limits::COST {
            let message = format!(
                "one evaluation may take {} tests, prerequisites and segments included; at most {} are allowed",
                self.cost,
                limits::COST
            );
            issues.report(severity, "too_costly", path, message);
        }
        self.depth <= limits::CHAIN && self.cost <= limits::COST
    }
}

impl Keyed for FlagNode {
    fn key(&self) -> &Arc<str> {
        self.flag.key.shared()
    }
}

impl FlagNode {
    /// To be linked.
    pub(crate) fn new(flag: Flag) -> Self {
        Self {
            flag: Arc::new(flag),
            killed: false,
            answer: Answer::Walk,
            prerequisites: Box::default(),
            segments: Box::default(),
            skipped_rules: Box::default(),
            standing: Standing::default(),
            issues: Box::default(),
        }
    }

    /// Judges a flag whose prerequisites are judged, and whose links say where they are.
    fn linked(&self, cyclic: bool, flags: &Table<Self>, segments: &Table<SegmentNode>) -> Self {
        let flag = &self.flag;
        let mut issues = Issues::of_flag(&flag.key);
        let Needed { standing, unusable } = need(&flag.uses, &self.segments, segments, &mut issues);
        let needed = self.prerequisites.iter().filter_map(|needed| flags.get(needed.flag));
        let mut standing = needed.fold(standing, |sum, needed| sum.needing(needed.standing)).with_own(flag.cost);
        let path = Path::Root.field("prerequisites");
        standing.usable = standing.check(Severity::FlagBroken, &path, &mut issues) && !cyclic;
        if cyclic {
            let message = "the flag is a prerequisite of itself, directly or through others";
            issues.report(Severity::FlagBroken, "prerequisite_cycle", path, message);
        }
        check_prerequisites(flag, flags, &mut issues);
        let mut skipped_rules: Vec<_> = unusable.iter().map(|named| named.rule).collect();
        skipped_rules.dedup();
        Self {
            flag: Arc::clone(flag),
            killed: self.killed,
            answer: answer(flag, self.killed, standing.usable),
            prerequisites: self.accept(flags),
            segments: self.segments.clone(),
            skipped_rules: skipped_rules.into(),
            standing,
            issues: all_issues(&flag.issues, issues),
        }
    }

    fn accept(&self, flags: &Table<Self>) -> Box<[PrerequisiteLink]> {
        let links = self.flag.prerequisites.iter().zip(&self.prerequisites).map(|(needed, link)| {
            let variants = flags.get(link.flag).map_or(&[][..], |target| &target.flag.variants);
            let accepted = variants.iter().enumerate().filter(|(_, variant)| needed.variants.contains(&variant.key));
            PrerequisiteLink { flag: link.flag, accepted: accepted.filter_map(|(at, _)| Ordinal::new(at)).collect() }
        });
        links.collect()
    }

    #[inline]
    pub(crate) fn skips_rule(&self, rule: usize) -> bool {
        !self.skipped_rules.is_empty() && self.skipped_rules.contains(&rule)
    }

    /// Why the answer is fixed: a sentence for explanations.
    pub(crate) fn tell_fixed(&self) -> String {
        let sentence = match self.flag.state {
            State::Unreadable => "the flag cannot be read",
            State::Killed => "the flag is killed",
            _ if self.killed => "the flag is killed",
            State::Disabled => "the flag is disabled",
            State::Broken => "the flag is broken",
            State::Live if matches!(self.answer, Answer::Fixed(outcome) if outcome.is_error()) => "the flag is broken",
            State::Live => "the flag serves the same to everybody",
            State::Resolved(_) => "the server evaluated the flag for this client's context",
        };
        sentence.to_owned()
    }
}

fn check_prerequisites(flag: &Flag, flags: &Table<FlagNode>, issues: &mut Issues<'_>) {
    let path = Path::Root.field("prerequisites");
    for (place, needed) in flag.prerequisites.iter().enumerate() {
        let path = path.index(place);
        let Some(FlagNode { flag: target, .. }) = flags.find(needed.flag.as_str()) else {
            let message = format!("there is no flag `{}`, so that the off variant is served", needed.flag);
            issues.report(Severity::RuleSkipped, "unknown_prerequisite", path.field("flag"), message);
            continue;
        };
        if target.state == State::Unreadable {
            continue;
        }
        let path = path.field("variants");
        let is_known = |key: &VariantKey| target.variants.iter().any(|variant| variant.key == *key);
        let any_known = needed.variants.iter().any(is_known);
        for (place, key) in needed.variants.iter().enumerate().filter(|(_, key)| !is_known(key)) {
            let severity = if any_known { Severity::Warning } else { Severity::RuleSkipped };
            let message = format!("the flag `{}` has no variant `{key}`", needed.flag);
            issues.report(severity, "unknown_prerequisite_variant", path.index(place), message);
        }
    }
}

/// Computes the answer now where it is the same for every context.
fn answer(flag: &Flag, killed: bool, usable: bool) -> Answer {
    let plain = flag.prerequisites.is_empty() && flag.targets.is_empty() && flag.rules.is_empty();
    Answer::Fixed(match (flag.state, &flag.default) {
        (State::Unreadable, _) => Outcome::of(None, Why::ParseError),
        (State::Killed | State::Disabled, _) => Outcome::of(flag.off, Why::Disabled),
        _ if killed => Outcome::of(flag.off, Why::Disabled),
        (State::Broken, _) => Outcome::of(None, Why::ParseError),
        (State::Resolved(why), _) => Outcome::of(Ordinal::new(0).filter(|_| !flag.variants.is_empty()), why),
        _ if !usable => Outcome::of(None, Why::ParseError),
        (State::Live, Outlet::Variant(variant)) if plain => Outcome::of(Some(*variant), Why::Static),
        (State::Live, Outlet::Nobody) if plain => Outcome::of(flag.off, Why::Default),
        (State::Live, Outlet::Draw(_)) if plain => return Answer::Draw,
        (State::Live, _) => return Answer::Walk,
    })
}
