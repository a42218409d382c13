//! Link: joins compiled flags and segments to what they refer to.
//!
//! Compiling looks at one object at a time and is shared between rulesets; linking looks at all of them and is done
//! again with each change. It costs a few lookups for each object, and finds cycles, references to what is missing, and
//! evaluations that would be too deep or too long.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    condition::SegmentUse,
    config,
    evaluate::{Outcome, Why},
    flag::{Flag, Outlet, State},
    graph::{self, Ordered},
    issue::{CompileIssue, Issues, Path, Severity},
    key::{FlagKey, SegmentKey, VariantKey},
    limits,
    ordinal::Ordinal,
    ruleset::Ruleset,
    segment::Segment,
};

/// Finds flags by key.
pub(crate) type FlagIndex = HashMap<FlagKey, usize, FixedState>;

/// A flag among all others.
#[derive(Clone, Debug)]
pub(crate) struct FlagNode {
    pub(crate) flag: Arc<Flag>,
    /// Killed by a kill frame, whatever the configuration says.
    pub(crate) killed: bool,
    pub(crate) answer: Answer,
    pub(crate) prerequisites: Box<[PrerequisiteLink]>,
    /// The index of the segment that each [`SegmentUse`] names.
    pub(crate) segments: Box<[usize]>,
    /// The rules that use a segment which cannot be used; in order, mostly empty.
    skipped_rules: Box<[usize]>,
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
    /// `None`: there is no such flag.
    pub(crate) flag: Option<usize>,
    /// The accepted variants, as that flag counts them.
    pub(crate) accepted: Box<[Ordinal]>,
}

/// A segment among all others.
#[derive(Clone, Debug)]
pub(crate) struct SegmentNode {
    pub(crate) segment: Arc<Segment>,
    /// The index of the segment that each [`SegmentUse`] names.
    pub(crate) links: Box<[usize]>,
}

/// How an object stands with those that it needs.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    usable: bool,
    /// The longest chain of objects that need each other, this one included.
    depth: u32,
    cost: u32,
}

/// Links `flags`, each with whether it is killed, and `segments`, both in the order of their keys.
pub(crate) fn link(flags: &[(Arc<Flag>, bool)], segments: Vec<Arc<Segment>>) -> Ruleset {
    let mut issues = Vec::new();
    let segments = Segments::link(segments, &mut issues);
    let (flags, index) = link_flags(flags, &segments, &mut issues);
    Ruleset { flags, index, segments: segments.nodes, link_issues: issues.into() }
}

struct Segments {
    index: HashMap<SegmentKey, usize, FixedState>,
    nodes: Box<[SegmentNode]>,
    standings: Vec<Standing>,
}

impl Segments {
    fn link(segments: Vec<Arc<Segment>>, issues: &mut Vec<CompileIssue>) -> Self {
        let index: HashMap<_, _, _> =
            segments.iter().enumerate().map(|(place, segment)| (segment.key.clone(), place)).collect();
        let mut linked = Self { standings: vec![Standing::default(); segments.len()], index, nodes: Box::default() };
        let dependencies: Vec<Vec<usize>> = segments
            .iter()
            .map(|segment| segment.uses.iter().filter_map(|named| linked.index.get(&named.segment).copied()).collect())
            .collect();

        for Ordered { node, cyclic } in graph::dependencies_first(&dependencies) {
            let Some(segment) = segments.get(node) else { continue };
            let mut found = Issues::of_segment(&segment.key);
            let standing = linked.stand(segment, cyclic, &mut found);
            issues.extend(found.finish());
            if let Some(place) = linked.standings.get_mut(node) {
                *place = standing;
            }
        }
        linked.nodes =
            segments.into_iter().map(|segment| SegmentNode { links: linked.links(&segment.uses), segment }).collect();
        linked
    }

    /// Judges a segment whose dependencies are judged.
    fn stand(&self, segment: &Segment, cyclic: bool, issues: &mut Issues<'_>) -> Standing {
        if cyclic {
            let message = "the segment uses itself, directly or through others";
            issues.report(Severity::RuleSkipped, "segment_cycle", Path::Root.field("rules"), message);
            return Standing::default();
        }
        let Needed { standing, unusable } = self.need(&segment.uses, issues);
        let standing = standing.with_own(segment.cost);
        let affordable = standing.check(Severity::RuleSkipped, &Path::Root.field("rules"), issues);
        Standing { usable: segment.usable && unusable.is_empty() && affordable, ..standing }
    }

