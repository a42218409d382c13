//! How often applications were served each variant lately, for people: as this process heard of it.

use std::collections::{BTreeMap, VecDeque};

use dashmap::DashMap;
use serde::Serialize;
use tidegate_core::Timestamp;
use tidegate_protocol::events::{EventBatch, Exposure};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal,
    access::{Action, authorize},
    flags::flag_id,
    model::Flag,
    moment::Moment,
};
use crate::ports::store::EnvironmentId;

/// What was heard, by environment and flag.
#[derive(Debug, Default)]
pub struct Insights(DashMap<EnvironmentId, BTreeMap<String, Served>>);

/// What one flag served.
#[derive(Debug, Default)]
struct Served {
    last_at: Timestamp,
    /// From the oldest; minutes without anything are left out.
    minutes: VecDeque<Minute>,
}

#[derive(Debug)]
struct Minute {
    /// Since 1970.
    number: i64,
    by_variant: BTreeMap<String, u64>,
    by_rule: BTreeMap<String, u64>,
}

/// How often a flag was served lately, as the server that is asked heard of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagInsights {
    /// When it was served last; absent: it was not since this server started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Moment>,
    /// The last hour, from the oldest; minutes without anything are left out.
    pub minutes: Vec<ServedMinute>,
    /// How many evaluations of that hour each rule decided, by its id: to how many it applied. The others were decided by targets, by the
    /// default, or by the flag being off.
    pub rules: BTreeMap<String, u64>,
}

/// What a flag served within a minute.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServedMinute {
    /// When it began.
    pub at: Moment,
    /// How many evaluations had which variant; "" is the caller's own default.
    pub variants: BTreeMap<String, u64>,
}

/// When the flags of an environment were served last, as the server that is asked heard of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentInsights {
    /// By flag; absent: it was not served since this server started.
    pub last_at: BTreeMap<String, Moment>,
}

const MINUTE_MS: i64 = 60_000;

/// How many minutes are kept.
const MINUTES: i64 = 60;

impl Insights {
    /// What is in the batch was heard; of the exposures only those that `counts`, which are of flags and variants that are there, and of
    /// their rules `known_rule`.
    pub fn note<'b>(
        &self,
        environment: &EnvironmentId,
        batch: &'b EventBatch,
        counts: impl Fn(&Exposure) -> bool,
        known_rule: impl Fn(&'b Exposure) -> Option<&'b str>,
        now: Timestamp,
    ) {
        if batch.exposures.is_empty() {
            return;
        }
        let mut flags = self.0.entry(environment.clone()).or_default();
        for exposure in batch.exposures.iter().filter(|exposure| counts(exposure)) {
            let served = match flags.get_mut(&exposure.flag) {
                Some(served) => served,
                None => flags.entry(exposure.flag.clone()).or_default(),
            };
            served.note(exposure.variant.as_deref().unwrap_or_default(), known_rule(exposure), exposure.count, now);
        }
    }

    fn of_flag(&self, environment: &EnvironmentId, flag: &str, now: Timestamp) -> FlagInsights {
        let flags = self.0.get(environment);
        let Some(served) = flags.as_ref().and_then(|flags| flags.get(flag)) else {
            return FlagInsights { last_at: None, minutes: Vec::new(), rules: BTreeMap::new() };
        };
        let oldest = minute_of(now) - MINUTES;
        let mut rules = BTreeMap::new();
        let minutes = served.minutes.iter().filter(|minute| minute.number > oldest).map(|minute| {
            minute.by_rule.iter().for_each(|(rule, n)| add(&mut rules, rule, *n));
            ServedMinute {
                at: Moment(Timestamp(minute.number.saturating_mul(MINUTE_MS))),
                variants: minute.by_variant.clone(),
            }
        });
        FlagInsights { last_at: Some(Moment(served.last_at)), minutes: minutes.collect(), rules }
    }

    fn of_environment(&self, environment: &EnvironmentId) -> EnvironmentInsights {
        let flags = self.0.get(environment);
        let last_at = flags.iter().flat_map(|flags| flags.iter());
        EnvironmentInsights { last_at: last_at.map(|(flag, served)| (flag.clone(), Moment(served.last_at))).collect() }
    }
}

