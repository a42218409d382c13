//! Rollouts: a flag's default goes to another variant step by step.
//!
//! While a rollout goes on, the default of the flag's configuration is a split between the old variant and the new, and nobody
//! but the rollout changes it. The controller does what [`plan`](tidegate_rollout::plan()) says, with [`App::carry_out`]; people do
//! the rest. Each move is one commit of the rollout and the configuration together.

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::{
    FlagKey, ROLLOUT_RULE, Timestamp, VariantKey,
    bucket::BUCKETS,
    config::{BucketRange, Condition, Distribution, Rollout as Draw, Rule, Serve, Split, Test},
};
use tidegate_rollout::{Decision, Plan, Reason, Refusal, Spec, State, Status, window};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    configurations::configuration_id,
    documents::{self, Body, Stored, id_of},
    draft::Draft,
    event_log,
    flags::flag_id,
    input, limits,
    looks::LiveRollout,
    metric_sources::source_id,
    model::{FlagEnvironment, Kill, Project},
    moment::Moment,
    projects::{environment_id, project_id},
    segments::segment_id,
    templates,
};
use crate::ports::store::{Document, DocumentId, DocumentKind, DocumentQuery, EnvironmentId, Expected, Fence};

/// A rollout, as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The flag.
    pub flag: FlagKey,
    /// The variant that goes out.
    pub variant: VariantKey,
    /// The variant that everybody had before.
    pub baseline: VariantKey,
    /// Decides who is in: the same for each attempt, unless a fresh cohort was asked for.
    pub salt: String,
    /// What is to be done.
    pub spec: Spec,
    /// How far it has come.
    pub status: Status,
    /// Why it was moved last, with the numbers; absent: a person moved it, whose reason is in the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
    /// Why it was moved last, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Body for Rollout {
    const KIND: DocumentKind = DocumentKind::Rollout;
}

/// A rollout to start.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRollout {
    /// The flag's key. Its default serves one variant to everybody, and it is enabled.
    #[schema(value_type = String)]
    pub flag: FlagKey,
    /// The variant that goes out: another than the default.
    #[schema(value_type = String)]
    pub variant: VariantKey,
    /// Whether other units begin than in the attempt before; else the same.
    #[serde(default)]
    pub fresh_cohort: bool,
    /// What is to be done; absent: as the template says.
    #[serde(default)]
    #[schema(value_type = Option<Spec>)]
    pub spec: Option<Json>,
    /// The key of a template that says what is to be done; absent, without `spec`: `default`, which is 10, 25, 50, 100 %, 15 minutes each, without
    /// gates.
    #[serde(default)]
    pub template: Option<String>,
    /// Whether it starts although a gate's query has no number now. Then it holds until there is one. A query that its source does not
    /// understand is refused all the same.
    #[serde(default)]
    pub allow_no_data: bool,
}

/// What a person does to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RolloutAction {
    /// It does not rise any more. Harm still ends it.
    Pause,
    /// It goes on; what was baked counts.
    Resume,
    /// The next step may begin.
    Approve,
    /// The wait ends now, whatever the gates do not know, and whatever windows and freezes say: the first or the next step begins. Harm still
    /// ends it.
    Skip,
    /// The share goes to 0, and the rollout ends.
    RollBack,
    /// The named gate holds nothing and ends nothing any more; it is still judged and shown.
    Override,
    /// The named gate is heeded again.
    Heed,
    /// The watch after the last step ends.
    Complete,
}

/// What a person does to a rollout, and to which gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutMove {
    /// What is done.
    pub action: RolloutAction,
    /// The gate's key, to override and to heed it.
    pub gate: Option<String>,
}

