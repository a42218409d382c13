//! Segments: named sets of contexts, per environment.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tidegate_core::{
    Change, CompileIssue, SegmentKey,
    config::{Condition, SegmentRule},
};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    commit::judged,
    documents::{self, Stored, id_of},
    draft::Draft,
    flags::refuse,
    input::{self, Patchable},
    limits,
    model::{FlagEnvironment, Segment},
    projects::environment_id,
    resource::{Listed, Resource},
    rulesets::{judge, told},
    wire::wire_segment,
};
use crate::ports::store::{Document, DocumentId, EnvironmentId, EnvironmentSnapshot, Expected, TouchedKind};

/// Makes a segment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateSegment {
    /// Names it within the environment for ever.
    pub key: SegmentKey,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Targeting keys that are in, whatever the rules say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
    /// Targeting keys that are out, before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// A context is in where one rule holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<SegmentRule>,
}

/// A segment in a list: without its members and rules, which may be many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SegmentItem {
    /// Names it within the environment.
    pub key: String,
    /// For `If-Match`.
    pub version: u64,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// How many targeting keys are in, whatever the rules say.
    pub n_included: usize,
    /// How many targeting keys are out, before anything else.
    pub n_excluded: usize,
    /// How many rules it has.
    pub n_rules: usize,
}

const PATCHABLE: Patchable = Patchable {
    fields: &["name", "description", "included", "excluded", "rules"],
    fixed: &[("key", "a segment's key never changes: create another segment and archive this one")],
};

/// Member lists up to this length are in the audit log as they are.
const MAX_AUDITED_MEMBERS: usize = 1_000;

