//! What is to be done next: a pure function of what is wanted, what is, and what was seen.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;

use crate::{
    evidence::SampleRatio,
    gate::{Judgement, Verdict},
    moment::Moment,
    spec::{Gate, OnHarm, Severity, Spec},
    status::{Bake, State, Status},
    tally::Arms,
    window,
};

/// What was seen of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Since when somebody watches without interruption.
    pub watched_since: Timestamp,
    /// From when to when somebody did before that, as far as is known.
    pub watched_before: Option<(Timestamp, Timestamp)>,
    /// How many connected SDKs do not have the present share yet.
    pub n_behind: u64,
    /// Whether the flag is killed or disabled, so that nobody is served the share.
    pub is_off: bool,
    /// When something was last heard of the flag's evaluations.
    pub heard_at: Option<Timestamp>,
    /// The share of events that SDKs had to drop, 0 to 1.
    pub lost: f64,
    /// The compared units, each counted when it was first seen in this attempt.
    pub entered: Arms,
    /// The compared units seen at this step.
    pub seen: Arms,
    /// What each gate says, in the order of the spec.
    pub judgements: Vec<Judgement>,
    /// Until when the environment is frozen: no share may rise. Absent: it is not.
    pub frozen_until: Option<Timestamp>,
    /// The flag of the rollout whose turn it is, where the project lets one go at a time, and it is another's.
    pub turn_of: Option<String>,
}

/// What is to be done, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is to be done.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The status after it. The same as before: there is nothing to write.
    pub status: Status,
    /// When to look again at the latest; absent: the rollout has ended.
    pub next_look: Option<Timestamp>,
}

/// What is to be done. Each but [`Wait`](Self::Wait) is one commit that expects the generation it was planned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Wait,
    /// The share of that step comes into force.
    Advance {
        /// The step, from 0.
        step: usize,
    },
    /// Everybody has the variant for good, and its gates are still watched.
    Guard,
    /// It has ended well.
    Complete,
    /// It does not rise any more until a person says so.
    Pause,
    /// The share goes to 0.
    RollBack,
    /// The flag is killed.
    Kill,
}

