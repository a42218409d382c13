//! What a rollout would be able to see, and what it would expose, before it is started.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::FlagKey;
use tidegate_rollout::{
    Gate, Spec, Test,
    preview::{StepPreview, preview},
    simulation::Baseline,
};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal,
    access::{Action, authorize},
    flags::flag_id,
    model::Flag,
};
use crate::ports::store::EnvironmentId;

/// A rollout that may be started, and what is assumed of its traffic.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewRollout {
    /// The flag's key.
    #[schema(value_type = String)]
    pub flag: FlagKey,
    /// What is to be done; absent: as the template says.
    #[serde(default)]
    #[schema(value_type = Option<Spec>)]
    pub spec: Option<Json>,
    /// The key of a template that says what is to be done; absent, without `spec`: `default`.
    #[serde(default)]
    pub template: Option<String>,
    /// How many new units ask for the flag in a minute; absent: as many as did lately.
    #[serde(default)]
    pub units_per_minute: Option<f64>,
    /// What gates on events watch is like now, by the gate's key; those that are not named: as it was lately.
    #[serde(default)]
    pub baselines: BTreeMap<String, GateBaseline>,
}

/// What a gate watches, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateBaseline {
    /// The share of units that it happens to, or that have a value, 0 to 1.
    pub rate: f64,
    /// How far values are apart: the standard deviation of their logarithm. Absent: 0.5, as of response times; 1 is usual for amounts of money.
    #[serde(default = "usual_spread")]
    pub spread: f64,
}

/// What a rollout would be able to see, and what it would expose.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPreview {
    /// What is to be done: as given, or of the template.
    pub spec: Spec,
    /// How many new units ask for the flag in a minute.
    pub units_per_minute: f64,
    /// What gates on events watch is like now, by the gate's key. A gate that nothing is known of is not here, and its detectable
    /// effect is not known.
    pub baselines: BTreeMap<String, GateBaseline>,
    /// What is to be expected of each step.
    pub steps: Vec<StepPreview>,
    /// How long it takes where no gate is against it, approvals and windows apart, in milliseconds; absent: it does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What should be known before it is started, in words.
    pub notes: Vec<String>,
}

/// From more than so many times as much, a step finds only what nobody needs statistics for.
const COARSE: f64 = 3.0;

impl App {
    /// What a rollout would be able to see, and what it would expose.
    pub async fn preview_rollout(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        asked: &PreviewRollout,
    ) -> Result<RolloutPreview, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        let PreviewRollout { flag, spec, template, .. } = asked;
        self.live::<Flag>(&flag_id(&environment.project, flag.as_str())).await?;
        let spec = self.wanted_spec(environment, spec.as_ref(), template.as_deref()).await?;
        check(&spec, asked)?;
        let seen = self.traffic.of_flag(environment, flag.as_str(), self.clock.now());
        let units_per_minute = asked.units_per_minute.or(seen.as_ref().map(|seen| seen.units_per_minute));
        let observed = |gate: &Gate| {
            let events = gate.events()?;
            // Of which values are above what nothing is kept.
            let known = !matches!(events.test, Test::Happened { above: Some(_) });
            let rate = self.traffic.rate(environment, seen.as_ref()?, &events.metric).filter(|_| known)?;
            Some(GateBaseline { rate, spread: usual_spread() })
        };
        let baseline = |gate: &Gate| asked.baselines.get(&gate.key).copied().or_else(|| observed(gate));
        let known = spec.gates().iter().filter_map(|gate| Some((gate.key.clone(), baseline(gate)?)));
        Ok(expected(spec.clone(), units_per_minute, known.collect()))
    }
}

fn check(spec: &Spec, asked: &PreviewRollout) -> Result<(), AppError> {
    if asked.units_per_minute.is_some_and(|units| !(units > 0.0 && units.is_finite())) {
        return Err(AppError::invalid("/unitsPerMinute", "a number above 0"));
    }
    for (key, baseline) in &asked.baselines {
        let field = format!("/baselines/{key}");
        if !spec.gates().iter().any(|gate| gate.key == *key && gate.events().is_some()) {
            return Err(AppError::invalid(field, "no gate on events has this key"));
        }
        if !(baseline.rate > 0.0 && baseline.rate <= 1.0) {
            return Err(AppError::invalid(format!("{field}/rate"), "a share of units above 0, at most 1"));
        }
        if !(baseline.spread > 0.0 && baseline.spread <= 10.0) {
            return Err(AppError::invalid(format!("{field}/spread"), "a number above 0, at most 10"));
        }
    }
    Ok(())
}

