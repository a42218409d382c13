//! Configurations: what a flag does in one environment.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use serde_json::Value as Json;
use tidegate_core::{
    Change, CompileIssue, FlagKey, VariantKey,
    bucket::BUCKETS,
    config::{Availability, BucketRange, Distribution, Prerequisite, Rule, Serve, Split, Target},
    distribution::reweight,
};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal, Request,
    access::{Action, authorize},
    commit::judged,
    documents::{self, BrokenDocument, Stored, id_of},
    draft::Draft,
    flags::{flag_id, flag_key, refuse},
    input::{self, Patchable},
    limits,
    model::{Flag, FlagEnvironment, Kill},
    moment::Moment,
    projects::environment_id,
    resource::FieldChange,
    rollouts,
    rulesets::{judge, told},
    segments::segments_used,
    wire::{wire_flag, wire_version},
};
use crate::ports::store::{Document, DocumentId, EnvironmentId, Expected, StoreError, TouchedKind};

/// A flag's configuration in one environment, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The flag's key.
    pub flag: FlagKey,
    /// The environment's key.
    pub environment: String,
    /// Send it as `If-Match` with a change; 0 where the flag was never configured here.
    pub version: u64,
    /// The version that evaluations and SDKs report: grows with the flag's changes as well.
    pub snapshot_version: u64,
    /// When it last changed; absent where the flag was never configured here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Moment>,
    /// A disabled flag serves its off variant to everybody.
    pub enabled: bool,
    /// Whether the flag is killed: everybody gets the off variant.
    pub killed: bool,
    /// Who killed it, when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill: Option<KillState>,
    /// What a disabled or killed flag serves; absent: the caller's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_variant: Option<VariantKey>,
    /// All must hold, else the off variant is served.
    pub prerequisites: Vec<Prerequisite>,
    /// Individual targeting keys, before any rule.
    pub targets: Vec<Target>,
    /// Tried in order.
    pub rules: Vec<Rule>,
    /// What is served where no target and no rule matched.
    pub default: Serve,
    /// What client keys may see of the flag.
    pub availability: Availability,
    /// Decides which bucket a unit falls into; never changes.
    pub salt: String,
    /// The id of the rollout that moves the default; absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The id of the rollout that is through, and whose gates kill the flag where they find harm; absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// What compiling it finds; none of it stops the flag from being saved.
    pub issues: Vec<CompileIssue>,
    /// What is wrong with the stored configuration, where it cannot be read. The other fields are then what a change
    /// starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// For a dry run: what would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<FieldChange>>,
}

/// Who killed a flag, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillState {
    /// Why.
    pub reason: String,
    /// Who.
    pub actor_name: String,
    /// When.
    pub at: Moment,
}

/// What a change does with the rollout that moves the flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderRollout {
    /// A change of what is served to whom is refused.
    Refuse,
    /// The rollout ends, and another begins anew with the changed flag.
    Restart,
}

/// A change of a flag's configuration.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationChange<'a> {
    /// The version that the caller read.
    pub expected: u64,
    /// A JSON merge patch.
    pub patch: &'a Json,
    /// Whether it is carried out.
    pub mode: Mode,
    /// What becomes of the rollout that moves the flag.
    pub under_rollout: UnderRollout,
}

/// Whether a change is carried out or only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carried out.
    Commit,
    /// Shown: nothing is written.
    DryRun,
}

const PATCHABLE: Patchable = Patchable {
    fields: &["enabled", "offVariant", "prerequisites", "targets", "rules", "default", "availability"],
    fixed: &[
        ("salt", "a salt never changes: every unit would draw a new bucket"),
        ("killed", "kill and restore flags with the environment's `kill` and `restore`: both need a reason"),
        ("kill", "kill and restore flags with the environment's `kill` and `restore`: both need a reason"),
        ("guard", "start, move and end rollouts with the environment's `rollouts`"),
        ("rollout", "start, move and end rollouts with the environment's `rollouts`"),
        ("version", "send the version as `If-Match`"),
        ("variants", "variants are the same in all environments: change them on the flag"),
    ],
};

/// A flag and its stored configuration in one environment.
#[derive(Clone, Debug)]
pub(super) struct Configured {
    /// The environment.
    pub environment: EnvironmentId,
    /// The flag.
    pub flag: Stored<Flag>,
    /// The configuration's document, where it was ever stored.
    pub document: Option<Document>,
    /// The configuration; where there is none, or it cannot be read, the one that a change starts from.
    pub body: FlagEnvironment,
    /// Why the stored configuration cannot be read.
    pub broken: Option<BrokenDocument>,
}