/// Why something is to be done, or why nothing is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutReason))]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "code")]
pub enum Reason {
    /// The rollout begins.
    Begin,
    /// The step has baked, and no gate has anything against the next.
    Baked,
    /// A person ended the wait.
    Skipped,
    /// Its gates were watched for long enough after the last step.
    Guarded,
    /// A gate found harm.
    Harm(Judgement),
    /// The rollout has ended.
    Ended,
    /// See [`Waiting`].
    Paused,
    /// See [`Waiting`].
    Scheduled {
        /// When it begins.
        at: Timestamp,
    },
    /// See [`Waiting`].
    Frozen {
        /// When the freeze ends.
        until: Timestamp,
    },
    /// See [`Waiting`].
    Window {
        /// When the next window opens; absent: none does.
        #[serde(skip_serializing_if = "Option::is_none")]
        opens: Option<Timestamp>,
    },
    /// See [`Waiting`].
    Turn {
        /// The flag of the rollout whose turn it is.
        of: String,
    },
    /// See [`Waiting`].
    Guarding {
        /// For how much longer, in milliseconds.
        left_ms: u64,
    },
    /// See [`Waiting`].
    Off,
    /// See [`Waiting`].
    Converging {
        /// How many connected SDKs do not have the share yet.
        behind: u64,
    },
    /// See [`Waiting`].
    SampleRatio {
        /// How strong the evidence is: so many to one. At most 10^12.
        evidence: f64,
        /// The units seen.
        units: Arms,
    },
    /// See [`Waiting`].
    NoTelemetry {
        /// When something was last heard.
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// See [`Waiting`].
    Lost {
        /// The share of events that were lost, 0 to 1.
        share: f64,
    },
    /// See [`Waiting`].
    Differs(Judgement),
    /// See [`Waiting`].
    Inconclusive(Judgement),
    /// See [`Waiting`].
    Suspect(Judgement),
    /// See [`Waiting`].
    Unproved(Judgement),
    /// See [`Waiting`].
    Baking {
        /// How much is left, in milliseconds.
        left_ms: u64,
    },
    /// See [`Waiting`].
    Units {
        /// The units seen at this step.
        seen: Arms,
        /// How many of each are needed.
        needed: u64,
    },
    /// See [`Waiting`].
    Approval,
}

/// What a rollout waits for: its [`Reason`] without the numbers, which change all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutWaiting))]
#[serde(rename_all = "camelCase")]
pub enum Waiting {
    /// A person paused it, or harm did that asks for a person.
    Paused,
    /// The time at which it is to begin has not come.
    Scheduled,
    /// The environment is frozen: no share may rise.
    Frozen,
    /// None of the rollout's windows is open.
    Window,
    /// The project lets one rollout go at a time, and it is another's turn.
    Turn,
    /// It is through, and its gates are still watched.
    Guarding,
    /// The flag is killed or disabled: nobody is served the share.
    Off,
    /// Not all connected SDKs have the share.
    Converging,
    /// The arms have not the units that they should have: assignment or telemetry is broken, and no comparison means anything.
    SampleRatio,
    /// Nothing is heard of the flag's evaluations.
    // Servers that did not gather what others heard wrote `elsewhere`.
    #[serde(alias = "elsewhere")]
    NoTelemetry,
    /// SDKs drop too many events.
    Lost,
    /// Both arms have the same variant, and yet they differ: assignment or telemetry is broken.
    Differs,
    /// A gate does not know: its source gives no number.
    Inconclusive,
    /// There is evidence of harm, not enough to act.
    Suspect,
    /// A gate has not proved yet what it was asked to prove.
    Unproved,
    /// The step bakes.
    Baking,
    /// Too few units were seen at this step.
    Units,
    /// A person has to approve the next step.
    Approval,
}

/// A rollout that holds on a suspicion goes on when the evidence is below 5 to 1, not when it is just below 20: it would go back and
/// forth.
pub const RELEASE: f64 = 5.0;

/// Without news of the flag's evaluations for so long, nothing is known: SDKs tell every few seconds.
pub const STALE_MS: i64 = 60_000;

/// Of more lost events, what is left says little.
pub const MAX_LOST: f64 = 0.05;

/// How long to wait at most before the next look, while something hinders.
pub const LOOK_MS: i64 = 5_000;

/// What is to be done with a rollout that was last seen so, at `now`.
///
/// In this order: harm ends it or asks for a person, whatever else is; then what hinders (a person, SDKs without the share, a broken
/// sample, silence, loss, a gate that does not know, suspicion) makes it wait; then its step bakes, has to have seen enough units, to prove what is
/// asked for, and to be approved; then comes the next step, at a time when shares may rise. Never more than one: a share that nobody was served
/// has not baked.
pub fn plan(spec: &Spec, status: &Status, seen: &Observation, now: Timestamp) -> Plan {
    if status.is_ended() {
        let (decision, reason) = (Decision::Wait, Reason::Ended);
        return Plan { decision, reason, status: status.clone(), next_look: None };
    }
    if status.state == State::Guarding {
        return guard(spec, status, seen, now);
    }
    let Some(step) = status.step else { return begin(spec, status, seen, now) };
    let heeded = Heeded { spec, status, seen, step };
    let sample_ratio = sample_ratio(status, seen);
    if let Some(judgement) = heeded.harm(sample_ratio.is_some())
        && let Some((decision, state)) = ending(spec.on_harm(), status.state)
    {
        return act(decision, Reason::Harm(judgement.clone()), status.moved(state, now), now);
    }
    let next = |reason| match spec.steps().get(step + 1) {
        Some(_) => act(Decision::Advance { step: step + 1 }, reason, status.at_step(step + 1, now), now),
        None if spec.guard_ms().is_some() => act(Decision::Guard, reason, status.moved(State::Guarding, now), now),
        None => act(Decision::Complete, reason, status.moved(State::Completed, now), now),
    };
    if status.state == State::Running && status.skipped {
        return next(Reason::Skipped);
    }
    let baked_ms = baked_ms(status.bake, seen, now);
    let stopped = Bake { done_ms: baked_ms, since: None };
    if let Some(reason) = heeded.hindrance(sample_ratio, now) {
        return wait(status, reason, stopped, now);
    }
    let baking = Bake { since: Some(status.bake.since.unwrap_or(now)), ..status.bake };
    // Started anew where nobody watched for a while: that time does not count.
    let baking = if baking.since < Some(seen.watched_since) { Bake { since: Some(now), ..stopped } } else { baking };
    let Some(wanted) = spec.steps().get(step) else { return next(Reason::Baked) };
    if baked_ms < wanted.bake_ms {
        let left_ms = wanted.bake_ms - baked_ms;
        return wait(status, Reason::Baking { left_ms }, baking, now);
    }
    let needed = wanted.min_units.max(1);
    if heeded.compares() && seen.seen.treatment.min(seen.seen.control) < needed {
        return wait(status, Reason::Units { seen: seen.seen, needed }, baking, now);
    }
    if let Some(judgement) = heeded.find(|judgement| judgement.verdict == Verdict::Pending) {
        return wait(status, Reason::Inconclusive(judgement.clone()), baking, now);
    }
    if let Some(judgement) = heeded.find(|judgement| judgement.verdict == Verdict::Unproved) {
        return wait(status, Reason::Unproved(judgement.clone()), baking, now);
    }
    if wanted.approval && !status.approved {
        return wait(status, Reason::Approval, baking, now);
    }
    let rises = step + 1 < spec.steps().len();
    if rises {
        // What the next step's gates know already would take it back at once.
        let ahead = Heeded { step: step + 1, ..heeded }.suspicion(false).cloned().map(Reason::Suspect);
        if let Some(reason) = ahead.or_else(|| closed(spec, seen, now)) {
            return wait(status, reason, baking, now);
        }
    }
    next(Reason::Baked)
}

/// Before the first step.
fn begin(spec: &Spec, status: &Status, seen: &Observation, now: Timestamp) -> Plan {
    let begin = |reason| act(Decision::Advance { step: 0 }, reason, status.at_step(0, now), now);
    if status.state == State::Paused {
        return wait(status, Reason::Paused, status.bake, now);
    }
    if status.skipped {
        return begin(Reason::Skipped);
    }
    let scheduled = spec.start_at().filter(|at| *at > now).map(|at| Reason::Scheduled { at });
    match scheduled.or_else(|| closed(spec, seen, now)) {
        Some(reason) => wait(status, reason, status.bake, now),
        None => begin(Reason::Begin),
    }
}

/// After the last step: nobody is left to compare with, and absolute gates are watched.
fn guard(spec: &Spec, status: &Status, seen: &Observation, now: Timestamp) -> Plan {
    let mut gates = spec.gates().iter().zip(&seen.judgements);
    let is_harm = |(gate, judgement): &(&Gate, &Judgement)| {
        gate.severity == Severity::Harm && judgement.verdict == Verdict::Limit && !status.overridden.contains(&gate.key)
    };
    if let Some((_, judgement)) = gates.find(is_harm) {
        return act(Decision::Kill, Reason::Harm(judgement.clone()), status.moved(State::Killed, now), now);
    }
    let watched_ms = u64::try_from(now.0.saturating_sub(status.since.0)).unwrap_or(0);
    match spec.guard_ms().unwrap_or(0).saturating_sub(watched_ms) {
        0 => act(Decision::Complete, Reason::Guarded, status.moved(State::Completed, now), now),
        left_ms => wait(status, Reason::Guarding { left_ms }, status.bake, now),
    }
}

/// Why no share may rise now.
fn closed(spec: &Spec, seen: &Observation, now: Timestamp) -> Option<Reason> {
    if let Some(of) = &seen.turn_of {
        return Some(Reason::Turn { of: of.clone() });
    }
    if let Some(until) = seen.frozen_until {
        return Some(Reason::Frozen { until });
    }
    if spec.windows().is_empty() || window::open_until(spec.windows(), now).is_some() {
        return None;
    }
    Some(Reason::Window { opens: window::opens_after(spec.windows(), now) })
}

fn act(decision: Decision, reason: Reason, status: Status, now: Timestamp) -> Plan {
    let next_look = (!status.is_ended()).then_some(now);
    Plan { decision, reason, status, next_look }
}

fn wait(status: &Status, reason: Reason, bake: Bake, now: Timestamp) -> Plan {
    let left_ms = match reason {
        Reason::Baking { left_ms } | Reason::Guarding { left_ms } => i64::try_from(left_ms).unwrap_or(i64::MAX),
        _ => i64::MAX,
    };
    let waiting = reason.waiting();
    let next_look = Some(Timestamp(now.0.saturating_add(left_ms.min(LOOK_MS))));
    Plan { decision: Decision::Wait, reason, status: Status { bake, waiting, ..status.clone() }, next_look }
}

/// How harm ends it; `None`: it is as it should be already.
fn ending(on_harm: OnHarm, state: State) -> Option<(Decision, State)> {
    match (on_harm, state) {
        (OnHarm::RollBack, _) => Some((Decision::RollBack, State::RolledBack)),
        (OnHarm::Kill, _) => Some((Decision::Kill, State::Killed)),
        (OnHarm::Hold, State::Paused) => None,
        (OnHarm::Hold, _) => Some((Decision::Pause, State::Paused)),
    }
}

/// The evidence that the arms are broken, where it is strong enough.
fn sample_ratio(status: &Status, seen: &Observation) -> Option<f64> {
    let Arms { treatment, control } = seen.entered;
    let ln_evidence = SampleRatio::new([0.5, 0.5]).ln_evidence(&[treatment, control]);
    let held = status.waiting == Some(Waiting::SampleRatio);
    let alarm = if held { SampleRatio::RELEASE } else { SampleRatio::ALARM };
    (ln_evidence >= alarm).then(|| ln_evidence.exp().min(1e12))
}

/// The gates that count at a step: those that it asks for, and that no person overrode.
#[derive(Clone, Copy)]
struct Heeded<'o> {
    spec: &'o Spec,
    status: &'o Status,
    seen: &'o Observation,
    step: usize,
}