    /// What using segments costs, and which uses do not work.
    fn need<'u>(&self, uses: &'u [SegmentUse], issues: &mut Issues<'_>) -> Needed<'u> {
        let mut needed = Needed { standing: Standing::default(), unusable: Vec::new() };
        for named in uses {
            let found = self.index.get(&named.segment).and_then(|place| self.standings.get(*place));
            match found {
                Some(standing) if standing.usable => needed.standing = needed.standing.needing(*standing),
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

    fn links(&self, uses: &[SegmentUse]) -> Box<[usize]> {
        // What is missing has an index that is never found; rules that use it are skipped.
        uses.iter().map(|named| self.index.get(&named.segment).copied().unwrap_or(usize::MAX)).collect()
    }
}

struct Needed<'u> {
    standing: Standing,
    unusable: Vec<&'u SegmentUse>,
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

fn link_flags(
    flags: &[(Arc<Flag>, bool)],
    segments: &Segments,
    issues: &mut Vec<CompileIssue>,
) -> (Box<[FlagNode]>, FlagIndex) {
    let index: FlagIndex = flags.iter().enumerate().map(|(place, (flag, _))| (flag.key.clone(), place)).collect();
    let dependencies: Vec<Vec<usize>> = flags
        .iter()
        .map(|(flag, _)| flag.prerequisites.iter().filter_map(|needed| index.get(&needed.flag).copied()).collect())
        .collect();

    let mut standings = vec![Standing::default(); flags.len()];
    let mut skipped: Vec<Box<[usize]>> = vec![Box::default(); flags.len()];
    for Ordered { node, cyclic } in graph::dependencies_first(&dependencies) {
        let Some(((flag, _), needed)) = flags.get(node).zip(dependencies.get(node)) else { continue };
        let mut found = Issues::of_flag(&flag.key);
        let Needed { standing, unusable } = segments.need(&flag.uses, &mut found);
        let needed = needed.iter().filter_map(|needed| standings.get(*needed));
        let mut standing = needed.fold(standing, |sum, needed| sum.needing(*needed)).with_own(flag.cost);
        let path = Path::Root.field("prerequisites");
        standing.usable = standing.check(Severity::FlagBroken, &path, &mut found) && !cyclic;
        if cyclic {
            let message = "the flag is a prerequisite of itself, directly or through others";
            found.report(Severity::FlagBroken, "prerequisite_cycle", path, message);
        }
        check_prerequisites(flag, flags, &index, &mut found);
        issues.extend(found.finish());
        if let Some((place, skipped)) = standings.get_mut(node).zip(skipped.get_mut(node)) {
            *place = standing;
            let mut rules: Vec<_> = unusable.iter().map(|named| named.rule).collect();
            rules.dedup();
            *skipped = rules.into();
        }
    }

    let find = |needed: &config::Prerequisite| {
        let place = index.get(&needed.flag).copied();
        let target = place.and_then(|place| flags.get(place));
        let accepted = target.map(|(target, _)| {
            target
                .variants
                .iter()
                .enumerate()
                .filter(|(_, variant)| needed.variants.contains(&variant.key))
                .filter_map(|(index, _)| Ordinal::new(index))
                .collect()
        });
        PrerequisiteLink { flag: place, accepted: accepted.unwrap_or_default() }
    };
    let nodes = flags.iter().zip(standings).zip(skipped).map(|(((flag, killed), standing), skipped_rules)| FlagNode {
        answer: answer(flag, *killed, standing.usable),
        prerequisites: flag.prerequisites.iter().map(find).collect(),
        segments: segments.links(&flag.uses),
        skipped_rules,
        flag: Arc::clone(flag),
        killed: *killed,
    });
    (nodes.collect(), index)
}

fn check_prerequisites(flag: &Flag, flags: &[(Arc<Flag>, bool)], index: &FlagIndex, issues: &mut Issues<'_>) {
    let path = Path::Root.field("prerequisites");
    for (place, needed) in flag.prerequisites.iter().enumerate() {
        let path = path.index(place);
        let Some((target, _)) = index.get(&needed.flag).and_then(|place| flags.get(*place)) else {
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
        _ if !usable => Outcome::of(None, Why::ParseError),
        (State::Live, Outlet::Variant(variant)) if plain => Outcome::of(Some(*variant), Why::Static),
        (State::Live, Outlet::Nobody) if plain => Outcome::of(flag.off, Why::Default),
        (State::Live, Outlet::Draw(_)) if plain => return Answer::Draw,
        (State::Live, _) => return Answer::Walk,
    })
}

impl FlagNode {
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
        };
        sentence.to_owned()
    }
}

impl SegmentNode {
    pub(crate) fn key(&self) -> &SegmentKey {
        &self.segment.key
    }
}