/// A rollout, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// Its id.
    pub id: String,
    /// The flag.
    pub flag: FlagKey,
    /// The variant that goes out.
    pub variant: VariantKey,
    /// The variant that everybody had before.
    pub baseline: VariantKey,
    /// Decides who is in.
    pub salt: String,
    /// What is to be done.
    pub spec: Spec,
    /// How far it has come. Its generation is the version to send as `If-Match`.
    pub status: Status,
    /// The share in force, 0 to 100,000.
    pub share: u32,
    /// When it was started.
    pub started_at: Moment,
    /// Why it was moved last, with the numbers; absent where a person moved it.
    #[schema(value_type = Option<tidegate_rollout::plan::Reason>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
    /// Why it was moved last, in the words of the controller or of the person who did it; may be empty.
    pub reason: String,
    /// What the controller saw when it looked last, on whichever server; absent: it has not looked yet, or the rollout has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveRollout>,
}

impl Rollout {
    /// The share in force, 0 to 100,000.
    fn share(&self) -> u32 {
        share(&self.spec, &self.status)
    }

    /// Whether everybody has the variant for good.
    fn is_through(&self) -> bool {
        matches!(self.status.state, State::Guarding | State::Completed)
    }

    /// The flag's configuration, as far as the rollout `id` has come.
    fn applied(&self, id: &str, configuration: &FlagEnvironment) -> FlagEnvironment {
        let rule_id = rule_id(id);
        let others = configuration.rules.iter().filter(|rule| rule.id != rule_id).cloned();
        FlagEnvironment {
            default: self.default(),
            rules: self.segment_rule(&rule_id).into_iter().chain(others).chain(self.a_a_rule(&rule_id)).collect(),
            rollout: Some(id.to_owned()).filter(|_| !self.status.is_ended() && self.status.state != State::Guarding),
            guard: Some(id.to_owned()).filter(|_| self.status.state == State::Guarding),
            ..configuration.clone()
        }
    }

    /// Serves the variant to the segments that have it, before all other rules.
    fn segment_rule(&self, id: &str) -> Option<Rule> {
        let step = self.status.step.filter(|_| !self.status.is_ended() && !self.is_through())?;
        let segments: Vec<Json> = self.spec.segments_at(step).into_iter().map(Json::from).collect();
        (!segments.is_empty()).then(|| Rule {
            id: id.to_owned(),
            conditions: vec![Condition::Test(Test {
                attribute: String::new(),
                operator: "segment".to_owned(),
                values: segments,
                negate: false,
                ignore_case: false,
            })],
            serve: Serve::Variant(self.variant.clone()),
        })
    }

    /// In an A/A bake serves the old variant, after all other rules, by a draw of the rollout's salt, so that evaluations have a bucket, which
    /// says who is compared. Of one variant alone nothing is drawn; so one bucket of 100,000 is left out, and gets the default, which
    /// is the same.
    fn a_a_rule(&self, id: &str) -> Option<Rule> {
        self.status.step.filter(|step| self.spec.is_a_a(*step) && !self.status.is_ended())?;
        let everybody = BucketRange { start: 0, end: BUCKETS, variant: self.baseline.clone() };
        let draw = Distribution {
            bucket_by: None,
            algorithm: Distribution::XXH3_V1.to_owned(),
            rollout: Some(Draw { share: BUCKETS - 1, salt: Some(self.salt.clone()) }),
            salt: None,
            split: Split::Ranges(vec![everybody]),
        };
        Some(Rule { id: id.to_owned(), conditions: Vec::new(), serve: Serve::Distribution(draw) })
    }

