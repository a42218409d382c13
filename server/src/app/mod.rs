//! The application: every read and write that a person, a token, the CLI or the controller can ask for.
//!
//! A write is a typed command with a [`Principal`] and a reason: authorised in one function
//! ([`access::authorize`]), validated by `core::compile`, committed by one [`Store::commit`](crate::ports::Store).

pub mod access;
pub mod error;
pub mod principal;

pub mod commit;
pub mod moment;
pub mod page;
pub mod times;

pub mod audit;
pub mod keys;
pub mod sessions;
pub mod setup;
pub mod tokens;
pub mod users;

mod password;
mod scan;
pub mod secret;
pub mod throttle;

pub mod documents;
pub mod input;
pub mod limits;
pub mod model;
pub mod resource;

pub mod draft;
pub mod of_project;
pub mod rulesets;
pub mod wire;

pub mod channels;
pub mod configurations;
pub mod counting;
pub mod environments;
pub mod evaluation;
pub mod event_log;
pub mod flag_file;
pub mod flags;
pub mod insights;
pub mod kill;
pub mod looks;
pub mod metric_sources;
pub mod presets;
pub mod previews;
pub mod projects;
pub mod readings;
pub mod recent;
pub mod rollouts;
pub mod segments;
pub mod templates;
pub mod traffic;
pub mod uses;
pub mod watches;
pub mod watching;

use std::sync::Arc;

use dashmap::DashMap;

use crate::ports::{
    Clock, IdSource, Messenger, Metrics, Outgoing, Store, notify::NoMessenger, outgoing::Offline, store::EnvironmentId,
};

pub use documents::{BrokenDocument, Stored};
pub use error::AppError;
pub use page::{Page, PageRequest};
pub use principal::{Actor, Principal, Request, Role, SdkKeyKind, SdkPrincipal};

/// What every use case works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub ids: Arc<dyn IdSource>,
    /// The way to other systems; none until there is one.
    pub outgoing: Arc<dyn Outgoing>,
    /// Who sends messages to the outside.
    pub messenger: Arc<dyn Messenger>,
    /// What asks metric sources; none answers until there is a way to them.
    pub metrics: Arc<dyn Metrics>,
    /// Told which environments a commit touched: a hint, never data.
    pub changes: tokio::sync::broadcast::Sender<EnvironmentId>,
    /// Compiled rulesets, to check changes and to evaluate for people.
    pub rulesets: Arc<rulesets::Rulesets>,
    /// SDK keys that were accepted lately.
    pub keys: Arc<keys::KeyCache>,
    /// The newest revision that this process committed, by environment: what its own readers must not be behind.
    pub heads: Arc<DashMap<EnvironmentId, u64>>,
    /// What is counted of the rollouts that go on.
    pub watches: Arc<watches::Watches>,
    /// What is asked of metric sources for those rollouts.
    pub questions: Arc<readings::Questions>,
    /// How many units ask for flags, about.
    pub traffic: Arc<traffic::Traffic>,
    /// How often flags are served, for people.
    pub insights: Arc<insights::Insights>,
    /// When keys and tokens were used last.
    pub uses: Arc<uses::Uses>,
}

impl App {
    /// How many hints a slow listener may be behind before it has to look for itself.
    const MAX_HINTS: usize = 1_024;

    /// An application on these ports, which sends no messages.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        let (changes, _) = tokio::sync::broadcast::channel(Self::MAX_HINTS);
        Self {
            store,
            clock,
            ids,
            outgoing: Arc::new(Offline),
            messenger: Arc::new(NoMessenger),
            metrics: Arc::new(Offline),
            changes,
            rulesets: Arc::default(),
            keys: Arc::default(),
            heads: Arc::default(),
            watches: Arc::default(),
            questions: Arc::default(),
            traffic: Arc::default(),
            insights: Arc::default(),
            uses: Arc::default(),
        }
    }
}
