//! What a rollout is to do.

use serde::{Deserialize, Serialize};
use tidegate_core::bucket::BUCKETS;

/// What a rollout is to do: raise the share of a variant step by step, while its gates find no harm.
///
/// A value of this type is valid: made by [`Spec::new`], and checked when it is deserialized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutSpec))]
#[serde(rename_all = "camelCase", try_from = "Unchecked", deny_unknown_fields)]
pub struct Spec {
    steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gates: Vec<Gate>,
    #[serde(default)]
    on_harm: OnHarm,
}

/// One share, and what must be before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutStep))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Units with a bucket below it are in: 1 to 100,000 (everybody).
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
}

/// A metric that is watched, from the first step to the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutGate))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// Names the gate in judgements and the audit log; unique among the gates.
    pub key: String,
    /// What is done where the metric gets worse.
    #[serde(default)]
    pub severity: Severity,
    /// The name of the metric: what applications `track`.
    pub metric: String,
    /// Only measurements above this count: requests that took longer than so many milliseconds, say. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Which way is worse.
    #[serde(default)]
    pub worse: Direction,
    /// How much worse is no harm yet, relative to control: with 0.1, up to 1.1 times as many units with an error are let pass. Above 0, as
    /// nothing is ever exactly as before; at most 10, and below 1 where less is worse.
    #[serde(default = "default_margin")]
    pub margin: f64,
    /// The absolute limit, whatever control does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// Acts at once, without statistics: for what nobody wants to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateLimit))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// The share of treatment's units that may have it happen, 0 to 1.
    pub share: f64,
    /// How many units must have had it happen, so that the first one does not decide alone; at least 1.
    #[serde(default = "default_limit_units")]
    pub units: u64,
}

/// What is done where a gate finds harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateSeverity))]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The rollout ends as its [`OnHarm`] says.
    #[default]
    Harm,
    /// The rollout holds, and goes on by itself when the evidence is gone.
    Signal,
}

/// Which way a metric gets worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateDirection))]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// More units have it happen: errors, slow requests.
    #[default]
    Up,
    /// Fewer units have it happen: purchases.
    Down,
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

