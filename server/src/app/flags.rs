//! Flags: what they have in common in all environments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::{
    Change, CompileIssue, FlagKey, Ruleset, VariantKey,
    config::{FlagKind, Serve, Split},
};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    commit::judged,
    configurations::{Configured, configuration_id},
    documents::{self, Stored, id_of},
    draft::Draft,
    input::{self, Patchable},
    limits,
    model::{Flag, FlagEnvironment, FlagVariant, Project},
    projects::{project_id, require_project},
    resource::{Listed, Resource},
    rulesets::{judge, told},
    wire::wire_flag,
};
use crate::ports::store::{
    Document, DocumentId, DocumentKind, DocumentQuery, EnvironmentId, EnvironmentSnapshot, TouchedKind,
};

/// Makes a flag: disabled in every environment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateFlag {
    /// Names it within the project for ever.
    pub key: FlagKey,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// For finding it, and for killing all flags with a tag at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it is meant to stay, like a kill switch: it is never called ready to clean up.
    #[serde(default)]
    pub permanent: bool,
    /// What kind of value every variant has.
    pub kind: FlagKind,
    /// At least one; a boolean flag may leave them out and gets `on` and `off`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<FlagVariant>,
    /// What it serves where it is off. Absent: the caller's default, for a boolean flag the variant that is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_variant: Option<VariantKey>,
    /// What it serves where it is on. Absent: the first variant, for a boolean flag the one that is `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_variant: Option<VariantKey>,
}

/// Which flags of a project are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagFilter {
    /// Only those with this text in their key, name or description, in any case.
    pub search: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only the archived ones, instead of only the live ones.
    pub archived: bool,
}

/// A flag, and how it stands in each environment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagItem {
    /// The flag.
    #[serde(flatten)]
    pub flag: Resource<Flag>,
    /// By the environment's key.
    pub environments: BTreeMap<String, FlagStatus>,
}

/// How a flag stands in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagStatus {
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether it is killed.
    pub killed: bool,
    /// The version of its configuration, for `If-Match`; 0 where it was never configured.
    pub version: u64,
    /// What it serves, in a few words.
    pub summary: String,
    /// The id of the rollout that moves it; absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// What is wrong, where its configuration cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

const PATCHABLE: Patchable = Patchable {
    fields: &["name", "description", "tags", "permanent", "variants", "offVariant", "defaultVariant"],
    fixed: &[
        ("key", "a flag's key never changes: create another flag and archive this one"),
        ("kind", "a flag's kind never changes: create another flag and archive this one"),
        ("salt", "a flag's salt never changes: every unit would draw a new bucket"),
    ],
};

/// How many documents a list reads at a time.
const CHUNK: u32 = 1_000;

impl CreateFlag {
    /// The flag as it is stored: tags sorted, what was left out filled in.
    fn into_flag(self, salt: String) -> Result<Flag, AppError> {
        let Self {
            key: _,
            name,
            description,
            tags,
            permanent,
            kind,
            mut variants,
            mut off_variant,
            mut default_variant,
        } = self;
        if kind == FlagKind::Boolean {
            if variants.is_empty() {
                variants = boolean_variants()?;
            }
            let serves = |value: bool| {
                variants.iter().find(|variant| variant.value == Json::Bool(value)).map(|variant| variant.key.clone())
            };
            off_variant = off_variant.or_else(|| serves(false));
            default_variant = default_variant.or_else(|| serves(true));
        }
        let Some(default_variant) = default_variant.or_else(|| variants.first().map(|variant| variant.key.clone()))
        else {
            return Err(AppError::invalid("/variants", "a flag has at least one variant"));
        };
        let flag = Flag { name, description, tags, permanent, kind, variants, off_variant, default_variant, salt };
        Ok(tidy(flag))
    }
}

fn boolean_variants() -> Result<Vec<FlagVariant>, AppError> {
    [("on", true), ("off", false)]
        .into_iter()
        .map(|(key, value)| {
            let key = VariantKey::new(key).map_err(|error| AppError::invalid("/variants", error.to_string()))?;
            Ok(FlagVariant { key, value: Json::Bool(value), name: None })
        })
        .collect()
}

/// Tags sorted, without repeats.
fn tidy(mut flag: Flag) -> Flag {
    flag.tags = flag.tags.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    flag
}

