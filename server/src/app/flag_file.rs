//! The declarative flag file: what an environment should be, compared with what it is, and made so in one commit.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::{
    Change, CompileIssue, FlagConfig, FlagFile, SegmentConfig,
    config::{Serve, Variant},
};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal, Request,
    access::{Action, authorize},
    commit::judged,
    configurations::{Configured, Mode, name_rules, settle},
    documents::{self, Stored},
    draft::Draft,
    flags::{flag_id, flag_key, refuse},
    limits,
    model::{Flag, FlagEnvironment, FlagVariant, Segment},
    projects::{environment_id, require_project},
    resource::Broken,
    rollouts,
    rulesets::{judge, told},
    segments::{self, segment_id, segment_key},
    wire::{flag_config, segment_config, wire_flag, wire_segment},
};
use crate::{
    audit::AuditEntry,
    ports::store::{Document, EnvironmentId, EnvironmentSnapshot, Expected, TouchedKind},
};

/// An environment as a flag file.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedFile {
    /// The file.
    #[serde(flatten)]
    pub file: FlagFile,
    /// Flags and segments that cannot be read, and are therefore not in the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
}

/// Makes an environment what a file says.
///
/// Versions and kill states in the file are not applied: the server counts versions, and people kill and restore. A salt
/// is taken over where the flag is new; an existing flag keeps its own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyFile {
    /// What the environment should be.
    pub file: FlagFile,
    /// Archive the flags (in the whole project) and segments that the file does not name.
    #[serde(default)]
    pub prune: bool,
}

/// What applying a file changed, or would change.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedFile {
    /// One for each resource; none: the environment is what the file says.
    pub changes: Vec<FileChange>,
    /// The environment's revision with these changes; absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// One resource's change.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// Like `flag/checkout`.
    pub resource: String,
    /// Like `flag.create`.
    pub action: String,
    /// What was there; null where there was nothing.
    #[schema(value_type = Option<Object>)]
    pub before: Json,
    /// What is there now; null where there is nothing.
    #[schema(value_type = Option<Object>)]
    pub after: Json,
}