    /// What the flag's default is, as far as the rollout has come.
    fn default(&self) -> Serve {
        match self.share() {
            0 => Serve::Variant(self.baseline.clone()),
            BUCKETS if self.is_through() => Serve::Variant(self.variant.clone()),
            share => {
                let ranges = [(0, share, &self.variant), (share, BUCKETS, &self.baseline)];
                let ranges = ranges.into_iter().filter(|(start, end, _)| start < end);
                let ranges = ranges.map(|(start, end, variant)| BucketRange { start, end, variant: variant.clone() });
                Serve::Distribution(Distribution {
                    bucket_by: None,
                    algorithm: Distribution::XXH3_V1.to_owned(),
                    rollout: None,
                    salt: Some(self.salt.clone()),
                    split: Split::Ranges(ranges.collect()),
                })
            }
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        Self::InUse { detail: refusal.to_string() }
    }
}

impl App {
    /// Starts a rollout: the controller begins with its first step within seconds.
    pub async fn start_rollout(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        start: StartRollout,
    ) -> Result<RolloutView, AppError> {
        authorize(&request.principal, Action::Edit, Some(&environment.project))?;
        limits::check_reason(&request.reason)?;
        self.begin(request).await?;
        self.live_environment(environment).await?;
        let spec = self.wanted_spec(environment, start.spec.as_ref(), start.template.as_deref()).await?;
        let flag = self.live(&flag_id(&environment.project, start.flag.as_str())).await?;
        let configured = self.configured(environment, flag).await?;
        let before = &configured.body;
        let baseline = startable(&start.flag, before, &start.variant)?;
        if !configured.flag.body.variants.iter().any(|variant| variant.key == start.variant) {
            return Err(AppError::invalid("/variant", format!("the flag has no variant `{}`", start.variant.as_str())));
        }
        self.check_queries(&environment.project, &spec, start.allow_no_data).await?;

        let mut draft = Draft::new(self, request);
        for source in spec.gates().iter().filter_map(|gate| gate.query()).map(|query| &query.source) {
            draft.require(source_id(&environment.project, source), Expected::Live);
        }
        let id = self.ids.ulid(draft.at());
        let salt = format!("{}/rollout", before.salt);
        let rollout = Rollout {
            flag: start.flag,
            variant: start.variant,
            baseline,
            salt: if start.fresh_cohort { format!("{salt}/{id}") } else { salt },
            spec,
            status: Status::new(draft.at()),
            evidence: None,
            reason: request.reason.clone(),
        };
        draft.require(environment_id(&environment.project, &environment.environment), Expected::Live);
        draft.require(configured.flag.id.clone(), Expected::Version(configured.flag.version));
        for (field, segment) in segments_of(&rollout.spec) {
            self.check_segment_lives(environment, &field, segment).await?;
            draft.require(segment_id(environment, segment), Expected::Live);
        }
        // What another rollout of the flag still watches, this one watches from now on.
        if let Some(guard) = &before.guard {
            let guarding = self.stored_rollout(environment, guard).await?;
            if let Ok(status) = guarding.body.status.completed(draft.at()) {
                let reason = format!("rollout `{id}` of the flag goes on instead");
                let ended = Rollout { status, evidence: None, reason, ..guarding.body.clone() };
                draft.end(&guarding, ended, "rollout.complete");
            }
        }
        let default = Serve::Variant(rollout.baseline.clone());
        let after = FlagEnvironment { rollout: Some(id.clone()), guard: None, default, ..before.clone() };
        let present = (configured.document.as_ref(), before);
        draft.configure(environment, rollout.flag.as_str(), present, &after, "rollout.lock");
        let stored = draft.create(rollout_id(environment, &id), rollout, "rollout.start");
        let view = view(stored, None);
        self.commit(request, draft.into_creation(&view)).await?;
        Ok(view)
    }

    /// A page of the environment's rollouts in the order of their start, those that have ended too; of one flag, where it is named.
    pub async fn rollouts(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        flag: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<RolloutView>, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.live_environment(environment).await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut query = DocumentQuery {
            kind: DocumentKind::Rollout,
            scope: environment.scope(),
            after: page.after.clone(),
            limit: PageRequest::MAX_LIMIT,
            include_archived: true,
        };
        let mut found = Vec::new();
        while found.len() <= limit {
            let documents = self.store.documents(&query).await?;
            let Some(last) = documents.last() else { break };
            query.after = Some(last.id.key.clone());
            let readable = documents.iter().filter_map(|document| documents::read::<Rollout>(document).ok());
            let wanted = readable.filter(|stored| flag.is_none_or(|flag| stored.body.flag.as_str() == flag));
            found.extend(wanted);
        }
        let Page { items, next } = Page::cut(found, page.limit, |stored| stored.id.key.clone());
        let items = try_join_all(items.into_iter().map(|stored| self.seen(stored))).await?;
        Ok(Page { items, next })
    }

