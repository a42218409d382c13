//! A credential that stops being valid closes the streams that it opened.

use std::sync::Arc;

use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        App, AppError, SdkPrincipal,
        access::{Action, authorize},
        keys, sessions,
    },
    ports::store::EnvironmentId,
};

/// What a stream was opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An SDK key.
    Key(Arc<SdkPrincipal>),
    /// A person's session, to read an environment.
    Person {
        /// The session's id.
        session: String,
        /// The user's id.
        user: String,
        /// What is read.
        environment: EnvironmentId,
    },
}

impl Credential {
    /// Credentials of the same name are valid or not together.
    fn name(&self) -> String {
        match self {
            Self::Key(key) => format!("key:{}", key.key),
            Self::Person { session, environment, .. } => format!("session:{session}:{}", environment.scope()),
        }
    }

    async fn still_valid(&self, app: &App) -> Result<bool, AppError> {
        match self {
            Self::Key(key) => keys::still_valid(app, key).await,
            Self::Person { session, user, environment } => {
                let principal = sessions::still_valid(app, session, user).await?;
                let may = |principal| authorize(principal, Action::Read, Some(&environment.project)).is_ok();
                Ok(principal.as_ref().is_some_and(may) && app.environment_lives(environment).await?)
            }
        }
    }
}

/// The credentials of all open streams, each looked up once however many streams it opened.
#[derive(Debug, Default)]
pub(super) struct Watchlist(Arc<DashMap<String, Watched>>);

#[derive(Debug)]
struct Watched {
    credential: Credential,
    over: CancellationToken,
    streams: usize,
}

/// A stream's place on the list; dropping it takes the stream off.
#[derive(Debug)]
pub(super) struct Watch {
    /// Cancelled when the credential is not valid any more, or the server stops.
    pub over: CancellationToken,
    name: String,
    list: Arc<DashMap<String, Watched>>,
}

impl Watchlist {
    /// `shutdown` is cancelled when the server stops.
    pub fn watch(&self, credential: Credential, shutdown: &CancellationToken) -> Watch {
        let name = credential.name();
        let mut watched = self.0.entry(name.clone()).or_insert_with(|| Watched {
            credential,
            over: shutdown.child_token(),
            streams: 0,
        });
        watched.streams += 1;
        Watch { over: watched.over.clone(), name, list: Arc::clone(&self.0) }
    }

    /// Looks every credential up and revokes what is not valid any more. A database that does not answer revokes
    /// nothing.
    pub async fn sweep(&self, app: &App) {
        let credentials: Vec<_> =
            self.0.iter().map(|watched| (watched.key().clone(), watched.credential.clone())).collect();
        for (name, credential) in credentials {
            if let Ok(false) = credential.still_valid(app).await
                && let Some((_, watched)) = self.0.remove(&name)
            {
                tracing::info!(credential = name, streams = watched.streams, "revoked: its streams are closed");
                watched.over.cancel();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.list.remove_if_mut(&self.name, |_, watched| {
            watched.streams = watched.streams.saturating_sub(1);
            watched.streams == 0
        });
    }
}