impl<'o> Heeded<'o> {
    fn gates(self) -> impl Iterator<Item = (&'o Gate, &'o Judgement)> {
        let gates = self.spec.gates().iter().zip(&self.seen.judgements);
        gates.filter(move |(gate, _)| {
            self.spec.asks(self.step, &gate.key) && !self.status.overridden.contains(&gate.key)
        })
    }

    fn find(self, is_it: impl Fn(&Judgement) -> bool) -> Option<&'o Judgement> {
        self.gates().map(|(_, judgement)| judgement).find(|judgement| is_it(judgement))
    }

    /// Whether units are compared at this step.
    fn compares(self) -> bool {
        self.gates().any(|(gate, judgement)| gate.events().is_some() && judgement.verdict != Verdict::Unopposed)
    }

    /// The strongest harm that counts: where the arms are broken, only limits do; in an A/A bake nobody is harmed.
    fn harm(self, arms_are_broken: bool) -> Option<&'o Judgement> {
        if self.spec.is_a_a(self.step) {
            return None;
        }
        let harmful = self.gates().filter(|(gate, judgement)| {
            gate.severity == Severity::Harm
                && match judgement.verdict {
                    Verdict::Limit => true,
                    Verdict::Harm => !arms_are_broken,
                    _ => false,
                }
        });
        harmful.map(|(_, judgement)| judgement).max_by(|a, b| a.evidence.total_cmp(&b.evidence))
    }

    /// Why the step does not even bake.
    fn hindrance(self, sample_ratio: Option<f64>, now: Timestamp) -> Option<Reason> {
        let Self { spec, status, seen, step } = self;
        if status.state == State::Paused {
            return Some(Reason::Paused);
        }
        if seen.is_off {
            return Some(Reason::Off);
        }
        if seen.n_behind > 0 {
            return Some(Reason::Converging { behind: seen.n_behind });
        }
        if self.gates().any(|(gate, _)| gate.events().is_some())
            && let Some(reason) = self.broken_telemetry(sample_ratio, now)
        {
            return Some(reason);
        }
        if let Some(judgement) = self.find(|judgement| judgement.verdict == Verdict::Inconclusive) {
            return Some(Reason::Inconclusive(judgement.clone()));
        }
        let holds = matches!(status.waiting, Some(Waiting::Suspect | Waiting::Differs));
        let judgement = self.suspicion(holds)?.clone();
        Some(if spec.is_a_a(step) { Reason::Differs(judgement) } else { Reason::Suspect(judgement) })
    }

    /// The gate that speaks against going on; where one `held` already, it does so for longer.
    fn suspicion(self, held: bool) -> Option<&'o Judgement> {
        self.find(|judgement| match judgement.verdict {
            Verdict::Suspect | Verdict::Harm | Verdict::Limit => true,
            Verdict::Pass | Verdict::Pending | Verdict::Unproved => held && judgement.evidence >= RELEASE,
            Verdict::Unopposed | Verdict::Inconclusive => false,
        })
    }

    /// Why nothing that SDKs tell means anything.
    fn broken_telemetry(self, sample_ratio: Option<f64>, now: Timestamp) -> Option<Reason> {
        let Self { status, seen, .. } = self;
        if let Some(evidence) = sample_ratio {
            return Some(Reason::SampleRatio { evidence, units: seen.entered });
        }
        // What was told before the step began says nothing of it.
        let heard = seen.heard_at.filter(|at| *at >= status.since);
        let quiet_since = heard.unwrap_or(status.since);
        if now.0.saturating_sub(quiet_since.0) > STALE_MS {
            return Some(Reason::NoTelemetry { since: seen.heard_at });
        }
        if seen.lost.is_nan() || seen.lost > MAX_LOST {
            return Some(Reason::Lost { share: seen.lost });
        }
        None
    }
}