impl App {
    /// The environment as a flag file.
    pub async fn flag_file(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
    ) -> Result<ExportedFile, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        let snapshot = self.store.environment_snapshot(environment).await?;
        Ok(export(environment, &snapshot))
    }

    /// Makes the environment what the file says, in one commit, or tells what that would change.
    pub async fn apply_file(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        command: &ApplyFile,
        mode: Mode,
    ) -> Result<AppliedFile, AppError> {
        judged(|| self.judge_file(request, environment, command, mode)).await
    }

    async fn judge_file(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        command: &ApplyFile,
        mode: Mode,
    ) -> Result<AppliedFile, AppError> {
        authorize(&request.principal, Action::Edit, Some(&environment.project))?;
        limits::check_reason(&request.reason)?;
        self.live_environment(environment).await?;
        let snapshot = self.store.environment_snapshot(environment).await?;
        self.check_tombstones(environment, &command.file, &snapshot).await?;

        let present = Present::new(environment, snapshot);
        let plan = Plan::new(&present, command, || self.new_salt())?;
        let compiled = self.ruleset(environment).await?;
        let verdict = judge(&compiled.ruleset, plan.compiled());
        refuse(verdict.stopping, |issue| place(issue, &command.file))?;

        let mut draft = self.draft_plan(request, environment, plan).await?;
        draft.judged_at(environment, compiled.revision);
        let changes = draft.entries().iter().map(FileChange::from).collect();
        if mode == Mode::DryRun {
            return Ok(AppliedFile { changes, revision: None });
        }
        if draft.is_empty() {
            return Ok(AppliedFile { changes, revision: Some(self.revision(environment).await?) });
        }
        let committed = self.commit(request, draft.into_commit()).await?;
        let revision = committed.revisions.iter().find(|(id, _)| id == environment).map(|(_, revision)| *revision);
        Ok(AppliedFile { changes, revision })
    }

    /// Refuses keys of archived flags and segments.
    async fn check_tombstones(
        &self,
        environment: &EnvironmentId,
        file: &FlagFile,
        snapshot: &EnvironmentSnapshot,
    ) -> Result<(), AppError> {
        let flags: HashSet<&str> = snapshot.flags.iter().map(|(flag, _)| flag.id.key.as_str()).collect();
        let segments: HashSet<&str> = snapshot.segments.iter().map(|segment| segment.id.key.as_str()).collect();
        let new_flags = file.flags.iter().map(|flag| flag.key.as_str()).filter(|key| !flags.contains(key));
        let new_segments = file.segments.iter().map(|it| it.key.as_str()).filter(|key| !segments.contains(key));
        let ids = new_flags
            .map(|key| flag_id(&environment.project, key))
            .chain(new_segments.map(|key| segment_id(environment, key)));
        for id in ids {
            self.check_free(&id).await?;
        }
        Ok(())
    }

    /// The plan as one commit, checked against the project's other environments.
    async fn draft_plan<'r>(
        &self,
        request: &'r Request,
        environment: &EnvironmentId,
        plan: Plan,
    ) -> Result<Draft<'r>, AppError> {
        let project = &environment.project;
        let environments = self.environments_of(project).await?;
        let mut draft = Draft::new(self, request);
        require_project(&mut draft, project);
        draft.require(environment_id(project, &environment.environment), Expected::Live);
        for SegmentStep { key, before, after } in &plan.segments {
            draft.touch(environment, TouchedKind::Segment, key);
            match (before, after) {
                (None, Some(after)) => {
                    draft.create(segment_id(environment, key), after.clone(), "segment.create");
                }
                (Some(before), Some(after)) => draft.replace(before, after, "segment.update"),
                (Some(before), None) => draft.archive_document(before, "segment.archive"),
                (None, None) => {}
            }
        }
        for step in &plan.flags {
            let key = step.config.key.as_str();
            match &step.before {
                None => {
                    draft.create(flag_id(project, key), step.flag.clone(), "flag.create");
                    touch_flag(&mut draft, &environments, key);
                }
                Some(before) if before.flag.body != step.flag => {
                    self.draft_flag_update(&mut draft, project, &before.flag, &step.flag, Some(environment)).await?;
                    draft.update(&before.flag, step.flag.clone(), "flag.update");
                }
                Some(before) => draft.require(before.flag.id.clone(), Expected::Version(before.flag.version)),
            }
            if step.is_configured() {
                let document = step.before.as_ref().and_then(|before| before.document.as_ref());
                let initial = step.flag.initial_configuration(&environment.environment);
                let present = (document, step.before.as_ref().map_or(&initial, |before| &before.body));
                draft.configure(environment, key, present, &step.configuration, "flag.configure");
            }
        }
        for id in environments.iter().filter(|_| !plan.pruned.is_empty()) {
            self.check_pruning(id, environment, &plan.pruned).await?;
            plan.pruned.iter().for_each(|flag| draft.touch(id, TouchedKind::Flag, &flag.id.key));
        }
        for flag in &plan.pruned {
            draft.archive_document(flag, "flag.archive");
        }
        Ok(draft)
    }

    /// No flag of another environment needs one that is pruned.
    async fn check_pruning(
        &self,
        id: &EnvironmentId,
        but: &EnvironmentId,
        pruned: &[Document],
    ) -> Result<(), AppError> {
        if id == but {
            return Ok(());
        }
        let compiled = self.ruleset(id).await?;
        let verdict = judge(&compiled.ruleset, deletions(pruned));
        refuse(verdict.stopping, |issue| {
            let message = format!("in `{}`, {}", id.environment, told(&issue));
            CompileIssue { path: "/prune".to_owned(), message, ..issue }
        })
    }
}