    /// One rollout.
    pub async fn rollout(
        &self,
        principal: &Principal,
        environment: &EnvironmentId,
        id: &str,
    ) -> Result<RolloutView, AppError> {
        authorize(principal, Action::Read, Some(&environment.project))?;
        self.seen(self.stored_rollout(environment, id).await?).await
    }

    /// A person moves a rollout. `expected`: the generation that they saw; needed where it may rise by it.
    pub async fn move_rollout(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        id: &str,
        expected: Option<u64>,
        wanted: &RolloutMove,
    ) -> Result<RolloutView, AppError> {
        authorize(&request.principal, Action::Operate, Some(&environment.project))?;
        if request.reason.is_empty() {
            return Err(AppError::invalid("/reason", "say why: it is in the audit log, beside what the gates said"));
        }
        limits::check_reason(&request.reason)?;
        let lowers = matches!(wanted.action, RolloutAction::Pause | RolloutAction::RollBack | RolloutAction::Heed);
        if expected.is_none() && !lowers {
            return Err(AppError::VersionRequired);
        }
        let mut n_attempts = 1;
        loop {
            let before = self.stored_rollout(environment, id).await?;
            let generation = before.body.status.generation;
            if let Some(expected) = expected.filter(|expected| *expected != generation) {
                return Err(AppError::Stale { what: format!("rollout `{id}`"), expected, actual: generation });
            }
            let (status, name) = moved(&before.body, wanted, self.clock.now())?;
            let reason = request.reason.clone();
            let after = Rollout { status, evidence: None, reason, ..before.body.clone() };
            match self.put_rollout(request, environment, &before, after, name, How::default()).await {
                // The controller noted what it waits for, in between: that is no reason to ask the person again.
                Err(AppError::Stale { .. }) if n_attempts < MAX_ATTEMPTS => n_attempts += 1,
                outcome => return self.seen(outcome?).await,
            }
        }
    }

    /// Does what was planned for a rollout; another than the one that it was planned for is left alone.
    ///
    /// # Errors
    /// [`AppError::Stale`] where somebody else moved it since, or changed the flag: plan again. [`StoreError::Fenced`](crate::ports::store::StoreError::Fenced) where another
    /// controller took over.
    pub async fn carry_out(
        &self,
        environment: &EnvironmentId,
        before: &Stored<Rollout>,
        plan: &Plan,
        fence: Fence,
    ) -> Result<(), AppError> {
        let request = Request::controller(&plan.reason);
        let action = match plan.decision {
            Decision::Wait => "rollout.wait",
            Decision::Advance { .. } => "rollout.advance",
            Decision::Guard => "rollout.guard",
            Decision::Complete => "rollout.complete",
            Decision::Pause => "rollout.pause",
            Decision::RollBack => "rollout.rollBack",
            Decision::Kill => "rollout.kill",
        };
        let evidence = Some(serde_json::json!(plan.reason));
        let (status, reason) = (plan.status.clone(), request.reason.clone());
        let after = Rollout { status, evidence, reason, ..before.body.clone() };
        let kill = (plan.decision == Decision::Kill).then(|| Kill {
            reason: request.reason.clone(),
            actor_name: request.principal.actor.name.clone(),
            at: self.clock.now(),
        });
        let step = match plan.decision {
            Decision::Advance { step } => Some(self.step(environment, &before.id.key, step)),
            _ => None,
        };
        let how = How { kill, fence: Some(fence), logged: step };
        self.put_rollout(&request, environment, before, after, action, how).await?;
        Ok(())
    }

    /// The entry of the event log with which a step begins.
    pub fn step(&self, environment: &EnvironmentId, rollout: &str, step: usize) -> Vec<u8> {
        let (environment, capacity) = (environment.scope(), self.watches.capacity());
        let mut entry = event_log::Writer::default();
        entry.step(&event_log::Step { environment: &environment, rollout, step: step as u64, capacity });
        entry.finish()
    }