/// Of the time since it bakes, only that in which somebody watched.
fn baked_ms(bake: Bake, seen: &Observation, now: Timestamp) -> u64 {
    let Some(since) = bake.since else { return bake.done_ms };
    let watched = |from: Timestamp, to: Timestamp| u64::try_from(to.0.saturating_sub(from.max(since).0)).unwrap_or(0);
    let before = seen.watched_before.map_or(0, |(from, to)| watched(from, to.min(seen.watched_since)));
    bake.done_ms.saturating_add(before).saturating_add(watched(seen.watched_since, now))
}

impl Decision {
    /// What is decided, for people: "advances to 25 %".
    pub fn told(self, spec: &Spec) -> String {
        match self {
            Self::Wait => "waits".to_owned(),
            Self::Advance { step } if spec.is_a_a(step) => "begins with an A/A bake".to_owned(),
            Self::Advance { step } => {
                let Some(step) = spec.steps().get(step) else { return "advances".to_owned() };
                let share = (step.share > 0).then(|| format!("{} %", f64::from(step.share) / 1_000.0));
                let segments = step.segments.iter().map(|segment| format!("`{segment}`"));
                format!("advances to {}", share.into_iter().chain(segments).collect::<Vec<_>>().join(" and "))
            }
            Self::Guard => "is through, and its gates stay on".to_owned(),
            Self::Complete => "completes".to_owned(),
            Self::Pause => "pauses".to_owned(),
            Self::RollBack => "rolls back".to_owned(),
            Self::Kill => "kills the flag".to_owned(),
        }
    }
}