fn touch_flag(draft: &mut Draft<'_>, environments: &[EnvironmentId], key: &str) {
    for environment in environments {
        draft.touch(environment, TouchedKind::Flag, key);
    }
}

fn export(environment: &EnvironmentId, snapshot: &EnvironmentSnapshot) -> ExportedFile {
    let mut exported = ExportedFile { file: FlagFile::default(), broken: Vec::new() };
    for (flag, configuration) in &snapshot.flags {
        match flag_config(environment, flag, configuration.as_ref()) {
            Ok(config) => exported.file.flags.push(config),
            Err(broken) => exported.broken.push(broken.into()),
        }
    }
    for segment in &snapshot.segments {
        match segment_config(segment) {
            Ok(config) => exported.file.segments.push(config),
            Err(broken) => exported.broken.push(broken.into()),
        }
    }
    exported
}

/// What an environment is.
struct Present {
    environment: EnvironmentId,
    /// With `None` for one whose document cannot be read.
    flags: BTreeMap<String, (Document, Option<Configured>)>,
    segments: BTreeMap<String, Document>,
}

impl Present {
    fn new(environment: &EnvironmentId, snapshot: EnvironmentSnapshot) -> Self {
        let flags = snapshot.flags.into_iter().map(|(flag, configuration)| {
            let configured =
                documents::read::<Flag>(&flag).ok().map(|stored| Configured::new(environment, stored, configuration));
            (flag.id.key.clone(), (flag, configured))
        });
        Self {
            environment: environment.clone(),
            flags: flags.collect(),
            segments: snapshot.segments.into_iter().map(|segment| (segment.id.key.clone(), segment)).collect(),
        }
    }
}

/// What is to be done: pure.
struct Plan {
    /// Only what changes.
    segments: Vec<SegmentStep>,
    /// Only what changes.
    flags: Vec<FlagStep>,
    pruned: Vec<Document>,
}

struct SegmentStep {
    key: String,
    before: Option<Document>,
    after: Option<Segment>,
}

struct FlagStep {
    before: Option<Configured>,
    /// What the file says, with the state that the file does not decide: this is compiled, so that issues have the file's
    /// paths.
    config: FlagConfig,
    flag: Flag,
    configuration: FlagEnvironment,
}

impl FlagStep {
    /// Whether the configuration must be stored: it is not what the environment has already, or has by default.
    fn is_configured(&self) -> bool {
        match &self.before {
            Some(before) if before.document.is_some() => before.broken.is_some() || before.body != self.configuration,
            Some(before) => self.flag.initial_configuration(&before.environment.environment) != self.configuration,
            None => true,
        }
    }

    fn changes_something(&self) -> bool {
        self.before.as_ref().is_none_or(|before| before.flag.body != self.flag) || self.is_configured()
    }
}

impl Plan {
    fn new(present: &Present, command: &ApplyFile, new_salt: impl Fn() -> String) -> Result<Self, AppError> {
        let ApplyFile { file, prune } = command;
        limits::check_length("/file/flags", file.flags.len(), limits::MAX_FILE_FLAGS, "flags")?;
        limits::check_length("/file/segments", file.segments.len(), limits::MAX_FILE_SEGMENTS, "segments")?;
        check_unique("flags", file.flags.iter().map(|flag| flag.key.as_str()))?;
        check_unique("segments", file.segments.iter().map(|segment| segment.key.as_str()))?;

        let mut plan = Self { segments: Vec::new(), flags: Vec::new(), pruned: Vec::new() };
        for (index, config) in file.segments.iter().enumerate() {
            let step = within(&format!("/file/segments/{index}"), plan_segment(present, config))?;
            plan.segments.extend(step);
        }
        for (index, config) in file.flags.iter().enumerate() {
            let step = within(&format!("/file/flags/{index}"), plan_flag(present, config, &new_salt))?;
            plan.flags.extend(Some(step).filter(FlagStep::changes_something));
        }
        if *prune {
            plan.prune(present, file);
        }
        Ok(plan)
    }