impl Served {
    fn note(&mut self, variant: &str, rule: Option<&str>, n: u64, now: Timestamp) {
        self.last_at = self.last_at.max(now);
        let number = minute_of(now);
        if self.minutes.back().is_none_or(|minute| minute.number < number) {
            self.minutes.push_back(Minute { number, by_variant: BTreeMap::new(), by_rule: BTreeMap::new() });
            self.minutes.retain(|minute| minute.number > number - MINUTES);
        }
        let Some(minute) = self.minutes.back_mut() else { return };
        add(&mut minute.by_variant, variant, n);
        if let Some(rule) = rule {
            add(&mut minute.by_rule, rule, n);
        }
    }
}

fn add(sums: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    match sums.get_mut(name) {
        Some(sum) => *sum = sum.saturating_add(n),
        None => drop(sums.insert(name.to_owned(), n)),
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(MINUTE_MS)
}

impl App {
    /// How often a flag was served in an environment lately.
    ///
    /// # Errors
    /// Where there is no such flag or environment, and of the database.
    pub async fn flag_insights(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        flag: &str,
    ) -> Result<FlagInsights, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        self.live::<Flag>(&flag_id(&environment.project, flag)).await?;
        Ok(self.insights.of_flag(environment, flag, self.clock.now()))
    }

    /// When the flags of an environment were served last.
    ///
    /// # Errors
    /// Where there is no such environment, and of the database.
    pub async fn environment_insights(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
    ) -> Result<EnvironmentInsights, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        Ok(self.insights.of_environment(environment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variants with an `n` were served by the rule `beta`.
    fn batch(served: &[(&str, &str, u64)]) -> EventBatch {
        let exposure = |(flag, variant, count): &(&str, &str, u64)| Exposure {
            flag: (*flag).to_owned(),
            variant: (!variant.is_empty()).then(|| (*variant).to_owned()),
            version: 1,
            unit: None,
            bucket: None,
            rule: variant.contains('n').then(|| "beta".to_owned()),
            count: *count,
            at: 0,
        };
        EventBatch { exposures: served.iter().map(exposure).collect(), ..EventBatch::default() }
    }

    #[test]
    fn an_hour_is_kept_minute_by_minute() {
        let environment = EnvironmentId { project: "shop".to_owned(), environment: "test".to_owned() };
        let insights = Insights::default();
        let at = |minute: i64| Timestamp(minute * MINUTE_MS + 5_000);
        let note = |minute, served: &[(&str, &str, u64)]| {
            let counts = |exposure: &Exposure| exposure.flag != "gone";
            insights.note(&environment, &batch(served), counts, |exposure| exposure.rule.as_deref(), at(minute));
        };
        note(100, &[("checkout", "on", 3), ("checkout", "", 1), ("gone", "on", 9)]);
        note(100, &[("checkout", "on", 4), ("search", "off", 1)]);
        note(130, &[("checkout", "off", 2)]);
        let seen = |minute| {
            let FlagInsights { last_at, minutes, .. } = insights.of_flag(&environment, "checkout", at(minute));
            let minutes = minutes.into_iter().map(|it| (it.at.0.0 / MINUTE_MS, it.variants.into_iter().collect()));
            (last_at, minutes.collect::<Vec<(i64, Vec<(String, u64)>)>>())
        };
        let variant = |key: &str, n: u64| (key.to_owned(), n);
        let first = (100, vec![variant("", 1), variant("on", 7)]);
        let second = (130, vec![variant("off", 2)]);
        assert_eq!(seen(159), (Some(Moment(at(130))), vec![first, second.clone()]));
        let by_rule = |minute| insights.of_flag(&environment, "checkout", at(minute)).rules;
        assert_eq!((by_rule(159), by_rule(160)), ([("beta".to_owned(), 7)].into(), [].into()));
        assert_eq!(seen(160), (Some(Moment(at(130))), vec![second]));
        assert_eq!(seen(900), (Some(Moment(at(130))), vec![]));
        let flags: Vec<_> = insights.of_environment(&environment).last_at.into_keys().collect();
        assert_eq!(flags, ["checkout", "search"]);
        let nothing = insights.of_flag(&environment, "gone", at(130));
        assert_eq!(nothing, FlagInsights { last_at: None, minutes: vec![], rules: [].into() });
    }
}