impl Reason {
    /// What it waits for, where it does.
    pub fn waiting(&self) -> Option<Waiting> {
        match self {
            Self::Begin | Self::Baked | Self::Skipped | Self::Guarded | Self::Harm(_) | Self::Ended => None,
            Self::Paused => Some(Waiting::Paused),
            Self::Scheduled { .. } => Some(Waiting::Scheduled),
            Self::Frozen { .. } => Some(Waiting::Frozen),
            Self::Window { .. } => Some(Waiting::Window),
            Self::Turn { .. } => Some(Waiting::Turn),
            Self::Guarding { .. } => Some(Waiting::Guarding),
            Self::Off => Some(Waiting::Off),
            Self::Converging { .. } => Some(Waiting::Converging),
            Self::SampleRatio { .. } => Some(Waiting::SampleRatio),
            Self::NoTelemetry { .. } => Some(Waiting::NoTelemetry),
            Self::Lost { .. } => Some(Waiting::Lost),
            Self::Differs(_) => Some(Waiting::Differs),
            Self::Inconclusive(_) => Some(Waiting::Inconclusive),
            Self::Suspect(_) => Some(Waiting::Suspect),
            Self::Unproved(_) => Some(Waiting::Unproved),
            Self::Baking { .. } => Some(Waiting::Baking),
            Self::Units { .. } => Some(Waiting::Units),
            Self::Approval => Some(Waiting::Approval),
        }
    }
}