impl App {
    /// The flags of a project, each with how it stands in every environment.
    ///
    /// Reads the project's flags until the page is full, and per environment the configurations of that range of keys.
    pub async fn list_flags(
        &self,
        principal: &Principal,
        project: &str,
        filter: &FlagFilter,
        page: &PageRequest,
    ) -> Result<Page<Listed<FlagItem>>, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        self.live::<Project>(&project_id(project)).await?;
        let documents = self.matching_flags(project, filter, page).await?;
        let page_of_flags = Page::cut(documents, page.limit, |document| document.id.key.clone());
        let Some(last) = page_of_flags.items.last().map(|document| document.id.key.clone()) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let mut environments = Vec::new();
        for environment in self.environments_of(project).await? {
            let configurations = self.configurations_in(&environment, page.after.clone(), &last).await?;
            environments.push((environment, configurations));
        }
        Ok(page_of_flags.map(|document| list_item(&document, &environments)))
    }

    /// The flags that match, as far as the page and one more.
    pub(super) async fn matching_flags(
        &self,
        project: &str,
        filter: &FlagFilter,
        page: &PageRequest,
    ) -> Result<Vec<Document>, AppError> {
        let wanted = page.limit as usize + 1;
        let mut after = page.after.clone();
        let mut matching = Vec::new();
        loop {
            let chunk = self.store.documents(&chunk_of(DocumentKind::Flag, project, after, filter.archived)).await?;
            let is_last = chunk.len() < CHUNK as usize;
            after = chunk.last().map(|document| document.id.key.clone());
            matching.extend(chunk.into_iter().filter(|document| filter.matches(document)));
            if is_last || matching.len() >= wanted {
                matching.truncate(wanted);
                return Ok(matching);
            }
        }
    }

    /// The configurations in one environment of the flags after `after` and up to `last`.
    async fn configurations_in(
        &self,
        environment: &EnvironmentId,
        mut after: Option<String>,
        last: &str,
    ) -> Result<HashMap<String, Document>, AppError> {
        let scope = environment.scope();
        let mut configurations = HashMap::new();
        loop {
            let query = chunk_of(DocumentKind::FlagEnvironment, &scope, after, false);
            let chunk = self.store.documents(&query).await?;
            let is_last = chunk.len() < CHUNK as usize;
            after = chunk.last().map(|document| document.id.key.clone());
            let passed = after.as_deref().is_some_and(|key| key >= last);
            configurations.extend(chunk.into_iter().map(|document| (document.id.key.clone(), document)));
            if is_last || passed {
                return Ok(configurations);
            }
        }
    }

    /// One flag, archived or not.
    pub async fn flag(&self, principal: &Principal, project: &str, key: &str) -> Result<Resource<Flag>, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        let id = flag_id(project, key);
        let document = self.store.document(&id).await?.ok_or_else(|| AppError::not_found(&id))?;
        Ok(documents::read::<Flag>(&document)?.into())
    }

    /// Makes a flag.
    pub async fn create_flag(
        &self,
        request: &Request,
        project: &str,
        command: CreateFlag,
    ) -> Result<Resource<Flag>, AppError> {
        authorize(&request.principal, Action::Edit, Some(project))?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        let key = command.key.clone();
        let flag = command.into_flag(self.new_salt())?;
        limits::check_flag(&flag)?;
        check_new_flag(&key, &flag)?;
        self.live::<Project>(&project_id(project)).await?;
        let id = flag_id(project, key.as_str());
        self.check_free(&id).await?;
        let environments = self.environments_of(project).await?;

        let mut draft = Draft::new(self, request);
        require_project(&mut draft, project);
        let created = Resource::from(draft.create(id, flag, "flag.create"));
        for environment in &environments {
            draft.touch(environment, TouchedKind::Flag, key.as_str());
        }
        self.commit(request, draft.into_creation(&created)).await?;
        Ok(created)
    }

    /// Changes a flag's name, description, tags or variants. New variants must fit every environment's configuration.
    pub async fn update_flag(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<Resource<Flag>, AppError> {
        authorize(&request.principal, Action::Edit, Some(project))?;
        limits::check_reason(&request.reason)?;
        let before: Stored<Flag> = self.live(&flag_id(project, key)).await?;
        before.check_version(expected)?;
        let after = tidy(input::patch(&before.body, patch, &PATCHABLE)?);
        limits::check_flag(&after)?;
        if after == before.body {
            return Ok(before.into());
        }

        let mut draft = Draft::new(self, request);
        self.draft_flag_update(&mut draft, project, &before, &after, None).await?;
        let updated = draft.update(&before, after, "flag.update");
        self.commit(request, draft.into_commit()).await?;
        Ok(updated.into())
    }

    /// Touches every environment, and, where the flag's variants change, checks that each configuration still compiles.
    /// `but` is an environment that the caller checks itself.
    pub(super) async fn draft_flag_update(
        &self,
        draft: &mut Draft<'_>,
        project: &str,
        before: &Stored<Flag>,
        after: &Flag,
        but: Option<&EnvironmentId>,
    ) -> Result<(), AppError> {
        let key = &before.id.key;
        check_new_flag(&flag_key(key)?, after)?;
        for environment in self.environments_of(project).await? {
            draft.touch(&environment, TouchedKind::Flag, key);
            if serves_alike(&before.body, after) || but == Some(&environment) {
                continue;
            }
            let configured = self.configured(&environment, before.clone()).await?;
            let compiled = self.ruleset(&environment).await?;
            check_variants(&compiled.ruleset, &configured, after)?;
            draft.require(configuration_id(&environment, key), configured.expected());
        }
        Ok(())
    }

    /// Archives a flag that no other flag needs: it answers nobody any more, and its key is never used again.
    pub async fn archive_flag(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        judged(|| self.judge_archiving_flag(request, project, key, expected)).await
    }

    async fn judge_archiving_flag(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        authorize(&request.principal, Action::Edit, Some(project))?;
        limits::check_reason(&request.reason)?;
        let id = flag_id(project, key);
        let document = self.live_document(&id).await?;
        documents::check_version(&id, document.version, expected)?;

        let mut draft = Draft::new(self, request);
        for environment in self.environments_of(project).await? {
            let snapshot = self.store.environment_snapshot(&environment).await?;
            draft.judged_at(&environment, snapshot.revision);
            let dependents = flags_that_need(&snapshot, key);
            if !dependents.is_empty() {
                let detail = format!(
                    "flag `{key}` is a prerequisite of {} in `{}`: take it out there first",
                    dependents.join(", "),
                    environment.environment
                );
                return Err(AppError::InUse { detail });
            }
            let configuration = self.store.document(&configuration_id(&environment, key)).await?;
            let stored = configuration.as_ref().and_then(|document| documents::read::<FlagEnvironment>(document).ok());
            if let Some(rollout) = stored.and_then(|stored| stored.body.rollout) {
                let environment = &environment.environment;
                let detail =
                    format!("the rollout `{rollout}` moves flag `{key}` in `{environment}`: roll it back first");
                return Err(AppError::InUse { detail });
            }
            draft.touch(&environment, TouchedKind::Flag, key);
        }
        draft.archive_document(&document, "flag.archive");
        self.commit(request, draft.into_commit()).await?;
        Ok(())
    }

    /// 128 random bits, as hex digits.
    pub(super) fn new_salt(&self) -> String {
        let mut bytes = [0; 16];
        self.ids.fill(&mut bytes);
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

fn chunk_of(kind: DocumentKind, scope: &str, after: Option<String>, include_archived: bool) -> DocumentQuery {
    DocumentQuery { kind, scope: scope.to_owned(), after, limit: CHUNK, include_archived }
}

/// The address of a flag.
pub(super) fn flag_id(project: &str, key: &str) -> DocumentId {
    id_of::<Flag>(project, key)
}

/// The key of a stored flag.
pub(super) fn flag_key(key: &str) -> Result<FlagKey, AppError> {
    FlagKey::new(key).map_err(|error| AppError::invalid("/key", error.to_string()))
}

/// Whether evaluations cannot tell the two apart.
fn serves_alike(before: &Flag, after: &Flag) -> bool {
    let values = |flag: &Flag| -> Vec<(VariantKey, Json)> {
        flag.variants.iter().map(|variant| (variant.key.clone(), variant.value.clone())).collect()
    };
    before.off_variant == after.off_variant
        && before.default_variant == after.default_variant
        && values(before) == values(after)
}

/// The flag alone compiles: its variants are of its kind, and those it names are there.
pub(super) fn check_new_flag(key: &FlagKey, flag: &Flag) -> Result<(), AppError> {
    let config = wire_flag(key, flag, &flag.initial_configuration(""), 0);
    let verdict = judge(&Ruleset::default(), vec![Change::PutFlag(config)]);
    refuse(verdict.stopping, |mut issue| {
        if issue.path.starts_with("/default") {
            "/defaultVariant".clone_into(&mut issue.path);
        }
        issue
    })
}

/// The flag with new variants compiles in one environment, and so does whatever needs it there.
fn check_variants(ruleset: &Ruleset, configured: &Configured, after: &Flag) -> Result<(), AppError> {
    if configured.broken.is_some() {
        return Ok(());
    }
    let environment = &configured.environment.environment;
    let configuration = match configured.document {
        Some(_) => configured.body.clone(),
        None => after.initial_configuration(environment),
    };
    let config = wire_flag(&flag_key(&configured.flag.id.key)?, after, &configuration, 0);
    refuse(judge(ruleset, vec![Change::PutFlag(config)]).stopping, |issue| {
        let message = format!("in `{environment}`, {}", told(&issue));
        CompileIssue { path: "/variants".to_owned(), message, ..issue }
    })
}

/// Refuses a change that has issues, each put in the place of the request's body that it comes from.
pub(super) fn refuse(
    issues: Vec<CompileIssue>,
    place: impl FnMut(CompileIssue) -> CompileIssue,
) -> Result<(), AppError> {
    if issues.is_empty() {
        return Ok(());
    }
    Err(AppError::DoesNotCompile { issues: issues.into_iter().map(place).collect() })
}

impl FlagFilter {
    /// Whether the flag is wanted. A broken one matches by its key, so that it can be found.
    fn matches(&self, document: &Document) -> bool {
        if document.archived != self.archived {
            return false;
        }
        let contains = |text: &str, search: &str| text.to_lowercase().contains(&search.to_lowercase());
        let found = |flag: Option<&Flag>| match &self.search {
            None => true,
            Some(search) => {
                contains(&document.id.key, search)
                    || flag.is_some_and(|flag| contains(&flag.name, search) || contains(&flag.description, search))
            }
        };
        let tagged = |flag: Option<&Flag>| match &self.tag {
            None => true,
            Some(tag) => flag.is_some_and(|flag| flag.tags.contains(tag)),
        };
        let flag = documents::read::<Flag>(document).ok().map(|stored| stored.body);
        found(flag.as_ref()) && tagged(flag.as_ref())
    }
}

/// The flags of an environment that have a flag for a prerequisite, as people read them.
fn flags_that_need(snapshot: &EnvironmentSnapshot, key: &str) -> Vec<String> {
    let needs = |document: &Document| {
        documents::read::<FlagEnvironment>(document)
            .is_ok_and(|stored| stored.body.prerequisite_keys().any(|needed| needed.as_str() == key))
    };
    let configurations = snapshot.flags.iter().filter_map(|(_, configuration)| configuration.as_ref());
    configurations.filter(|document| needs(document)).map(|document| format!("`{}`", document.id.key)).collect()
}

fn list_item(document: &Document, environments: &[(EnvironmentId, HashMap<String, Document>)]) -> Listed<FlagItem> {
    let stored = match documents::read::<Flag>(document) {
        Ok(stored) => stored,
        Err(broken) => return Listed::Broken(broken.into()),
    };
    let statuses = environments.iter().map(|(environment, configurations)| {
        let configuration = configurations.get(&document.id.key);
        (environment.environment.clone(), FlagStatus::of(&stored.body, &environment.environment, configuration))
    });
    Listed::Whole(FlagItem { environments: statuses.collect(), flag: stored.into() })
}

impl FlagStatus {
    fn of(flag: &Flag, environment: &str, configuration: Option<&Document>) -> Self {
        let version = configuration.map_or(0, |document| document.version);
        match configuration.map(documents::read::<FlagEnvironment>) {
            Some(Err(broken)) => Self {
                enabled: false,
                killed: false,
                version,
                summary: "broken: everybody gets the caller's default".to_owned(),
                rollout: None,
                broken: Some(broken.to_string()),
            },
            Some(Ok(stored)) => Self::whole(&stored.body, version),
            None => Self::whole(&flag.initial_configuration(environment), version),
        }
    }

    fn whole(configuration: &FlagEnvironment, version: u64) -> Self {
        Self {
            enabled: configuration.enabled,
            killed: configuration.kill.is_some(),
            version,
            summary: summary(configuration),
            rollout: configuration.rollout.clone(),
            broken: None,
        }
    }
}

/// What a configuration serves, in a few words.
fn summary(configuration: &FlagEnvironment) -> String {
    if configuration.kill.is_some() {
        return "killed".to_owned();
    }
    if !configuration.enabled {
        return "off".to_owned();
    }
    let counted = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let n_targets = configuration.targets.iter().map(|target| target.values.len()).sum();
    let mut parts: Vec<String> = [
        counted(configuration.prerequisites.len(), "prerequisite"),
        counted(n_targets, "target"),
        counted(configuration.rules.len(), "rule"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let otherwise = if parts.is_empty() { "" } else { "else " };
    parts.push(format!("{otherwise}{}", serve_summary(&configuration.default)));
    parts.join(", ")
}

fn serve_summary(serve: &Serve) -> String {
    let distribution = match serve {
        Serve::Variant(variant) => return variant.to_string(),
        Serve::Distribution(distribution) => distribution,
    };
    let mut shares: Vec<(&VariantKey, u32)> = Vec::new();
    let mut add = |variant, buckets| match shares.iter_mut().find(|(known, _)| *known == variant) {
        Some((_, share)) => *share += buckets,
        None => shares.push((variant, buckets)),
    };
    match &distribution.split {
        Split::Weights(weights) => {
            for weight in weights {
                add(&weight.variant, weight.weight);
            }
        }
        Split::Ranges(ranges) => {
            for range in ranges {
                add(&range.variant, range.end.saturating_sub(range.start));
            }
        }
    }
    let split: Vec<String> = shares.iter().map(|(variant, share)| format!("{variant} {} %", percent(*share))).collect();
    match &distribution.rollout {
        None => split.join(" / "),
        Some(rollout) => format!("{} % of units: {}", percent(rollout.share), split.join(" / ")),
    }
}

/// A number of buckets as percent, without trailing zeros: 12,345 is `12.345`.
fn percent(buckets: u32) -> String {
    let text = format!("{}.{:03}", buckets / 1_000, buckets % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_summary(fields: &Json, expected: &str) {
        let mut configuration = json!({"enabled": true, "default": {"variant": "on"}, "salt": "s"});
        configuration.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(summary(&serde_json::from_value(configuration).unwrap()), expected);
    }

    #[test]
    fn a_summary_says_what_is_served() {
        check_summary(&json!({}), "on");
        check_summary(&json!({"enabled": false}), "off");
        check_summary(&json!({"kill": {"reason": "fire", "actorName": "Ada", "at": 0}}), "killed");
        check_summary(
            &json!({
                "targets": [{"variant": "off", "values": ["a", "b"]}],
                "rules": [{"serve": {"variant": "on"}}],
                "default": {"distribution": {"rollout": {"share": 5_000}, "ranges": [
                    {"start": 0, "end": 12_345, "variant": "on"},
                    {"start": 12_345, "end": 50_000, "variant": "off"},
                    {"start": 50_000, "end": 100_000, "variant": "on"},
                ]}},
            }),
            "2 targets, 1 rule, else 5 % of units: on 62.345 % / off 37.655 %",
        );
    }

    fn create(kind: &str) -> CreateFlag {
        serde_json::from_value(json!({"key": "k", "name": "K", "kind": kind, "tags": ["b", "a", "b"]})).unwrap()
    }

    #[test]
    fn a_boolean_flag_needs_no_variants() {
        let flag = create("boolean").into_flag("salt".to_owned()).unwrap();
        assert_eq!(flag.tags, ["a", "b"]);
        assert_eq!(flag.default_variant.as_str(), "on");
        assert_eq!(flag.off_variant.unwrap().as_str(), "off");
        assert!(matches!(create("string").into_flag(String::new()),
            Err(AppError::Invalid { field, .. }) if field == "/variants"));
    }
}