impl App {
    /// The segments of an environment.
    pub async fn list_segments(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        page: &PageRequest,
    ) -> Result<Page<Listed<SegmentItem>>, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        let page = self.page_of::<Segment>(&environment.scope(), page).await?;
        Ok(page.map(|document| match documents::read::<Segment>(&document) {
            Ok(stored) => Listed::Whole(SegmentItem::from(stored)),
            Err(broken) => Listed::Broken(broken.into()),
        }))
    }

    /// One segment.
    pub async fn segment(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        key: &str,
    ) -> Result<Resource<Segment>, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        Ok(self.live::<Segment>(&segment_id(environment, key)).await?.into())
    }

    /// Makes a segment.
    pub async fn create_segment(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        command: CreateSegment,
    ) -> Result<Resource<Segment>, AppError> {
        judged(|| self.judge_new_segment(request, environment, command.clone())).await
    }

    async fn judge_new_segment(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        command: CreateSegment,
    ) -> Result<Resource<Segment>, AppError> {
        authorize(&request.principal, Action::Edit, Some(&environment.project))?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        let CreateSegment { key, name, description, included, excluded, rules } = command;
        let segment = tidy(Segment { name, description, included, excluded, rules });
        limits::check_segment(&segment)?;
        self.live_environment(environment).await?;
        let id = segment_id(environment, key.as_str());
        self.check_free(&id).await?;
        let mut draft = Draft::new(self, request);
        self.check_segment(&mut draft, environment, &key, &segment).await?;
        draft.require(environment_id(&environment.project, &environment.environment), Expected::Live);
        draft.touch(environment, TouchedKind::Segment, key.as_str());
        let created = Resource::from(draft.create(id, segment, "segment.create"));
        self.commit(request, draft.into_creation(&created)).await?;
        Ok(created)
    }

    /// Changes a segment.
    pub async fn update_segment(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<Resource<Segment>, AppError> {
        judged(|| self.judge_segment(request, environment, key, expected, patch)).await
    }

    async fn judge_segment(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<Resource<Segment>, AppError> {
        authorize(&request.principal, Action::Edit, Some(&environment.project))?;
        limits::check_reason(&request.reason)?;
        self.live_environment(environment).await?;
        let before: Stored<Segment> = self.live(&segment_id(environment, key)).await?;
        before.check_version(expected)?;
        let after = tidy(input::patch(&before.body, patch, &PATCHABLE)?);
        limits::check_segment(&after)?;
        if after == before.body {
            return Ok(before.into());
        }
        let mut draft = Draft::new(self, request);
        self.check_segment(&mut draft, environment, &segment_key(key)?, &after).await?;
        draft.require(environment_id(&environment.project, &environment.environment), Expected::Live);
        draft.touch(environment, TouchedKind::Segment, key);
        let updated = draft.update(&before, after, "segment.update");
        self.commit(request, draft.into_commit()).await?;
        Ok(updated.into())
    }

    /// Archives a segment that nothing uses: its key is never used again.
    pub async fn archive_segment(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        judged(|| self.judge_archiving(request, environment, key, expected)).await
    }

    async fn judge_archiving(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        authorize(&request.principal, Action::Edit, Some(&environment.project))?;
        limits::check_reason(&request.reason)?;
        self.live_environment(environment).await?;
        let id = segment_id(environment, key);
        let document = self.live_document(&id).await?;
        documents::check_version(&id, document.version, expected)?;
        let snapshot = self.store.environment_snapshot(environment).await?;
        let mut users = users_of(&snapshot, key);
        users.extend(self.rollouts_for(environment, key).await?);
        if !users.is_empty() {
            let detail = format!("segment `{key}` is used by {}: take it out there first", users.join(", "));
            return Err(AppError::InUse { detail });
        }

        let mut draft = Draft::new(self, request);
        draft.judged_at(environment, snapshot.revision);
        draft.touch(environment, TouchedKind::Segment, key);
        draft.archive_document(&document, "segment.archive");
        self.commit(request, draft.into_commit()).await?;
        Ok(())
    }

    /// Refuses what does not compile; what refers to other segments is judged by these.
    async fn check_segment(
        &self,
        draft: &mut Draft<'_>,
        environment: &EnvironmentId,
        key: &SegmentKey,
        segment: &Segment,
    ) -> Result<(), AppError> {
        let compiled = self.ruleset(environment).await?;
        if segment.rules.iter().any(|rule| !segments_used(&rule.conditions).is_empty()) {
            draft.judged_at(environment, compiled.revision);
        }
        let verdict = judge(&compiled.ruleset, vec![Change::PutSegment(wire_segment(key, segment, 0))]);
        refuse(verdict.stopping, |issue| {
            if issue.collection == "segments" && issue.key == key.as_str() {
                return issue;
            }
            let message = told(&issue);
            CompileIssue { path: String::new(), message, ..issue }
        })
    }
}

impl From<Stored<Segment>> for SegmentItem {
    fn from(stored: Stored<Segment>) -> Self {
        let Segment { name, description, included, excluded, rules } = stored.body;
        Self {
            key: stored.id.key,
            version: stored.version,
            name,
            description,
            n_included: included.len(),
            n_excluded: excluded.len(),
            n_rules: rules.len(),
        }
    }
}

/// The address of a segment.
pub(super) fn segment_id(environment: &EnvironmentId, key: &str) -> DocumentId {
    id_of::<Segment>(environment.scope(), key)
}

/// The key of a stored segment.
pub(super) fn segment_key(key: &str) -> Result<SegmentKey, AppError> {
    SegmentKey::new(key).map_err(|error| AppError::invalid("/key", error.to_string()))
}

/// Members sorted, without repeats.
pub(super) fn tidy(mut segment: Segment) -> Segment {
    for members in [&mut segment.included, &mut segment.excluded] {
        members.sort_unstable();
        members.dedup();
    }
    segment
}

/// The flags and segments of an environment that use a segment, as people read them.
fn users_of(snapshot: &EnvironmentSnapshot, key: &str) -> Vec<String> {
    let flag_uses = |document: &Document| {
        documents::read::<FlagEnvironment>(document)
            .is_ok_and(|stored| stored.body.rules.iter().any(|rule| use_segment(&rule.conditions, key)))
    };
    let segment_uses = |document: &Document| {
        documents::read::<Segment>(document)
            .is_ok_and(|stored| stored.body.rules.iter().any(|rule| use_segment(&rule.conditions, key)))
    };
    let configurations = snapshot.flags.iter().filter_map(|(_, configuration)| configuration.as_ref());
    let flags = configurations.filter(|document| flag_uses(document)).map(|it| format!("flag `{}`", it.id.key));
    let segments =
        snapshot.segments.iter().filter(|document| segment_uses(document)).map(|it| format!("segment `{}`", it.id.key));
    flags.chain(segments).collect()
}

fn use_segment(conditions: &[Condition], key: &str) -> bool {
    segments_used(conditions).contains(key)
}

/// The keys of the segments that conditions use, those in groups included.
pub(super) fn segments_used(conditions: &[Condition]) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for condition in conditions {
        match condition {
            Condition::Any { any: members } | Condition::All { all: members } | Condition::None { none: members } => {
                used.extend(segments_used(members));
            }
            Condition::Test(test) if test.operator == "segment" => {
                used.extend(test.values.iter().filter_map(Json::as_str));
            }
            Condition::Test(_) | Condition::Unknown(_) => {}
        }
    }
    used
}

