//! What a rollout is to do.

mod gate;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidegate_core::{Timestamp, bucket::BUCKETS};

pub use self::gate::{
    Bound, DEFAULT_EVERY_MS, DEFAULT_WITHIN_MS, Direction, EventGate, Gate, GateText, Limit, MAX_NAME_BYTES,
    MAX_QUERY_BYTES, QueryGate, Severity, Test, TestName, Watched,
};
use crate::{
    moment::Moment,
    window::{MAX_WINDOWS, Window},
};

/// What a rollout is to do: raise the share of a variant step by step, while its gates find no harm.
///
/// A value of this type is valid: made by [`Spec::new`], and checked when it is deserialized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutSpec))]
#[serde(rename_all = "camelCase", try_from = "Unchecked", deny_unknown_fields)]
pub struct Spec {
    steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Vec<GateText>))]
    gates: Vec<Gate>,
    #[serde(default)]
    on_harm: OnHarm,
    /// Not before this time; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    start_at: Option<Moment>,
    /// The share rises within them only; none: at any time. Lowering it needs no window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Vec<crate::window::WindowText>))]
    windows: Vec<Window>,
    /// For so long after the last step, the absolute gates of severity `harm` are still watched, and kill the flag where one finds harm, in
    /// milliseconds. Absent: the rollout ends with its last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guard_ms: Option<u64>,
}

/// One share, and what must be before the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutStep))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Units with a bucket below it are in: 0 to 100,000 (everybody). A first step of 0 without segments is an A/A bake: both arms of
    /// the next step are watched while they have the same variant.
    pub share: u32,
    /// How long the share must have been in force everywhere, with fresh telemetry, before the next step, in milliseconds; at
    /// least [`MIN_BAKE_MS`].
    pub bake_ms: u64,
    /// How many units of treatment, and as many of control, must have been seen at this step. Counts where there are gates;
    /// at least one of each must have been seen then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_units: u64,
    /// Whether a person must approve before the next step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub approval: bool,
    /// From this step on, whoever is in one of these segments has the variant, whatever their bucket; they are not compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// The keys of the gates that count at this step; absent: all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<String>>,
}

/// How a rollout ends where there is harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutOnHarm))]
#[serde(rename_all = "camelCase")]
pub enum OnHarm {
    /// The share goes to 0, everybody has the old variant.
    #[default]
    RollBack,
    /// The flag is killed: everybody has the off variant, also those with a target or rule of their own.
    Kill,
    /// The share stays, and a person decides.
    Hold,
}

/// The shortest bake: one second, for demonstrations. Real ones take minutes: metrics must have arrived.
pub const MIN_BAKE_MS: u64 = 1_000;

/// The bake of each default step: 15 minutes.
pub const DEFAULT_BAKE_MS: u64 = 15 * 60_000;

/// The longest bake: 30 days.
pub const MAX_BAKE_MS: u64 = 30 * 24 * 3_600_000;

/// The most steps of a rollout.
pub const MAX_STEPS: usize = 100;

/// The most gates of a rollout: each one more makes all slower to act.
pub const MAX_GATES: usize = 20;

/// The most segments of a step.
pub const MAX_SEGMENTS: usize = 20;

/// The longest that gates are watched after the last step: a year.
pub const MAX_GUARD_MS: u64 = 366 * 24 * 3_600_000;