    /// The rollouts of an environment that go on, with the configurations of their flags. What cannot be read is left out;
    /// of an archived environment, all.
    pub async fn running_rollouts(
        &self,
        environment: &EnvironmentId,
    ) -> Result<Vec<(Stored<Rollout>, FlagEnvironment)>, AppError> {
        if !self.environment_lives(environment).await? {
            return Ok(Vec::new());
        }
        let query = DocumentQuery {
            kind: DocumentKind::Rollout,
            scope: environment.scope(),
            after: None,
            limit: u32::MAX,
            include_archived: false,
        };
        let mut running = Vec::new();
        for document in self.store.documents(&query).await? {
            let Ok(stored) = documents::read::<Rollout>(&document) else { continue };
            let configuration = self.store.document(&configuration_id(environment, stored.body.flag.as_str())).await?;
            let configuration = configuration.as_ref().and_then(|found| documents::read::<FlagEnvironment>(found).ok());
            let Some(configuration) = configuration else { continue };
            let id = Some(&stored.id.key);
            if configuration.body.rollout.as_ref() == id || configuration.body.guard.as_ref() == id {
                running.push((stored, configuration.body));
            }
        }
        Ok(running)
    }

    /// The rollout as it is to be, and with it the flag's configuration, where that changes.
    async fn put_rollout(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        before: &Stored<Rollout>,
        after: Rollout,
        action: &str,
        how: How,
    ) -> Result<Stored<Rollout>, AppError> {
        let mut draft = Draft::new(self, request);
        let is_ended = after.status.is_ended();
        let id = configuration_id(environment, after.flag.as_str());
        let document = self.store.document(&id).await?;
        let present = document.as_ref().and_then(|document| documents::read::<FlagEnvironment>(document).ok());
        // One that cannot be read, or was repaired meanwhile, is not the rollout's any more; the rollout can still be ended.
        let id_of_it = Some(&before.id.key);
        let its = present
            .map(|stored| stored.body)
            .filter(|present| present.rollout.as_ref() == id_of_it || present.guard.as_ref() == id_of_it);
        if let Some(present) = its {
            // Who is through leaves the flag alone, but for the kill.
            let configuration = match before.body.status.state {
                State::Guarding => FlagEnvironment {
                    guard: present.guard.clone().filter(|_| !is_ended),
                    kill: how.kill.or_else(|| present.kill.clone()),
                    ..present.clone()
                },
                _ => FlagEnvironment {
                    kill: how.kill.or_else(|| present.kill.clone()),
                    ..after.applied(&before.id.key, &present)
                },
            };
            if configuration != present {
                let present = (document.as_ref(), &present);
                draft.configure(environment, after.flag.as_str(), present, &configuration, action);
            }
        }
        let stored = if is_ended { draft.end(before, after, action) } else { draft.update(before, after, action) };
        let mut commit = draft.into_commit();
        commit.fence = how.fence;
        commit.logged = how.logged;
        self.commit(request, commit).await?;
        Ok(stored)
    }

    /// What a rollout is to do: its own spec, or that of a template.
    pub(super) async fn wanted_spec(
        &self,
        environment: &EnvironmentId,
        spec: Option<&Json>,
        template: Option<&str>,
    ) -> Result<Spec, AppError> {
        match (spec, template) {
            (Some(_), Some(_)) => {
                Err(AppError::invalid("/template", "either a `spec` or a `template`: read the template, and change it"))
            }
            (Some(spec), None) => input::read_at("/spec", spec),
            (None, template) => self.template_spec(&environment.project, template.unwrap_or(templates::DEFAULT)).await,
        }
    }

    async fn check_segment_lives(&self, environment: &EnvironmentId, field: &str, key: &str) -> Result<(), AppError> {
        match self.store.document(&segment_id(environment, key)).await? {
            Some(document) if !document.archived => Ok(()),
            _ => Err(AppError::invalid(format!("/spec{field}"), format!("the environment has no segment `{key}`"))),
        }
    }