impl Configured {
    pub fn new(environment: &EnvironmentId, flag: Stored<Flag>, document: Option<Document>) -> Self {
        let initial = || flag.body.initial_configuration(&environment.environment);
        let (body, broken) = match document.as_ref().map(documents::read::<FlagEnvironment>) {
            None => (initial(), None),
            Some(Ok(stored)) => (stored.body, None),
            Some(Err(broken)) => (initial(), Some(broken)),
        };
        Self { environment: environment.clone(), flag, document, body, broken }
    }

    /// The configuration's version; 0 where it was never stored.
    pub fn version(&self) -> u64 {
        self.document.as_ref().map_or(0, |document| document.version)
    }

    /// That nobody changes it in between.
    pub fn expected(&self) -> Expected {
        expected_of(self.document.as_ref())
    }

    /// The caller read this version.
    fn check_version(&self, expected: u64) -> Result<(), AppError> {
        if self.version() == expected {
            return Ok(());
        }
        let id = configuration_id(&self.environment, &self.flag.id.key);
        let actual = Some(self.version());
        Err(StoreError::Conflict { id, expected: Expected::Version(expected), actual }.into())
    }

    /// The flag with another configuration.
    fn put(&self, key: &FlagKey, body: &FlagEnvironment) -> Change {
        Change::PutFlag(wire_flag(key, &self.flag.body, body, wire_version(self.flag.version, self.version())))
    }

    /// What the API shows of it.
    fn into_view(self, key: FlagKey, issues: Vec<CompileIssue>) -> Configuration {
        let Self { environment, flag, document, body, broken } = self;
        let version = document.as_ref().map_or(0, |document| document.version);
        let FlagEnvironment {
            enabled,
            kill,
            off_variant,
            prerequisites,
            targets,
            rules,
            default,
            availability,
            salt,
            rollout,
            guard,
        } = body;
        Configuration {
            flag: key,
            environment: environment.environment,
            version,
            snapshot_version: wire_version(flag.version, version),
            updated_at: document.map(|document| Moment(document.updated_at)),
            enabled,
            killed: kill.is_some(),
            kill: kill.map(|Kill { reason, actor_name, at }| KillState { reason, actor_name, at: Moment(at) }),
            off_variant,
            prerequisites,
            targets,
            rules,
            default,
            availability,
            salt,
            rollout,
            guard,
            issues,
            broken: broken.map(|broken| broken.to_string()),
            changes: None,
        }
    }
}