/// Why something is no rollout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SpecError {
    /// The JSON Pointer of what is wrong.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl SpecError {
    pub(crate) fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Spec {
    /// A rollout of `steps`, whose shares rise strictly to 100,000, but where a step adds segments: then the share may stay.
    ///
    /// # Errors
    /// [`SpecError`] says which field breaks which rule.
    pub fn new(steps: Vec<Step>, gates: Vec<Gate>, on_harm: OnHarm) -> Result<Self, SpecError> {
        Unchecked { steps, gates, on_harm, ..Unchecked::default() }.checked()
    }

    /// The same, beginning at that time.
    #[must_use]
    pub fn starting_at(self, start_at: Timestamp) -> Self {
        Self { start_at: Some(Moment(start_at)), ..self }
    }

    /// The same, rising within these windows only.
    ///
    /// # Errors
    /// [`SpecError`] where they are too many.
    pub fn within(self, windows: Vec<Window>) -> Result<Self, SpecError> {
        Unchecked { windows, ..self.into() }.checked()
    }

    /// The same, with its absolute gates watched for so long after the last step.
    ///
    /// # Errors
    /// [`SpecError`] where there is no such gate, or the time is out of range.
    pub fn guarded(self, guard_ms: u64) -> Result<Self, SpecError> {
        Unchecked { guard_ms: Some(guard_ms), ..self.into() }.checked()
    }

    /// The steps, at least one.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The gates.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// How it ends where there is harm.
    pub fn on_harm(&self) -> OnHarm {
        self.on_harm
    }

    /// Before which time it does not begin.
    pub fn start_at(&self) -> Option<Timestamp> {
        self.start_at.map(|Moment(at)| at)
    }

    /// When the share may rise; empty: at any time.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// For how long gates are watched after the last step, in milliseconds.
    pub fn guard_ms(&self) -> Option<u64> {
        self.guard_ms
    }

    /// The segments that have the variant at a step: its own, and those of the steps before.
    pub fn segments_at(&self, step: usize) -> BTreeSet<&str> {
        self.steps.iter().take(step + 1).flat_map(|step| step.segments.iter().map(String::as_str)).collect()
    }

    /// Whether the step is an A/A bake: nobody has the variant yet.
    pub fn is_a_a(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|at| at.share == 0) && self.segments_at(step).is_empty()
    }

    /// The share that the arms of a step are cut for: its own, or of an A/A bake that of the next.
    pub fn compared_share(&self, step: usize) -> u32 {
        let step = if self.is_a_a(step) { step + 1 } else { step };
        self.steps.get(step).map_or(0, |step| step.share)
    }

    /// Whether a gate counts at a step.
    pub fn asks(&self, step: usize, gate: &str) -> bool {
        let gates = self.steps.get(step).and_then(|step| step.gates.as_ref());
        gates.is_none_or(|gates| gates.iter().any(|key| key == gate))
    }
}

impl Default for Spec {
    /// 10, 25, 50, 100 %, 15 minutes each, without gates.
    fn default() -> Self {
        let steps = [10_000, 25_000, 50_000, BUCKETS].map(|share| Step::new(share, DEFAULT_BAKE_MS)).to_vec();
        Self {
            steps,
            gates: Vec::new(),
            on_harm: OnHarm::default(),
            start_at: None,
            windows: Vec::new(),
            guard_ms: None,
        }
    }
}

impl Step {
    /// A share that bakes for so long, with nothing else to ask for.
    pub fn new(share: u32, bake_ms: u64) -> Self {
        Self { share, bake_ms, ..Self::default() }
    }
}

fn check_steps(steps: &[Step], gates: &[Gate]) -> Result<(), SpecError> {
    if !(1..=MAX_STEPS).contains(&steps.len()) {
        return Err(SpecError::at("/steps", format!("a rollout has 1 to {MAX_STEPS} steps")));
    }
    let (mut before, mut in_force) = (0, BTreeSet::new());
    for (index, step) in steps.iter().enumerate() {
        let field = |name: &str| format!("/steps/{index}/{name}");
        for (at, segment) in step.segments.iter().enumerate() {
            if !(1..=MAX_NAME_BYTES).contains(&segment.len()) {
                return Err(SpecError::at(field(&format!("segments/{at}")), "the key of a segment"));
            }
            if !in_force.insert(segment.as_str()) {
                let message = "the segment has the variant already: each step names those that it adds";
                return Err(SpecError::at(field(&format!("segments/{at}")), message));
            }
        }
        if step.segments.len() > MAX_SEGMENTS {
            return Err(SpecError::at(field("segments"), format!("a step adds at most {MAX_SEGMENTS} segments")));
        }
        let is_a_a = index == 0 && step.share == 0 && step.segments.is_empty();
        let may_stay = is_a_a || !step.segments.is_empty();
        if step.share < before || step.share == before && !may_stay {
            let message = format!("each share is above the one before, here above {before}");
            return Err(SpecError::at(field("share"), message));
        }
        if !(MIN_BAKE_MS..=MAX_BAKE_MS).contains(&step.bake_ms) {
            let message = format!("a bake takes {MIN_BAKE_MS} ms to 30 days");
            return Err(SpecError::at(field("bakeMs"), message));
        }
        for (at, key) in step.gates.iter().flatten().enumerate() {
            if !gates.iter().any(|gate| gate.key == *key) {
                return Err(SpecError::at(field(&format!("gates/{at}")), "no gate of the rollout has this key"));
            }
        }
        before = step.share;
    }
    if before != BUCKETS {
        let field = format!("/steps/{}/share", steps.len() - 1);
        return Err(SpecError::at(field, format!("the last step is for everybody: {BUCKETS}")));
    }
    Ok(())
}