/// A sentence for people, and for the audit log.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("the rollout begins"),
            Self::Baked => f.write_str("the step has baked, and no gate has anything against going on"),
            Self::Skipped => f.write_str("a person ended the wait"),
            Self::Guarded => f.write_str("its gates were watched for as long as was asked for"),
            Self::Harm(judgement) => write!(f, "harm: {judgement}"),
            Self::Ended => f.write_str("the rollout has ended"),
            Self::Paused => f.write_str("paused until a person resumes it"),
            Self::Scheduled { at } => write!(f, "begins at {}", Moment(*at)),
            Self::Frozen { until } => write!(f, "the environment is frozen until {}", Moment(*until)),
            Self::Window { opens: Some(at) } => write!(f, "the next window opens at {}", Moment(*at)),
            Self::Window { opens: None } => f.write_str("none of its windows opens ever again"),
            Self::Turn { of } => write!(f, "one rollout goes at a time, and it is the turn of that of `{of}`"),
            Self::Guarding { left_ms } => {
                write!(f, "everybody has the variant; gates are watched for another {}", Time(*left_ms))
            }
            Self::Off => f.write_str("the flag is killed or disabled"),
            Self::Converging { behind: 1 } => f.write_str("1 connected SDK does not have the share yet"),
            Self::Converging { behind } => write!(f, "{behind} connected SDKs do not have the share yet"),
            Self::SampleRatio { evidence, units } => write!(
                f,
                "the arms have {} and {} units, which should be as many: assignment or telemetry is broken (evidence {evidence:.0} to 1)",
                units.treatment, units.control
            ),
            Self::NoTelemetry { since: None } => f.write_str("nothing was heard of the flag's evaluations yet"),
            Self::NoTelemetry { since: Some(_) } => f.write_str("nothing is heard of the flag's evaluations any more"),
            Self::Lost { share } => write!(f, "SDKs lose {:.0} % of their events", share * 100.0),
            Self::Differs(judgement) => {
                write!(
                    f,
                    "the arms differ, though both have the old variant; assignment or telemetry is broken: {judgement}"
                )
            }
            Self::Inconclusive(judgement) => write!(f, "not known: {judgement}"),
            Self::Suspect(judgement) => write!(f, "suspicious: {judgement}"),
            Self::Unproved(judgement) => write!(f, "not proved yet: {judgement}"),
            Self::Baking { left_ms } => write!(f, "baking for another {}", Time(*left_ms)),
            Self::Units { seen, needed } => write!(
                f,
                "{} and {} units were seen at this step, {needed} of each are needed",
                seen.treatment, seen.control
            ),
            Self::Approval => f.write_str("a person has to approve the next step"),
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, verdict, evidence, met: Arms { treatment, control }, value, problem, .. } = self;
        if let Some(problem) = problem {
            return write!(f, "`{gate}` {problem}");
        }
        if *verdict == Verdict::Limit {
            return write!(f, "`{gate}` is beyond its limit");
        }
        match value.filter(|_| treatment + control > 0) {
            Some(change) => {
                let change = change * 100.0;
                write!(f, "`{gate}` {change:+.1} %, {treatment} units in treatment, {control} in control, evidence ")?;
            }
            None => write!(f, "`{gate}` for {treatment} units in treatment, {control} in control, evidence ")?,
        }
        match *evidence {
            evidence if evidence < 10.0 => write!(f, "{evidence:.1} to 1"),
            evidence if evidence < 1e6 => write!(f, "{evidence:.0} to 1"),
            _ => f.write_str("of over a million to 1"),
        }
    }
}