impl App {
    /// A flag's configuration in one environment.
    pub async fn configuration(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        flag: &str,
    ) -> Result<Configuration, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        let configured = self.configured(environment, self.live(&flag_id(&environment.project, flag)).await?).await?;
        let key = flag_key(flag)?;
        let compiled = self.ruleset(environment).await?;
        let issues = compiled.ruleset.issues().filter(|issue| is_about_flag(issue, flag)).cloned().collect();
        Ok(configured.into_view(key, issues))
    }

    /// Changes a flag's configuration in one environment.
    ///
    /// A configuration that cannot be read is repaired by changing it: the change then starts from the flag's first
    /// configuration, disabled.
    pub async fn configure(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        flag: &str,
        expected: u64,
        patch: &Json,
        mode: Mode,
    ) -> Result<Configuration, AppError> {
        let change = ConfigurationChange { expected, patch, mode, under_rollout: UnderRollout::Refuse };
        self.change_configuration(request, environment, flag, change).await
    }

    /// The same, saying what becomes of the rollout that moves the flag.
    pub async fn change_configuration(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        flag: &str,
        change: ConfigurationChange<'_>,
    ) -> Result<Configuration, AppError> {
        judged(|| self.judge_configuration(request, environment, flag, change)).await
    }

    async fn judge_configuration(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        flag: &str,
        change: ConfigurationChange<'_>,
    ) -> Result<Configuration, AppError> {
        let ConfigurationChange { expected, patch, mode, under_rollout } = change;
        authorize(&request.principal, Action::Edit, Some(&environment.project))?;
        limits::check_reason(&request.reason)?;
        self.live_environment(environment).await?;
        let flag_document = self.live(&flag_id(&environment.project, flag)).await?;
        let before = self.configured(environment, flag_document).await?;
        before.check_version(expected)?;
        let key = flag_key(flag)?;

        let asked_for = name_rules(input::patch(&before.body, patch, &PATCHABLE)?);
        limits::check_configuration(&asked_for)?;
        rollouts::check_rule_ids(&before.body, &asked_for)?;
        let (asked_for, restart) = match rollouts::check_lock(&before.body, &asked_for) {
            Ok(()) => (asked_for, None),
            Err(refused) if under_rollout == UnderRollout::Refuse => return Err(refused),
            Err(_) => self.restart_with(environment, &before.body, asked_for).await?,
        };
        let compiled = self.ruleset(environment).await?;
        let verdict = judge(&compiled.ruleset, vec![before.put(&key, &asked_for)]);
        refuse(verdict.stopping, |issue| place(issue, flag))?;
        let after = settle(&before.body, asked_for)?;
        let issues: Vec<_> = verdict.standing.into_iter().filter(|issue| is_about_flag(issue, flag)).collect();

        let changes = FieldChange::between(&before.body, &after);
        let is_same = changes.is_empty() && before.broken.is_none();
        if mode == Mode::DryRun {
            let version = before.version();
            let mut view = Configured { body: after, broken: None, ..before }.into_view(key, issues);
            view.version = version;
            view.changes = Some(changes);
            return Ok(view);
        }
        if is_same {
            return Ok(before.into_view(key, issues));
        }

        let mut draft = Draft::new(self, request);
        draft.require(environment_id(&environment.project, &environment.environment), Expected::Live);
        // The configuration was compiled against these variants.
        draft.require(before.flag.id.clone(), Expected::Version(before.flag.version));
        if refers_to_more(&before.body, &after) {
            draft.judged_at(environment, compiled.revision);
        }
        let present = (before.document.as_ref(), &before.body);
        let stored = draft.configure(environment, flag, present, &after, "flag.configure");
        if let Some(restart) = restart {
            restart.enter(&mut draft, environment, &request.reason);
        }
        self.commit(request, draft.into_commit()).await?;
        Ok(Configured::new(environment, before.flag, Some(stored)).into_view(key, issues))
    }

    /// A flag with its configuration in one environment.
    pub(super) async fn configured(
        &self,
        environment: &EnvironmentId,
        flag: Stored<Flag>,
    ) -> Result<Configured, AppError> {
        let document = self.store.document(&configuration_id(environment, &flag.id.key)).await?;
        Ok(Configured::new(environment, flag, document))
    }
}

impl Draft<'_> {
    /// A flag's configuration in one environment: `before` is the document, where it was ever stored, and what was in
    /// force. Returns the document as it will be once committed.
    pub(super) fn configure(
        &mut self,
        environment: &EnvironmentId,
        flag: &str,
        before: (Option<&Document>, &FlagEnvironment),
        body: &FlagEnvironment,
        action: &str,
    ) -> Document {
        let id = configuration_id(environment, flag);
        let (before, effective) = before;
        let audit_before = before.map_or_else(|| documents::value(effective), documents::audit_document);
        self.put(id.clone(), expected_of(before), body, action, audit_before);
        self.touch(environment, TouchedKind::Flag, flag);
        Document {
            id,
            version: before.map_or(0, |document| document.version) + 1,
            archived: false,
            body: documents::write(body),
            created_at: before.map_or(self.at(), |document| document.created_at),
            updated_at: self.at(),
        }
    }
}

/// Whether the change refers to flags or segments that nothing here referred to before: these may go, or come to refer back, meanwhile.
fn refers_to_more(before: &FlagEnvironment, after: &FlagEnvironment) -> bool {
    let flags = |configuration: &FlagEnvironment| -> BTreeSet<String> {
        configuration.prerequisite_keys().map(|flag| flag.as_str().to_owned()).collect()
    };
    !flags(after).is_subset(&flags(before)) || !segments_of(after).is_subset(&segments_of(before))
}

fn segments_of(configuration: &FlagEnvironment) -> BTreeSet<&str> {
    configuration.rules.iter().flat_map(|rule| segments_used(&rule.conditions)).collect()
}

/// The address of a flag's configuration.
pub(super) fn configuration_id(environment: &EnvironmentId, flag: &str) -> DocumentId {
    id_of::<FlagEnvironment>(environment.scope(), flag)
}