    fn prune(&mut self, present: &Present, file: &FlagFile) {
        let flags: HashSet<&str> = file.flags.iter().map(|flag| flag.key.as_str()).collect();
        let segments: HashSet<&str> = file.segments.iter().map(|segment| segment.key.as_str()).collect();
        self.pruned = present
            .flags
            .iter()
            .filter(|(key, _)| !flags.contains(key.as_str()))
            .map(|(_, (flag, _))| flag.clone())
            .collect();
        let pruned = present.segments.iter().filter(|(key, _)| !segments.contains(key.as_str()));
        self.segments.extend(pruned.map(|(key, segment)| SegmentStep {
            key: key.clone(),
            before: Some(segment.clone()),
            after: None,
        }));
    }

    /// The changes as compile sees them.
    fn compiled(&self) -> Vec<Change> {
        let segments = self.segments.iter().filter_map(|step| {
            let key = segment_key(&step.key).ok()?;
            Some(match &step.after {
                Some(segment) => Change::PutSegment(wire_segment(&key, segment, 0)),
                None => Change::DeleteSegment(key),
            })
        });
        let flags = self.flags.iter().map(|step| Change::PutFlag(step.config.clone()));
        segments.chain(flags).chain(deletions(&self.pruned)).collect()
    }
}

fn deletions(flags: &[Document]) -> Vec<Change> {
    flags.iter().filter_map(|flag| flag_key(&flag.id.key).ok()).map(Change::DeleteFlag).collect()
}

fn plan_segment(present: &Present, config: &SegmentConfig) -> Result<Option<SegmentStep>, AppError> {
    let key = config.key.to_string();
    let before = present.segments.get(&key);
    let stored = before.and_then(|document| documents::read::<Segment>(document).ok()).map(|stored| stored.body);
    let (name, description) = match &stored {
        Some(segment) => (segment.name.clone(), segment.description.clone()),
        None => (key.clone(), String::new()),
    };
    let SegmentConfig { included, excluded, rules, .. } = config.clone();
    let after = segments::tidy(Segment { name, description, included, excluded, rules });
    limits::check_segment(&after)?;
    if stored.as_ref() == Some(&after) {
        return Ok(None);
    }
    Ok(Some(SegmentStep { key, before: before.cloned(), after: Some(after) }))
}

fn plan_flag(present: &Present, config: &FlagConfig, new_salt: impl Fn() -> String) -> Result<FlagStep, AppError> {
    let environment = &present.environment.environment;
    let before = match present.flags.get(config.key.as_str()) {
        None => None,
        Some((_, Some(configured))) => Some(configured.clone()),
        Some((_, None)) => {
            return Err(AppError::invalid("/key", "the stored flag cannot be read: archive it, and use another key"));
        }
    };
    let flag = match &before {
        Some(before) => updated_flag(&before.flag, config)?,
        None => new_flag(config, new_salt())?,
    };
    let present = match &before {
        Some(before) if before.document.is_some() => before.body.clone(),
        _ => flag.initial_configuration(environment),
    };
    let is_new = before.is_none();
    let salt = match config.salt.as_str() {
        "" => present.salt.clone(),
        salt if is_new || salt == present.salt => salt.to_owned(),
        _ => {
            let detail =
                "the flag has another salt, which never changes: every unit would draw a new bucket; leave it out";
            return Err(AppError::invalid("/salt", detail));
        }
    };
    let asked_for = name_rules(FlagEnvironment {
        enabled: config.enabled,
        kill: present.kill.clone(),
        off_variant: config.off_variant.clone(),
        prerequisites: config.prerequisites.clone(),
        targets: config.targets.clone(),
        rules: config.rules.clone(),
        default: config.default.clone(),
        availability: config.availability,
        salt,
        rollout: present.rollout.clone(),
        guard: present.guard.clone(),
    });
    rollouts::check_lock(&present, &asked_for)?;
    limits::check_flag(&flag)?;
    limits::check_configuration(&asked_for)?;
    let compiled = wire_flag(&config.key, &flag, &asked_for, 0);
    let configuration = settle(&present, asked_for)?;
    Ok(FlagStep { before, config: compiled, flag, configuration })
}