/// The longest key of a gate, and name of a metric, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

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
    fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Spec {
    /// A rollout of `steps`, whose shares rise strictly to 100,000.
    ///
    /// # Errors
    /// [`SpecError`] says which field breaks which rule.
    pub fn new(steps: Vec<Step>, gates: Vec<Gate>, on_harm: OnHarm) -> Result<Self, SpecError> {
        check_steps(&steps)?;
        check_gates(&gates)?;
        Ok(Self { steps, gates, on_harm })
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
}

impl Default for Spec {
    /// 10, 25, 50, 100 %, 15 minutes each, without gates.
    fn default() -> Self {
        let step = |share| Step { share, bake_ms: DEFAULT_BAKE_MS, min_units: 0, approval: false };
        let steps = [10_000, 25_000, 50_000, BUCKETS].map(step).to_vec();
        Self { steps, gates: Vec::new(), on_harm: OnHarm::default() }
    }
}

impl Gate {
    /// A gate of that key on the metric of the same name, with everything else as it is by default.
    pub fn named(key: impl Into<String>) -> Self {
        let key = key.into();
        Self {
            metric: key.clone(),
            key,
            severity: Severity::default(),
            above: None,
            worse: Direction::default(),
            margin: default_margin(),
            limit: None,
        }
    }
}

fn check_steps(steps: &[Step]) -> Result<(), SpecError> {
    if !(1..=MAX_STEPS).contains(&steps.len()) {
        return Err(SpecError::at("/steps", format!("a rollout has 1 to {MAX_STEPS} steps")));
    }
    let mut before = 0;
    for (index, step) in steps.iter().enumerate() {
        let field = |name: &str| format!("/steps/{index}/{name}");
        if step.share <= before {
            let message = format!("each share is above the one before, here above {before}");
            return Err(SpecError::at(field("share"), message));
        }
        if !(MIN_BAKE_MS..=MAX_BAKE_MS).contains(&step.bake_ms) {
            let message = format!("a bake takes {MIN_BAKE_MS} ms to 30 days");
            return Err(SpecError::at(field("bakeMs"), message));
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
        let wrong = |name: &str, message: &str| Err(SpecError::at(format!("/gates/{index}/{name}"), message));
        if !(1..=MAX_NAME_BYTES).contains(&gate.key.len()) {
            return wrong("key", "a gate's key has 1 to 128 bytes");
        }
        if gates.iter().take(index).any(|other| other.key == gate.key) {
            return wrong("key", "another gate has this key");
        }
        if !(1..=MAX_NAME_BYTES).contains(&gate.metric.len()) {
            return wrong("metric", "a metric's name has 1 to 128 bytes");
        }
        if gate.above.is_some_and(|above| !above.is_finite()) {
            return wrong("above", "a finite number");
        }
        let most = if gate.worse == Direction::Up { 10.0 } else { 0.99 };
        if !(0.001..=most).contains(&gate.margin) {
            return wrong(
                "margin",
                "from 0.001 up to 10, or to 0.99 where less is worse: nothing is ever exactly as before",
            );
        }
        if let Some(limit) = gate.limit {
            if gate.worse == Direction::Down {
                return wrong("limit", "a limit is for what must not happen too often: not where less is worse");
            }
            if !(limit.share > 0.0 && limit.share < 1.0) {
                return wrong("limit/share", "a share of units between 0 and 1, like 0.2 for a fifth");
            }
            if limit.units == 0 {
                return wrong("limit/units", "at least 1 unit");
            }
        }
    }
    Ok(())
}

fn default_margin() -> f64 {
    0.1
}

fn default_limit_units() -> u64 {
    20
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unchecked {
    steps: Vec<Step>,
    #[serde(default)]
    gates: Vec<Gate>,
    #[serde(default)]
    on_harm: OnHarm,
}

impl TryFrom<Unchecked> for Spec {
    type Error = SpecError;

    fn try_from(Unchecked { steps, gates, on_harm }: Unchecked) -> Result<Self, SpecError> {
        Self::new(steps, gates, on_harm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shares_and_bakes: &[(u32, u64)], wrong: Option<&str>) {
        let step = |&(share, bake_ms): &(u32, u64)| Step { share, bake_ms, min_units: 0, approval: false };
        let spec = Spec::new(shares_and_bakes.iter().map(step).collect(), Vec::new(), OnHarm::RollBack);
        assert_eq!(spec.err().map(|error| error.field).as_deref(), wrong);
    }

    #[test]
    fn shares_rise_strictly_to_everybody() {
        check(&[(100_000, 60_000)], None);
        check(&[(1, 60_000), (2, 60_000), (100_000, 60_000)], None);
        check(&[], Some("/steps"));
        check(&[(0, 60_000), (100_000, 60_000)], Some("/steps/0/share"));
        check(&[(50_000, 60_000), (50_000, 60_000)], Some("/steps/1/share"));
        check(&[(50_000, 60_000)], Some("/steps/0/share"));
        check(&[(100_001, 60_000)], Some("/steps/0/share"));
        check(&[(100_000, 999)], Some("/steps/0/bakeMs"));
        check(&[(100_000, MAX_BAKE_MS + 1)], Some("/steps/0/bakeMs"));
        check(&[(1, 60_000); MAX_STEPS + 1], Some("/steps"));
    }

    #[track_caller]
    fn check_gate(gate: Gate, wrong: Option<&str>) {
        let spec = Spec::new(Spec::default().steps, vec![gate], OnHarm::RollBack);
        assert_eq!(spec.err().map(|error| error.field).as_deref(), wrong);
    }

    #[test]
    fn gates_are_checked() {
        check_gate(Gate::named("errors"), None);
        check_gate(Gate::named(""), Some("/gates/0/key"));
        check_gate(Gate { metric: String::new(), ..Gate::named("a") }, Some("/gates/0/metric"));
        check_gate(Gate { margin: 0.0, ..Gate::named("a") }, Some("/gates/0/margin"));
        check_gate(Gate { margin: f64::NAN, ..Gate::named("a") }, Some("/gates/0/margin"));
        check_gate(Gate { margin: 1.0, worse: Direction::Down, ..Gate::named("a") }, Some("/gates/0/margin"));
        check_gate(Gate { above: Some(f64::INFINITY), ..Gate::named("a") }, Some("/gates/0/above"));
        let limit = |share, units| Gate { limit: Some(Limit { share, units }), ..Gate::named("a") };
        check_gate(limit(0.2, 20), None);
        check_gate(limit(1.0, 20), Some("/gates/0/limit/share"));
        check_gate(limit(0.2, 0), Some("/gates/0/limit/units"));
        check_gate(Gate { worse: Direction::Down, ..limit(0.2, 20) }, Some("/gates/0/limit"));
        let twice = Spec::new(Spec::default().steps, vec![Gate::named("a"), Gate::named("a")], OnHarm::Kill);
        assert_eq!(twice.unwrap_err().field, "/gates/1/key");
        let many = (0..=MAX_GATES).map(|index| Gate::named(index.to_string())).collect();
        assert_eq!(Spec::new(Spec::default().steps, many, OnHarm::Kill).unwrap_err().field, "/gates");
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