fn check_gates(gates: &[Gate]) -> Result<(), SpecError> {
    if gates.len() > MAX_GATES {
        return Err(SpecError::at("/gates", format!("a rollout has at most {MAX_GATES} gates")));
    }
    for (index, gate) in gates.iter().enumerate() {
        gate.check(&format!("/gates/{index}"))?;
        if gates.iter().take(index).any(|other| other.key == gate.key) {
            return Err(SpecError::at(format!("/gates/{index}/key"), "another gate has this key"));
        }
    }
    Ok(())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    steps: Vec<Step>,
    #[serde(default)]
    gates: Vec<Gate>,
    #[serde(default)]
    on_harm: OnHarm,
    #[serde(default)]
    start_at: Option<Moment>,
    #[serde(default)]
    windows: Vec<Window>,
    #[serde(default)]
    guard_ms: Option<u64>,
}

impl Unchecked {
    fn checked(self) -> Result<Spec, SpecError> {
        let Self { steps, gates, on_harm, start_at, windows, guard_ms } = self;
        check_gates(&gates)?;
        check_steps(&steps, &gates)?;
        if windows.len() > MAX_WINDOWS {
            return Err(SpecError::at("/windows", format!("a rollout has at most {MAX_WINDOWS} windows")));
        }
        if let Some(guard_ms) = guard_ms {
            if !(MIN_BAKE_MS..=MAX_GUARD_MS).contains(&guard_ms) {
                return Err(SpecError::at("/guardMs", format!("gates are watched for {MIN_BAKE_MS} ms to a year")));
            }
            if !gates.iter().any(|gate| gate.severity == Severity::Harm && gate.is_absolute()) {
                let message = "nobody is left to compare with after the last step: this needs a gate of severity `harm` with a `limit`, `min` or `max`";
                return Err(SpecError::at("/guardMs", message));
            }
        }
        Ok(Spec { steps, gates, on_harm, start_at, windows, guard_ms })
    }
}

impl From<Spec> for Unchecked {
    fn from(Spec { steps, gates, on_harm, start_at, windows, guard_ms }: Spec) -> Self {
        Self { steps, gates, on_harm, start_at, windows, guard_ms }
    }
}

impl TryFrom<Unchecked> for Spec {
    type Error = SpecError;

    fn try_from(unchecked: Unchecked) -> Result<Self, SpecError> {
        unchecked.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shares_and_bakes: &[(u32, u64)], wrong: Option<&str>) {
        let step = |&(share, bake_ms): &(u32, u64)| Step::new(share, bake_ms);
        let spec = Spec::new(shares_and_bakes.iter().map(step).collect(), Vec::new(), OnHarm::RollBack);
        assert_eq!(spec.err().map(|error| error.field).as_deref(), wrong);
    }

    #[test]
    fn shares_rise_strictly_to_everybody() {
        check(&[(100_000, 60_000)], None);
        check(&[(1, 60_000), (2, 60_000), (100_000, 60_000)], None);
        check(&[], Some("/steps"));
        check(&[(0, 60_000)], Some("/steps/0/share"));
        check(&[(50_000, 60_000), (50_000, 60_000)], Some("/steps/1/share"));
        check(&[(50_000, 60_000)], Some("/steps/0/share"));
        check(&[(100_001, 60_000)], Some("/steps/0/share"));
        check(&[(100_000, 999)], Some("/steps/0/bakeMs"));
        check(&[(100_000, MAX_BAKE_MS + 1)], Some("/steps/0/bakeMs"));
        check(&[(1, 60_000); MAX_STEPS + 1], Some("/steps"));
    }

    #[test]
    fn gates_are_checked() {
        let with = |gates| Spec::new(Spec::default().steps, gates, OnHarm::RollBack).map_err(|error| error.field);
        assert!(with(vec![Gate::named("errors")]).is_ok());
        assert_eq!(with(vec![Gate::named("a"), Gate::named("")]).unwrap_err(), "/gates/1/key");
        assert_eq!(with(vec![Gate::named("a"), Gate::named("a")]).unwrap_err(), "/gates/1/key");
        let many = (0..=MAX_GATES).map(|index| Gate::named(index.to_string())).collect();
        assert_eq!(with(many).unwrap_err(), "/gates");
    }