    /// The rollouts that give, or will give, a segment the variant, as people read them.
    pub(super) async fn rollouts_for(
        &self,
        environment: &EnvironmentId,
        segment: &str,
    ) -> Result<Vec<String>, AppError> {
        let running = self.running_rollouts(environment).await?;
        let uses = |spec: &Spec| segments_of(spec).any(|(_, key)| key == segment);
        let named = |rollout: &Rollout| format!("the rollout of flag `{}`", rollout.flag.as_str());
        Ok(running.iter().map(|(stored, _)| &stored.body).filter(|rollout| uses(&rollout.spec)).map(named).collect())
    }

    /// What the environment and the project say of when shares may rise.
    pub async fn restrictions(&self, environment: &EnvironmentId) -> Result<Restrictions, AppError> {
        let EnvironmentId { project, .. } = environment;
        let here = self.live_environment(environment).await?.body;
        let frozen_until = window::open_until(&here.freezes, self.clock.now());
        let one_at_a_time = self.live::<Project>(&project_id(project)).await?.body.one_rollout_at_a_time;
        if !one_at_a_time || !here.production {
            return Ok(Restrictions { frozen_until, turn: None });
        }
        let mut candidates = Vec::new();
        for id in self.environments_of(project).await? {
            if self.live_environment(&id).await?.body.production {
                let running = self.running_rollouts(&id).await?;
                candidates.extend(running.into_iter().map(|(stored, _)| stored));
            }
        }
        Ok(Restrictions { frozen_until, turn: turn(&candidates, self.clock.now()) })
    }

    /// The configuration that was asked for, with the rollout that moves the flag begun anew.
    pub(super) async fn restart_with(
        &self,
        environment: &EnvironmentId,
        before: &FlagEnvironment,
        asked_for: FlagEnvironment,
    ) -> Result<(FlagEnvironment, Option<Restart>), AppError> {
        let Some(id) = &before.rollout else { return Ok((asked_for, None)) };
        let old = self.stored_rollout(environment, id).await?;
        let now = self.clock.now();
        let new = Rollout { status: Status::new(now), evidence: None, ..old.body.clone() };
        let default = if asked_for.default == before.default { new.default() } else { asked_for.default.clone() };
        let baseline = startable(
            &new.flag,
            &FlagEnvironment { rollout: None, default: default.clone(), ..asked_for.clone() },
            &new.variant,
        )?;
        let new = Rollout { baseline, ..new };
        let new_id = self.ids.ulid(now);
        // The rule of the old one goes.
        let cleared = Rollout { status: old.body.status.rolled_back(now)?, ..old.body.clone() }.applied(id, &asked_for);
        let default = Serve::Variant(new.baseline.clone());
        let after = FlagEnvironment { default, rollout: Some(new_id.clone()), ..cleared };
        Ok((after, Some(Restart { old, new, new_id })))
    }

    pub(super) async fn stored_rollout(
        &self,
        environment: &EnvironmentId,
        id: &str,
    ) -> Result<Stored<Rollout>, AppError> {
        let id = rollout_id(environment, id);
        let document: Document = self.store.document(&id).await?.ok_or_else(|| AppError::not_found(&id))?;
        Ok(documents::read(&document)?)
    }

    async fn seen(&self, stored: Stored<Rollout>) -> Result<RolloutView, AppError> {
        let live = self.last_look(&stored).await?;
        Ok(view(stored, live))
    }
}

/// When shares may rise in an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Until when it is frozen.
    pub frozen_until: Option<Timestamp>,
    /// The rollout whose turn it is, and its flag, where one goes on at a time.
    pub turn: Option<(String, String)>,
}

impl Restrictions {
    /// The flag whose turn it is, where it is not that of the rollout `id`.
    pub fn turn_of_another(&self, id: &str) -> Option<String> {
        self.turn.as_ref().filter(|(turn, _)| turn != id).map(|(_, flag)| flag.clone())
    }
}

