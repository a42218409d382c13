//! The demo project: a small shop whose team has used flags for a month.
//!
//! Everything goes through the application like any other change, by a clock that is turned back, so that the audit log
//! tells a true story. `story.json` is that story.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use serde::Deserialize;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tidegate_core::Timestamp;
use ulid::Ulid;

use crate::{
    app::{
        Actor, App, AppError, PageRequest, Principal, Request, Role, SdkKeyKind,
        configurations::Mode,
        environments::CreateEnvironment,
        flags::CreateFlag,
        keys::{self, NewSdkKey},
        kill::KillTarget,
        projects::CreateProject,
        rollouts::StartRollout,
        secret::{CredentialKind, NewCredential},
        segments::CreateSegment,
        users::{self, NewUser},
    },
    ports::{Clock, IdSource, store::EnvironmentId},
};

/// What the demo is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// The id of the instance administrator: whom the sign-in link signs in.
    pub user: String,
    /// By environment: the SDK server key, the same in every demo, so that a terminal's history goes on working.
    pub server_keys: BTreeMap<String, String>,
}

/// Tells the story to an empty database; in one that knows it already, says only what the demo is started with.
///
/// # Errors
/// [`AppError`] where the database refuses, or somebody else's users are in it.
pub async fn seed(app: &App) -> Result<Demo, AppError> {
    let story: Story = match serde_json::from_str(include_str!("story.json")) {
        Ok(story) => story,
        Err(error) => unreachable!("a test reads the story: {error}"),
    };
    Teller::new(app, &story).tell(&story).await
}