fn new_flag(config: &FlagConfig, salt: String) -> Result<Flag, AppError> {
    let variants: Vec<FlagVariant> = config.variants.iter().map(|variant| named(variant, None)).collect();
    let Some(first) = variants.first() else {
        return Err(AppError::invalid("/variants", "a flag has at least one variant"));
    };
    let default_variant = match &config.default {
        Serve::Variant(variant) => variant.clone(),
        Serve::Distribution(_) => first.key.clone(),
    };
    Ok(Flag {
        name: config.key.to_string(),
        description: String::new(),
        tags: Vec::new(),
        permanent: false,
        kind: config.kind,
        variants,
        off_variant: config.off_variant.clone(),
        default_variant,
        salt,
    })
}

/// The flag with the file's variants; what the file does not say stays.
fn updated_flag(before: &Stored<Flag>, config: &FlagConfig) -> Result<Flag, AppError> {
    let before = &before.body;
    if before.kind != config.kind {
        let detail = "a flag's kind never changes: create another flag and archive this one";
        return Err(AppError::invalid("/kind", detail));
    }
    let known: HashMap<&str, &FlagVariant> =
        before.variants.iter().map(|variant| (variant.key.as_str(), variant)).collect();
    let variants: Vec<FlagVariant> =
        config.variants.iter().map(|variant| named(variant, known.get(variant.key.as_str()).copied())).collect();
    let is_there = |key: &str| variants.iter().any(|variant| variant.key.as_str() == key);
    let Some(first) = variants.first() else {
        return Err(AppError::invalid("/variants", "a flag has at least one variant"));
    };
    let default_variant =
        if is_there(before.default_variant.as_str()) { &before.default_variant } else { &first.key }.clone();
    let off_variant = before.off_variant.clone().filter(|key| is_there(key.as_str()));
    Ok(Flag { variants, off_variant, default_variant, ..before.clone() })
}

fn named(variant: &Variant, known: Option<&FlagVariant>) -> FlagVariant {
    let name = known.and_then(|known| known.name.clone());
    FlagVariant { key: variant.key.clone(), value: variant.value.clone(), name }
}

fn check_unique<'k>(collection: &str, keys: impl Iterator<Item = &'k str>) -> Result<(), AppError> {
    let mut seen = HashSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            let detail = format!("the file names `{key}` twice");
            return Err(AppError::invalid(format!("/file/{collection}/{index}/key"), detail));
        }
    }
    Ok(())
}

/// A refusal with its field where it is in the request's body.
fn within<T>(prefix: &str, result: Result<T, AppError>) -> Result<T, AppError> {
    result.map_err(|error| match error {
        AppError::Invalid { field, detail } => AppError::Invalid { field: format!("{prefix}{field}"), detail },
        error => error,
    })
}

/// An issue of something in the file has its path there; one of something else is told in words.
fn place(issue: CompileIssue, file: &FlagFile) -> CompileIssue {
    let index = match issue.collection {
        "flags" => file.flags.iter().position(|flag| flag.key.as_str() == issue.key),
        _ => file.segments.iter().position(|segment| segment.key.as_str() == issue.key),
    };
    match index {
        Some(index) => CompileIssue { path: format!("/file/{}/{index}{}", issue.collection, issue.path), ..issue },
        None => CompileIssue { path: "/prune".to_owned(), message: told(&issue), ..issue },
    }
}

impl From<&AuditEntry> for FileChange {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            resource: entry.resource.clone(),
            action: entry.action.clone(),
            before: entry.before.clone(),
            after: entry.after.clone(),
        }
    }
}
