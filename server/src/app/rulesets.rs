//! The compiled rulesets of environments, kept between requests and brought up to date from the change log.
//!
//! Used to validate changes against everything else in the environment, and to evaluate for people. A request reads what
//! changed since the last one, so that with 10,000 flags a change compiles one.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate_core::{Change, CompileIssue, Ruleset, ruleset::Severity};

use super::{App, AppError, wire};
use crate::ports::store::{EnvironmentDelta, EnvironmentId, EnvironmentSnapshot};

/// An environment's ruleset at a revision.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The environment's revision.
    pub revision: u64,
    /// Its flags and segments.
    pub ruleset: Ruleset,
}

/// The rulesets used last: at most [`Rulesets::CAPACITY`].
#[derive(Debug, Default)]
pub struct Rulesets(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    n_uses: u64,
    by_environment: HashMap<EnvironmentId, (u64, Arc<Compiled>)>,
}

impl Rulesets {
    /// How many environments are kept.
    pub const CAPACITY: usize = 64;

    fn get(&self, environment: &EnvironmentId) -> Option<Arc<Compiled>> {
        let mut entries = self.entries();
        entries.n_uses += 1;
        let n_uses = entries.n_uses;
        let (used, compiled) = entries.by_environment.get_mut(environment)?;
        *used = n_uses;
        Some(Arc::clone(compiled))
    }

    /// Keeps the newest: a slow request does not put back what a fast one has overtaken.
    fn put(&self, environment: &EnvironmentId, compiled: &Arc<Compiled>) {
        let mut entries = self.entries();
        entries.n_uses += 1;
        let n_uses = entries.n_uses;
        if entries.by_environment.get(environment).is_some_and(|(_, kept)| kept.revision > compiled.revision) {
            return;
        }
        entries.by_environment.insert(environment.clone(), (n_uses, Arc::clone(compiled)));
        if entries.by_environment.len() > Self::CAPACITY {
            let oldest = entries.by_environment.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| id.clone());
            oldest.and_then(|id| entries.by_environment.remove(&id));
        }
    }

    fn forget(&self, environment: &EnvironmentId) {
        self.entries().by_environment.remove(environment);
    }

    /// Nothing that holds the lock can panic half-way.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// The environment's ruleset at its present revision. Costs one query and what changed since the last call.
    pub async fn ruleset(&self, environment: &EnvironmentId) -> Result<Arc<Compiled>, AppError> {
        if let Some(kept) = self.rulesets.get(environment) {
            match self.store.environment_delta(environment, kept.revision).await? {
                EnvironmentDelta::Changes { revision, .. } if revision == kept.revision => return Ok(kept),
                EnvironmentDelta::Changes { revision, objects } => {
                    let changes = objects
                        .iter()
                        .filter_map(|(touched, live)| wire::delta_change(environment, touched, live.as_ref()))
                        .collect();
                    let (ruleset, _) = kept.ruleset.update(changes);
                    let compiled = Arc::new(Compiled { revision, ruleset });
                    self.rulesets.put(environment, &compiled);
                    return Ok(compiled);
                }
                EnvironmentDelta::OutOfReach => self.rulesets.forget(environment),
            }
        }
        let snapshot = self.store.environment_snapshot(environment).await?;
        Ok(self.compile(environment, &snapshot))
    }

    /// The ruleset of a snapshot, kept for [`ruleset`](Self::ruleset).
    pub fn compile(&self, environment: &EnvironmentId, snapshot: &EnvironmentSnapshot) -> Arc<Compiled> {
        let (ruleset, issues) = Ruleset::default().update(wire::snapshot_changes(environment, snapshot));
        for issue in issues.iter().filter(|issue| issue.severity == Severity::FlagBroken) {
            tracing::warn!(
                environment = environment.scope(),
                key = issue.key,
                path = issue.path,
                "a flag is broken: {}",
                issue.message
            );
        }
        let compiled = Arc::new(Compiled { revision: snapshot.revision, ruleset });
        self.rulesets.put(environment, &compiled);
        compiled
    }
}

/// What compiling a change finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// New issues that stop the change.
    pub stopping: Vec<CompileIssue>,
    /// Warnings, and issues that were there before.
    pub standing: Vec<CompileIssue>,
}

/// Compiles `changes` on top of `ruleset`. What was already wrong there stops nobody from changing something else.
pub fn judge(ruleset: &Ruleset, changes: Vec<Change>) -> Verdict {
    let known: HashSet<&CompileIssue> = ruleset.issues().collect();
    let (_, found) = ruleset.update(changes);
    let (standing, stopping) =
        found.into_iter().partition(|issue| issue.severity == Severity::Warning || known.contains(issue));
    Verdict { stopping, standing }
}

/// An issue in words, for a place where its path means nothing.
pub(super) fn told(issue: &CompileIssue) -> String {
    let what = if issue.collection == "flags" { "flag" } else { "segment" };
    format!("{what} `{}` at `{}`: {}", issue.key, issue.path, issue.message)
}