fn expected_of(document: Option<&Document>) -> Expected {
    document.map_or(Expected::Absent, |document| Expected::Version(document.version))
}

pub(super) fn is_about_flag(issue: &CompileIssue, flag: &str) -> bool {
    issue.collection == "flags" && issue.key == flag
}

/// An issue of the flag itself has its path in the request's body; one of another flag is told in words.
fn place(issue: CompileIssue, flag: &str) -> CompileIssue {
    if is_about_flag(&issue, flag) {
        return issue;
    }
    let message = told(&issue);
    CompileIssue { path: String::new(), message, ..issue }
}

/// Gives each rule without an id the first free `rule-<n>`. The same rules get the same ids, so that a flag file without
/// ids can be applied again and again.
pub(super) fn name_rules(mut configuration: FlagEnvironment) -> FlagEnvironment {
    let mut taken: HashSet<String> = configuration.rules.iter().map(|rule| rule.id.clone()).collect();
    let mut n_named = 0;
    for rule in configuration.rules.iter_mut().filter(|rule| rule.id.is_empty()) {
        rule.id = loop {
            n_named += 1;
            let id = format!("rule-{n_named}");
            if taken.insert(id.clone()) {
                break id;
            }
        };
    }
    configuration
}

/// Turns weights into ranges, moving the fewest buckets away from where they are: a rule's from the stored rule with its
/// id, the default's from the stored default.
///
/// # Errors
/// [`AppError::Invalid`] where weights do not add up; `core::compile` says so before, where it is asked.
pub(super) fn settle(before: &FlagEnvironment, mut after: FlagEnvironment) -> Result<FlagEnvironment, AppError> {
    for (index, rule) in after.rules.iter_mut().enumerate() {
        let stored = before.rules.iter().find(|stored| stored.id == rule.id).map(|stored| &stored.serve);
        settle_serve(&format!("/rules/{index}/serve"), stored, &mut rule.serve)?;
    }
    settle_serve("/default", Some(&before.default), &mut after.default)?;
    Ok(after)
}

fn settle_serve(field: &str, before: Option<&Serve>, after: &mut Serve) -> Result<(), AppError> {
    let Serve::Distribution(after) = after else { return Ok(()) };
    let Split::Weights(weights) = &after.split else { return Ok(()) };
    let sum: u64 = weights.iter().map(|weight| u64::from(weight.weight)).sum();
    if sum != u64::from(BUCKETS) {
        let detail = format!("weights add up to {BUCKETS}; these add up to {sum}");
        return Err(AppError::invalid(format!("{field}/distribution/weights"), detail));
    }
    let previous = match before {
        Some(Serve::Distribution(before)) => same_buckets(before, after),
        _ => &[],
    };
    after.split = Split::Ranges(reweight(previous, weights));
    Ok(())
}

/// The ranges of `before`, where a unit has the same bucket in both.
fn same_buckets<'d>(before: &'d Distribution, after: &Distribution) -> &'d [BucketRange] {
    match &before.split {
        Split::Ranges(ranges)
            if before.salt == after.salt
                && before.bucket_by == after.bucket_by
                && before.algorithm == after.algorithm =>
        {
            ranges
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration(rules: &Json, default: &Json) -> FlagEnvironment {
        serde_json::from_value(json!({"salt": "s", "rules": rules, "default": default})).unwrap()
    }

    #[test]
    fn rules_without_an_id_get_the_same_one_each_time() {
        let serve = json!({"variant": "on"});
        let rules = json!([{"serve": serve}, {"id": "rule-1", "serve": serve}, {"serve": serve}]);
        let named = name_rules(configuration(&rules, &serve));
        let ids: Vec<&str> = named.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["rule-2", "rule-1", "rule-3"]);
        assert_eq!(name_rules(named.clone()), named);
    }

    #[test]
    fn weights_that_do_not_add_up_are_refused_by_their_field() {
        let before = configuration(&json!([]), &json!({"variant": "on"}));
        let rules = json!([{"id": "r", "serve": {"distribution": {"weights": [{"variant": "on", "weight": 99_999}]}}}]);
        let after = configuration(&rules, &json!({"variant": "on"}));
        assert!(matches!(settle(&before, after),
            Err(AppError::Invalid { field, .. }) if field == "/rules/0/serve/distribution/weights"));
    }
}