/// Pure: what is to be expected of so much traffic.
fn expected(spec: Spec, units_per_minute: Option<f64>, baselines: BTreeMap<String, GateBaseline>) -> RolloutPreview {
    let mut notes = Vec::new();
    if units_per_minute.is_none() {
        notes.push(
            "nothing was heard of the flag's evaluations lately: say `unitsPerMinute` to see what this traffic would show"
                .to_owned(),
        );
    }
    let nothing = Baseline { rate: 0.0, spread: usual_spread() };
    let of_gate = |gate: &Gate| {
        baselines.get(&gate.key).map_or(nothing, |&GateBaseline { rate, spread }| Baseline { rate, spread })
    };
    let in_order: Vec<_> = spec.gates().iter().map(of_gate).collect();
    let units_per_minute = units_per_minute.unwrap_or_default();
    let mut steps = preview(&spec, units_per_minute, &in_order);
    for step in &mut steps {
        step.gates.retain(|gate| baselines.contains_key(&gate.gate));
    }
    for gate in spec.gates().iter().filter(|gate| gate.events().is_some()) {
        let key = &gate.key;
        if !baselines.contains_key(key) {
            notes.push(format!("`{key}`: nothing is known of how often it happens now: say its rate in `baselines`"));
        } else if let Some(coarse) = coarse(&steps, key) {
            notes.push(coarse);
        }
    }
    let duration_ms = steps.iter().map(|step| step.duration_ms).sum();
    RolloutPreview { spec, units_per_minute, baselines, steps, duration_ms, notes }
}

/// That a gate finds nothing small at the first step at which it is asked.
fn coarse(steps: &[StepPreview], key: &str) -> Option<String> {
    let first = steps.iter().find_map(|step| Some((step.share, step.gates.iter().find(|gate| gate.gate == key)?)))?;
    let (share, gate) = first;
    let share = f64::from(share) / 1_000.0;
    match gate.detectable {
        None => Some(format!("`{key}`: at {share} % there is too little traffic to find anything within the step")),
        Some(ratio) if ratio > COARSE => Some(format!(
            "`{key}`: at {share} % it only finds what gets {ratio:.1} times as bad; a longer bake finds less"
        )),
        Some(_) => None,
    }
}

fn usual_spread() -> f64 {
    0.5
}

#[cfg(test)]
mod tests {
    use tidegate_rollout::OnHarm;

    use super::*;

    fn gated() -> Spec {
        Spec::new(Spec::default().steps().to_vec(), vec![Gate::named("errors")], OnHarm::RollBack).unwrap()
    }

    #[test]
    fn more_traffic_finds_less() {
        let rate = |rate| BTreeMap::from([("errors".to_owned(), GateBaseline { rate, spread: 0.5 })]);
        let detectable = |units, baselines| {
            let preview = expected(gated(), Some(units), baselines);
            (preview.steps.first().unwrap().gates.first().unwrap().detectable, preview.notes.len())
        };
        let (little, n_notes) = detectable(60.0, rate(0.01));
        assert!(little.is_none_or(|ratio| ratio > COARSE) && n_notes == 1, "{little:?}");
        let (much, n_notes) = detectable(60_000.0, rate(0.01));
        assert!(much.unwrap() < 1.6 && n_notes == 0, "{much:?}");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let preview = expected(gated(), None, BTreeMap::new());
        assert_eq!(preview.notes.len(), 2, "{:?}", preview.notes);
        assert!(preview.steps.iter().all(|step| step.gates.is_empty()));
        assert!(preview.steps.iter().all(|step| step.units.abs() < 1e-9), "{preview:?}");
        assert_eq!(preview.duration_ms, None);
    }
}