/// Whose turn it is: that of whoever has begun, else of whoever was started first and could begin.
fn turn(rollouts: &[Stored<Rollout>], now: Timestamp) -> Option<(String, String)> {
    let waits_for_nothing = |rollout: &Rollout| {
        rollout.status.state == State::Running && rollout.spec.start_at().is_none_or(|at| at <= now)
    };
    let rank = |stored: &&Stored<Rollout>| {
        let has_begun = stored.body.status.step.is_some();
        (!has_begun, stored.created_at, stored.id.key.clone())
    };
    let mut candidates: Vec<_> = rollouts
        .iter()
        .filter(|stored| stored.body.status.state != State::Guarding)
        .filter(|stored| stored.body.status.step.is_some() || waits_for_nothing(&stored.body))
        .collect();
    candidates.sort_by_key(rank);
    candidates.first().map(|stored| (stored.id.key.clone(), stored.body.flag.as_str().to_owned()))
}

/// A rollout that begins anew.
#[derive(Debug)]
pub(super) struct Restart {
    old: Stored<Rollout>,
    new: Rollout,
    new_id: String,
}

impl Restart {
    /// Into the commit that changes the flag, for that reason.
    pub fn enter(self, draft: &mut Draft<'_>, environment: &EnvironmentId, reason: &str) {
        let Self { old, new, new_id } = self;
        let status = old.body.status.rolled_back(draft.at()).unwrap_or_else(|_| old.body.status.clone());
        let ended = Rollout { status, evidence: None, reason: reason.to_owned(), ..old.body.clone() };
        draft.end(&old, ended, "rollout.restart");
        let begun = Rollout { reason: reason.to_owned(), ..new };
        draft.create(rollout_id(environment, &new_id), begun, "rollout.start");
    }
}

impl Draft<'_> {
    /// The rollout ends, as it is to be.
    fn end(&mut self, before: &Stored<Rollout>, after: Rollout, action: &str) -> Stored<Rollout> {
        let stored = self.update(before, after, action);
        self.archive_written(&stored.id);
        Stored { archived: true, ..stored }
    }
}

/// The segments of a spec, each with where it stands in it.
fn segments_of(spec: &Spec) -> impl Iterator<Item = (String, &str)> {
    spec.steps().iter().enumerate().flat_map(|(index, step)| {
        let named = step.segments.iter().enumerate();
        named.map(move |(at, key)| (format!("/steps/{index}/segments/{at}"), key.as_str()))
    })
}

/// What goes with a move of a rollout.
#[derive(Default)]
struct How {
    /// The flag is killed.
    kill: Option<Kill>,
    /// Only while this is held.
    fence: Option<Fence>,
    /// An entry of the event log.
    logged: Option<Vec<u8>>,
}

/// Somebody else may write between our reading and our writing; so often in a row is no coincidence any more.
const MAX_ATTEMPTS: u32 = 10;

impl Request {
    /// What the controller does, and why.
    fn controller(reason: &Reason) -> Self {
        let actor = super::Actor { id: "controller".to_owned(), name: "Rollout controller".to_owned() };
        let principal = Principal { actor, instance_admin: true, roles: std::collections::BTreeMap::new() };
        Self { principal, reason: reason.to_string(), request_id: String::new(), idempotency: None }
    }
}

/// The status after a person's action, and the action's name in the audit log.
fn moved(rollout: &Rollout, wanted: &RolloutMove, now: Timestamp) -> Result<(Status, &'static str), AppError> {
    let status = &rollout.status;
    let names_gate = matches!(wanted.action, RolloutAction::Override | RolloutAction::Heed);
    let gate = match wanted.gate.as_deref() {
        Some(_) if !names_gate => {
            return Err(AppError::invalid("/gate", "only `override` and `heed` are about a gate"));
        }
        Some(gate) if !rollout.spec.gates().iter().any(|known| known.key == gate) => {
            let known: Vec<_> = rollout.spec.gates().iter().map(|gate| format!("`{}`", gate.key)).collect();
            return Err(AppError::invalid("/gate", format!("the rollout's gates are {}", known.join(", "))));
        }
        None if names_gate => return Err(AppError::invalid("/gate", "which gate")),
        gate => gate.unwrap_or_default(),
    };
    Ok(match wanted.action {
        RolloutAction::Pause => (status.paused(now)?, "rollout.pause"),
        RolloutAction::Resume => (status.resumed(now)?, "rollout.resume"),
        RolloutAction::Approve => (status.approved()?, "rollout.approve"),
        RolloutAction::Skip => (status.skipped()?, "rollout.skip"),
        RolloutAction::RollBack => (status.rolled_back(now)?, "rollout.rollBack"),
        RolloutAction::Override => (status.overriding(gate)?, "rollout.override"),
        RolloutAction::Heed => (status.heeding(gate)?, "rollout.heed"),
        RolloutAction::Complete => (status.completed(now)?, "rollout.complete"),
    })
}