/// A length of time, for people.
pub(crate) struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.div_ceil(1_000);
        match (s / 3_600, s / 60 % 60, s % 60) {
            (0, 0, s) => write!(f, "{s} s"),
            (0, min, 0) => write!(f, "{min} min"),
            (0, min, s) => write!(f, "{min} min {s} s"),
            (h, 0, _) => write!(f, "{h} h"),
            (h, min, _) => write!(f, "{h} h {min} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        spec::{Gate, Step},
        status::Refusal,
    };

    /// Numbers that look random and are the same every time: Marsaglia's xorshift.
    struct Chances(u64);

    impl Chances {
        fn below(&mut self, end: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % end
        }

        fn of<T: Copy>(&mut self, all: &[T]) -> T {
            all[usize::try_from(self.below(all.len() as u64)).unwrap()]
        }

        fn spec(&mut self) -> Spec {
            let n_steps = 1 + u32::try_from(self.below(4)).unwrap();
            let step = |n| Step {
                share: 100_000 / n_steps * n + 100_000 % n_steps,
                bake_ms: 60_000 * (1 + self.below(5)),
                min_units: self.of(&[0, 10]),
                approval: self.below(4) == 0,
                ..Step::default()
            };
            let steps = (1..=n_steps).map(step).collect();
            let gates = (0..self.below(3))
                .map(|n| Gate { severity: self.of(&[Severity::Harm, Severity::Signal]), ..Gate::named(n.to_string()) });
            let gates = gates.collect();
            Spec::new(steps, gates, self.of(&[OnHarm::RollBack, OnHarm::Kill, OnHarm::Hold])).unwrap()
        }

        fn observation(&mut self, spec: &Spec, now: Timestamp) -> Observation {
            use Verdict::{Harm, Inconclusive, Limit, Pass, Pending, Suspect, Unopposed, Unproved};
            let judge = |gate: &Gate| {
                let verdict = self.of(&[
                    Pass,
                    Pass,
                    Pass,
                    Pass,
                    Pass,
                    Pass,
                    Pass,
                    Suspect,
                    Harm,
                    Limit,
                    Pending,
                    Unopposed,
                    Unproved,
                    Inconclusive,
                ]);
                let evidence = self.of(&[0.1, 7.0, 30.0, 200.0]);
                Judgement { verdict, evidence, ..Judgement::nothing(&gate.key) }
            };
            let judgements = spec.gates().iter().map(judge).collect();
            let units =
                self.of(&[Arms::default(), Arms { treatment: 20, control: 20 }, Arms { treatment: 5, control: 900 }]);
            Observation {
                watched_since: Timestamp(now.0 - self.of(&[0, 1_000_000_000])),
                n_behind: self.of(&[0, 0, 0, 1]),
                watched_before: self.of(&[None, Some((Timestamp(0), Timestamp(now.0 - 1)))]),
                is_off: self.below(8) == 0,
                heard_at: self.of(&[Some(now), Some(now), Some(Timestamp(now.0 - 100_000)), None]),
                lost: self.of(&[0.0, 0.0, 0.0, 0.5, f64::NAN]),
                entered: units,
                seen: units,
                judgements,
                frozen_until: self.of(&[None, None, None, Some(Timestamp(now.0 + 1))]),
                turn_of: self.of(&[None, None, None, Some("other")]).map(str::to_owned),
            }
        }
    }

    /// Whatever is seen and whatever people do.
    #[test]
    fn no_step_is_skipped_and_what_is_not_known_never_advances() {
        for seed in 1..=2_000_u64 {
            let mut chances = Chances(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let spec = chances.spec();
            let mut now = Timestamp(0);
            let mut status = Status::new(now);
            for _ in 0..60 {
                now.0 += i64::try_from(chances.below(200_000)).unwrap();
                let seen = chances.observation(&spec, now);
                let plan = plan(&spec, &status, &seen, now);
                let told = || format!("seed {seed}: {status:?} {seen:?} {plan:?}");
                let again = super::plan(&spec, &status, &seen, now);
                assert_eq!(format!("{again:?}"), format!("{plan:?}"), "the same again");
                let is_known = seen.n_behind == 0
                    && !seen.is_off
                    && (spec.gates().is_empty()
                        || seen.lost <= MAX_LOST
                            && seen.entered.control < 900
                            && seen.judgements.iter().all(|judgement| {
                                matches!(judgement.verdict, Verdict::Pass | Verdict::Pending | Verdict::Unopposed)
                            }));
                match plan.decision {
                    Decision::Advance { step } => {
                        assert_eq!(step, status.step.map_or(0, |step| step + 1), "{}", told());
                        assert_eq!((plan.status.step, plan.status.bake), (Some(step), Bake::default()), "{}", told());
                        let may = (is_known || step == 0) && seen.frozen_until.is_none() && seen.turn_of.is_none()
                            || plan.reason == Reason::Skipped;
                        assert!(may && status.state == State::Running, "{}", told());
                    }
                    Decision::Guard => unreachable!("no gate is absolute"),
                    Decision::Complete => {
                        assert_eq!(status.step, Some(spec.steps().len() - 1), "{}", told());
                        assert!(is_known || plan.reason == Reason::Skipped, "{}", told());
                    }
                    Decision::Wait => {
                        let before = (status.generation, status.state, status.step);
                        assert_eq!((plan.status.generation, plan.status.state, plan.status.step), before, "{}", told());
                    }
                    Decision::RollBack | Decision::Kill | Decision::Pause => {
                        assert!(matches!(plan.reason, Reason::Harm(_)), "{}", told());
                    }
                }
                let is_move = plan.decision != Decision::Wait;
                assert_eq!(plan.status.generation, status.generation + u64::from(is_move), "{}", told());
                assert_eq!(plan.next_look.is_some(), !plan.status.is_ended(), "{}", told());
                assert!(!plan.status.is_ended() || !is_move || !status.is_ended(), "{}", told());
                status = plan.status;
                status = match chances.below(12) {
                    0 => status.paused(now),
                    1 => status.resumed(now),
                    2 => status.approved(),
                    3 => status.skipped(),
                    _ => Err(Refusal::Ended),
                }
                .unwrap_or(status);
            }
        }
    }
}