/// What the audit log keeps of a segment's change.
pub(super) fn audit(before: Option<&Segment>, after: Option<&Segment>) -> (Json, Json) {
    let shown = |segment: Option<&Segment>, other: Option<&Segment>| {
        let Some(segment) = segment else { return Json::Null };
        let Json::Object(mut value) = documents::value(segment) else { return Json::Null };
        for (name, members, others) in [
            ("included", &segment.included, other.map(|other| &other.included)),
            ("excluded", &segment.excluded, other.map(|other| &other.excluded)),
        ] {
            let others = others.map(Vec::as_slice).unwrap_or_default();
            if members.len().max(others.len()) > MAX_AUDITED_MEMBERS {
                value.insert(name.to_owned(), shown_members(members, others));
            }
        }
        Json::Object(value)
    };
    (shown(before, after), shown(after, before))
}

/// How many members there are, and those that the other list does not have: as many as are kept.
fn shown_members(members: &[String], others: &[String]) -> Json {
    let others: HashSet<&String> = others.iter().collect();
    let only_here: BTreeSet<&String> = members.iter().filter(|member| !others.contains(member)).collect();
    json!({
        "count": members.len(),
        "countOnlyHere": only_here.len(),
        "onlyHere": only_here.into_iter().take(MAX_AUDITED_MEMBERS).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(members: std::ops::Range<u32>) -> Segment {
        let included = members.map(|n| format!("user-{n}")).collect();
        tidy(Segment { name: "Beta".to_owned(), description: String::new(), included, excluded: vec![], rules: vec![] })
    }

    #[test]
    fn the_audit_log_keeps_short_lists_and_what_changed_of_long_ones() {
        let (before, after) = audit(None, Some(&segment(0..2)));
        assert_eq!(before, Json::Null);
        assert_eq!(after["included"], json!(["user-0", "user-1"]));

        let (before, after) = audit(Some(&segment(0..5_000)), Some(&segment(1..5_002)));
        assert_eq!(before["included"], json!({"count": 5_000, "countOnlyHere": 1, "onlyHere": ["user-0"]}));
        let added = json!({"count": 5_001, "countOnlyHere": 2, "onlyHere": ["user-5000", "user-5001"]});
        assert_eq!(after["included"], added);
    }

    #[test]
    fn a_segment_is_found_deep_in_the_conditions() {
        let conditions: Vec<Condition> = serde_json::from_value(json!([
            {"attribute": "plan", "operator": "in", "values": ["beta"]},
            {"none": [{"any": [{"operator": "segment", "values": ["alpha", "beta"]}]}]},
        ]))
        .unwrap();
        assert!(use_segment(&conditions, "beta"));
        assert!(!use_segment(&conditions, "plan"));
    }
}