/// Nobody but its rollout changes what a flag under rollout serves to whom; to disable and to kill it is always possible.
///
/// # Errors
/// [`AppError::InUse`], with the way out.
pub(super) fn check_lock(before: &FlagEnvironment, after: &FlagEnvironment) -> Result<(), AppError> {
    let Some(rollout) = &before.rollout else { return Ok(()) };
    let free = FlagEnvironment { enabled: before.enabled, availability: before.availability, ..after.clone() };
    if free == *before {
        return Ok(());
    }
    let detail = format!(
        "the rollout `{rollout}` moves this flag, and what it says of the new variant would mean nothing after a change: roll it back, \
         let it complete, or say `restartRollout=true`. To disable or kill the flag is possible"
    );
    Err(AppError::InUse { detail })
}

/// The variant that everybody has, where a rollout to `variant` may start.
fn startable(flag: &FlagKey, configuration: &FlagEnvironment, variant: &VariantKey) -> Result<VariantKey, AppError> {
    let refused = |detail: String| Err(AppError::InUse { detail });
    if let Some(rollout) = &configuration.rollout {
        return refused(format!("the rollout `{rollout}` moves this flag already: let it end first"));
    }
    if configuration.is_off() {
        return refused(format!(
            "flag `{}` is disabled or killed here, so that nobody would get the variant",
            flag.as_str()
        ));
    }
    match configuration.default.variant_for_all() {
        Some(baseline) if baseline != variant => Ok(baseline.clone()),
        Some(_) => Err(AppError::invalid("/variant", "the flag's default serves this variant to everybody already")),
        None => {
            refused("the flag's default serves several variants: set it to the one that everybody has now".to_owned())
        }
    }
}

/// Refuses new rules that would be taken for a rollout's own.
pub(super) fn check_rule_ids(before: &FlagEnvironment, after: &FlagEnvironment) -> Result<(), AppError> {
    let is_new = |rule: &Rule| before.rules.iter().all(|other| other.id != rule.id);
    match after.rules.iter().position(|rule| rule.id.starts_with(ROLLOUT_RULE) && is_new(rule)) {
        Some(index) => {
            let detail = format!("`{ROLLOUT_RULE}…` is for the rules of rollouts: choose another id, or leave it out");
            Err(AppError::invalid(format!("/rules/{index}/id"), detail))
        }
        None => Ok(()),
    }
}

/// The share in force, 0 to 100,000.
pub(super) fn share(spec: &Spec, status: &Status) -> u32 {
    match (status.state, status.step) {
        (State::RolledBack | State::Killed, _) | (_, None) => 0,
        (_, Some(step)) => spec.steps().get(step).map_or(0, |step| step.share),
    }
}

/// The id of the rule that a rollout has while it has one.
pub(super) fn rule_id(rollout: &str) -> String {
    format!("{ROLLOUT_RULE}{rollout}")
}

pub(super) fn rollout_id(environment: &EnvironmentId, id: &str) -> DocumentId {
    id_of::<Rollout>(environment.scope(), id)
}

fn view(stored: Stored<Rollout>, live: Option<LiveRollout>) -> RolloutView {
    let Stored { id, created_at, body, .. } = stored;
    let share = body.share();
    let Rollout { flag, variant, baseline, salt, spec, status, evidence, reason } = body;
    let started_at = Moment(created_at);
    RolloutView { id: id.key, flag, variant, baseline, salt, spec, status, share, started_at, evidence, reason, live }
}