/// Begins the two rollouts that the demo's traffic is for, where they do not go on yet: of a release that is well, and of one that
/// is not.
///
/// # Errors
/// [`AppError`] where the database refuses.
pub async fn roll_out(app: &App) -> Result<(), AppError> {
    let actor = Actor { id: "system".to_owned(), name: "Demo".to_owned() };
    let principal = Principal { actor, instance_admin: true, roles: BTreeMap::new() };
    let environment = EnvironmentId { project: "shop".to_owned(), environment: "development".to_owned() };
    let releases = [
        ("review-summaries", "summary-error", "Summaries of the new model"),
        ("payment-fallback", "payment-error", "The second provider's new API"),
    ];
    for (flag, metric, reason) in releases {
        let request = request(principal.clone(), reason);
        let before = app.configuration(&principal, &environment, flag).await?;
        if before.rollout.is_some() || before.killed {
            continue;
        }
        let patch = json!({ "enabled": true, "default": { "variant": "off" } });
        app.configure(&request, &environment, flag, before.version, &patch, Mode::Commit).await?;
        let step = |share: u32| json!({ "share": share, "bakeMs": 30_000 });
        let spec = json!({
            "steps": [step(10_000), step(25_000), step(50_000), step(100_000)],
            "gates": [{ "key": "errors", "metric": metric }],
        });
        let start = json!({ "flag": flag, "variant": "on", "spec": spec });
        let start: StartRollout = match serde_json::from_value(start) {
            Ok(start) => start,
            Err(error) => unreachable!("a test starts the rollouts: {error}"),
        };
        app.start_rollout(&request, &environment, start).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Story {
    project: CreateProject,
    environments: Vec<CreateEnvironment>,
    people: Vec<Person>,
    history: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Person {
    name: String,
    email: String,
    #[serde(default)]
    instance_admin: bool,
    role: Option<Role>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    hours_ago: i64,
    by: String,
    #[serde(default)]
    reason: String,
    #[serde(flatten)]
    deed: Deed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Deed {
    CreateSegment { environments: Vec<String>, segment: CreateSegment },
    CreateFlag(CreateFlag),
    Configure { flag: String, environment: String, patch: Json },
    Kill(Place),
    Restore(Place),
}

#[derive(Deserialize)]
struct Place {
    environment: String,
    #[serde(flatten)]
    target: KillTarget,
}

/// How long before the first event the project was set up, in hours.
const SET_UP_HOURS_AGO: i64 = 1_900;

const HOUR_MS: i64 = 3_600_000;

struct Teller {
    /// The application, on the teller's own clock and ids.
    app: App,
    clock: Arc<StoryClock>,
    /// When the story ends.
    now: Timestamp,
    project: String,
}

impl Teller {
    fn new(app: &App, story: &Story) -> Self {
        let clock = Arc::new(StoryClock(AtomicI64::new(0)));
        let ids = Arc::new(StoryIds(AtomicU64::new(0)));
        let now = app.clock.now();
        let app = App { clock: clock.clone(), ids, ..app.clone() };
        Self { app, clock, now, project: story.project.key.as_str().to_owned() }
    }

    async fn tell(&self, story: &Story) -> Result<Demo, AppError> {
        self.go_back(SET_UP_HOURS_AGO);
        let system = Principal {
            actor: Actor { id: "system".to_owned(), name: "Demo".to_owned() },
            instance_admin: true,
            roles: BTreeMap::new(),
        };
        let set_up = request(system.clone(), "Setting up the demo");
        let is_new = self.people(&system).await?.is_empty();
        // Minted whether they are stored or not: the ids of the story repeat, and so the keys are what they were.
        let server_keys = self.server_keys(story, &set_up, is_new).await?;
        if is_new {
            for person in &story.people {
                let project = self.project.clone();
                let new = NewUser {
                    name: person.name.clone(),
                    email: person.email.clone(),
                    password: None,
                    instance_admin: person.instance_admin,
                    roles: person.role.map(|role| (project, role)).into_iter().collect(),
                };
                users::create(&self.app, &set_up, new).await?;
            }
            let people = self.people(&system).await?;
            // In the story's file the events stand by topic; they happened one after the other.
            let mut events: Vec<_> = story.history.iter().collect();
            events.sort_by_key(|event| std::cmp::Reverse(event.hours_ago));
            for event in events {
                self.happen(event, &people).await?;
            }
        }
        let administrator = self.people(&system).await?.into_values().find(|person| person.instance_admin);
        let id = administrator.map(|person| person.actor.id).unwrap_or_default();
        Ok(Demo { user: id.trim_start_matches("user:").to_owned(), server_keys })
    }

    /// The project, its environments and an SDK server key for each.
    async fn server_keys(
        &self,
        story: &Story,
        request: &Request,
        is_new: bool,
    ) -> Result<BTreeMap<String, String>, AppError> {
        if is_new {
            self.app.create_project(request, story.project.clone()).await?;
            for environment in &story.environments {
                self.app.create_environment(request, &self.project, environment.clone()).await?;
            }
        }
        let mut server_keys = BTreeMap::new();
        for (index, environment) in story.environments.iter().enumerate() {
            // Each key from a place of its own in the sequence, whatever else draws from it.
            let ids = Arc::new(StoryIds(AtomicU64::new((index as u64 + 1) << 32)));
            let app = App { ids, ..self.app.clone() };
            let name = environment.key.as_str();
            let key = if is_new {
                let new = NewSdkKey {
                    name: format!("Demo, {name}"),
                    kind: SdkKeyKind::Server,
                    allowed_origins: None,
                    secure_mode: false,
                };
                keys::create(&app, request, &self.environment(name), new).await?.key
            } else {
                NewCredential::mint(CredentialKind::ServerKey, app.ids.as_ref()).text
            };
            server_keys.insert(name.to_owned(), key);
        }
        Ok(server_keys)
    }

    async fn happen(&self, event: &Event, people: &BTreeMap<String, Principal>) -> Result<(), AppError> {
        self.go_back(event.hours_ago);
        let Some(principal) = people.get(&event.by) else {
            return Err(AppError::NotFound { what: format!("person `{}` in the demo", event.by) });
        };
        let request = request(principal.clone(), &event.reason);
        match &event.deed {
            Deed::CreateSegment { environments, segment } => {
                for environment in environments {
                    self.app.create_segment(&request, &self.environment(environment), segment.clone()).await?;
                }
            }
            Deed::CreateFlag(flag) => {
                self.app.create_flag(&request, &self.project, flag.clone()).await?;
            }
            Deed::Configure { flag, environment, patch } => {
                let environment = self.environment(environment);
                let version = self.app.configuration(&request.principal, &environment, flag).await?.version;
                self.app.configure(&request, &environment, flag, version, patch, Mode::Commit).await?;
            }
            Deed::Kill(place) => {
                self.app.kill(&request, &self.environment(&place.environment), &place.target).await?;
            }
            Deed::Restore(place) => {
                self.app.restore(&request, &self.environment(&place.environment), &place.target).await?;
            }
        }
        Ok(())
    }

    /// Everybody, by name, with what they hold.
    async fn people(&self, system: &Principal) -> Result<BTreeMap<String, Principal>, AppError> {
        let all = PageRequest { after: None, limit: 100 };
        let people = users::list(&self.app, system, &all).await?;
        let principal = |user: users::User| {
            let actor = Actor { id: format!("user:{}", user.id), name: user.name.clone() };
            (user.name, Principal { actor, instance_admin: user.instance_admin, roles: user.roles })
        };
        Ok(people.items.into_iter().map(principal).collect())
    }

    fn environment(&self, key: &str) -> EnvironmentId {
        EnvironmentId { project: self.project.clone(), environment: key.to_owned() }
    }

    fn go_back(&self, hours: i64) {
        self.clock.0.store(self.now.0 - hours * HOUR_MS, Ordering::Relaxed);
    }
}

fn request(principal: Principal, reason: &str) -> Request {
    Request { principal, reason: reason.to_owned(), request_id: "demo".to_owned(), idempotency: None }
}

/// The time within the story.
struct StoryClock(AtomicI64);

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Ids that are the same in every demo: SHA-256 of a counter. Nothing made with them is a secret.
struct StoryIds(AtomicU64);

impl IdSource for StoryIds {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::new().chain_update("tidegate demo").chain_update(number.to_be_bytes()).finalize();
            chunk.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
        }
    }

    fn ulid(&self, now: Timestamp) -> String {
        let mut random = [0; 16];
        self.fill(&mut random);
        Ulid::from_parts(u64::try_from(now.0).unwrap_or(0), u128::from_le_bytes(random)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        audit::verify,
        store::MemoryStore,
        testing::{ManualClock, SeededIds},
    };

    #[tokio::test]
    async fn the_story_can_be_told_and_is_told_once() {
        let app =
            App::new(Arc::new(MemoryStore::new("demo")), Arc::<ManualClock>::default(), Arc::<SeededIds>::default());
        let demo = seed(&app).await.unwrap();
        assert_eq!(demo.server_keys.len(), 3);
        assert_eq!(demo.server_keys.values().collect::<BTreeSet<_>>().len(), 3);
        for (environment, key) in &demo.server_keys {
            assert_eq!(&keys::authenticate_sdk(&app, key).await.unwrap().environment.environment, environment);
        }
        let rows = app.store.audit_chain(0, 1_000).await.unwrap();
        assert!(rows.len() > 40, "{} rows", rows.len());
        assert!(rows.is_sorted_by_key(|row| row.entry.at), "the story runs forwards");

        verify(app.store.as_ref()).await.unwrap();

        assert_eq!(seed(&app).await.unwrap(), demo);
        assert_eq!(app.store.audit_chain(0, 1_000).await.unwrap(), rows, "told again, it changes nothing");
    }
}