    #[track_caller]
    fn check_json(json: &str, wrong: Option<&str>) {
        match (serde_json::from_str::<Spec>(json), wrong) {
            (Ok(spec), None) => {
                let text = serde_json::to_string(&spec).unwrap();
                assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec, "{text}");
            }
            (Err(error), Some(wrong)) => assert!(error.to_string().starts_with(&format!("{wrong}: ")), "{error}"),
            (Ok(_), Some(wrong)) => panic!("{wrong} was accepted"),
            (Err(error), None) => panic!("{error}"),
        }
    }

    #[test]
    fn segments_come_before_and_beside_shares() {
        let steps = |steps: &str| format!(r#"{{"steps": [{steps}, {{"share": 100000, "bakeMs": 60000}}]}}"#);
        let inner = r#"{"share": 0, "bakeMs": 60000, "segments": ["internal"]}"#;
        check_json(&steps(inner), None);
        check_json(&steps(&format!(r#"{inner}, {{"share": 0, "bakeMs": 60000, "segments": ["beta"]}}"#)), None);
        check_json(&steps(&format!(r#"{inner}, {{"share": 0, "bakeMs": 60000}}"#)), Some("/steps/1/share"));
        check_json(&steps(&format!("{inner}, {inner}")), Some("/steps/1/segments/0"));
        check_json(&steps(r#"{"share": 0, "bakeMs": 60000}"#), None);
        check_json(&steps(r#"{"share": 0, "bakeMs": 60000}, {"share": 0, "bakeMs": 60000}"#), Some("/steps/1/share"));
        check_json(&steps(r#"{"share": 10, "bakeMs": 60000, "segments": [""]}"#), Some("/steps/0/segments/0"));

        let json = steps(&format!(r#"{inner}, {{"share": 5000, "bakeMs": 60000, "segments": ["beta"]}}"#));
        let spec: Spec = serde_json::from_str(&json).unwrap();
        assert_eq!(spec.segments_at(1).into_iter().collect::<Vec<_>>(), ["beta", "internal"]);
        assert!(!spec.is_a_a(0));
        let a_a: Spec = serde_json::from_str(&steps(r#"{"share": 0, "bakeMs": 60000}"#)).unwrap();
        assert!(a_a.is_a_a(0) && !a_a.is_a_a(1));
        assert_eq!((a_a.compared_share(0), a_a.compared_share(1)), (100_000, 100_000));
    }

    #[test]
    fn gates_of_single_steps_are_there() {
        let json = |gates: &str| {
            format!(
                r#"{{"steps": [{{"share": 100000, "bakeMs": 60000, "gates": {gates}}}],
                    "gates": [{{"key": "a", "metric": "a"}}, {{"key": "b", "metric": "b"}}]}}"#
            )
        };
        check_json(&json("[]"), None);
        check_json(&json(r#"["a"]"#), None);
        check_json(&json(r#"["a", "c"]"#), Some("/steps/0/gates/1"));
        let spec: Spec = serde_json::from_str(&json(r#"["a"]"#)).unwrap();
        assert!(spec.asks(0, "a") && !spec.asks(0, "b"));
    }

    #[test]
    fn times_are_read_and_written() {
        let with = |rest: &str| {
            format!(
                r#"{{"steps": [{{"share": 100000, "bakeMs": 60000}}], "gates": [{{"key": "up", "source": "p", "query": "up", "min": 1}}], {rest}}}"#
            )
        };
        check_json(&with(r#""startAt": "2026-11-30T09:00:00+01:00""#), None);
        let window =
            r#"{"start": "2026-11-02T09:00", "zone": "Europe/Berlin", "rrule": "FREQ=DAILY", "durationMs": 28800000}"#;
        check_json(&with(&format!(r#""windows": [{window}]"#)), None);
        check_json(&with(r#""guardMs": 86400000"#), None);
        check_json(&with(r#""guardMs": 1"#), Some("/guardMs"));
        let unwatched = r#"{"steps": [{"share": 100000, "bakeMs": 60000}], "guardMs": 60000}"#;
        check_json(unwatched, Some("/guardMs"));
    }

    #[test]
    fn the_default_steps_are_valid_and_survive_json() {
        let spec = Spec::new(Spec::default().steps, vec![Gate::named("errors")], OnHarm::Kill).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
    }

    #[test]
    fn an_invalid_spec_is_refused_when_read() {
        let error = serde_json::from_str::<Spec>(r#"{"steps": [{"share": 50000, "bakeMs": 60000}]}"#).unwrap_err();
        assert!(error.to_string().starts_with("/steps/0/share: the last step is for everybody: 100000"), "{error}");
    }
}
