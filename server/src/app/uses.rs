//! When SDK keys and API tokens were used last: before one is revoked, somebody asks whether anything still depends on it.

use std::collections::HashMap;

use dashmap::DashMap;
use tidegate_core::Timestamp;

use super::{App, AppError, moment::Moment};

/// When this process last wrote down that a credential was used, by what the audit log calls it: `sdkKey/…`, `token/…`. Only valid ones are here.
#[derive(Debug, Default)]
pub struct Uses(DashMap<String, Timestamp>);

/// A use is written down so long after the one before, in milliseconds: "last used" is true to the minute, and costs one small write a minute.
const EVERY_MS: i64 = 60_000;

impl Uses {
    /// Whether it is time to write down that it is used `now`.
    fn is_due(&self, credential: &str, now: Timestamp) -> bool {
        let lately = |noted: Timestamp| (0..EVERY_MS).contains(&now.0.saturating_sub(noted.0));
        if self.0.get(credential).is_some_and(|noted| lately(*noted)) {
            return false;
        }
        self.0.insert(credential.to_owned(), now);
        true
    }
}

impl App {
    /// Writes down that the credential is used, unless it was lately. That it cannot be written is no reason to refuse whoever uses it.
    pub(super) async fn note_use(&self, credential: &str) {
        let now = self.clock.now();
        if self.uses.is_due(credential, now)
            && let Err(error) = self.store.note_use(credential, now).await
        {
            tracing::warn!(credential, error = &error as &dyn std::error::Error, "its use was not noted");
        }
    }

    /// When credentials whose names begin with `kind`, like `sdkKey/`, were used last, on whichever server.
    pub(super) async fn last_uses(&self, kind: &str) -> Result<HashMap<String, Moment>, AppError> {
        let uses = self.store.uses(kind).await?;
        Ok(uses.into_iter().map(|(credential, at)| (credential, Moment(at))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_due_once_a_minute() {
        let uses = Uses::default();
        let due = |credential, ms| uses.is_due(credential, Timestamp(ms));
        assert!(due("token/a", 0) && due("token/b", 10));
        assert!(!due("token/a", 59_999) && due("token/a", 60_000) && !due("token/a", 60_001));
        // The clock was set back.
        assert!(due("token/a", 5));
    }
}
