//! Signed-in browsers.

use tidegate_core::Timestamp;

use super::{
    App, AppError, Principal, secret,
    users::{self, UserRecord},
};
use crate::ports::store::Session;

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Without a request for this long it ends, in milliseconds.
    pub idle_ms: i64,
    /// It ends this long after the sign-in, in milliseconds.
    pub absolute_ms: i64,
}

impl Default for SessionLimits {
    /// 12 hours idle, 7 days in all.
    fn default() -> Self {
        Self { idle_ms: 12 * 3_600_000, absolute_ms: 7 * 24 * 3_600_000 }
    }
}

impl SessionLimits {
    fn allow(self, session: &Session, now: Timestamp) -> bool {
        now.0 < session.seen_at.0.saturating_add(self.idle_ms)
            && now.0 < session.created_at.0.saturating_add(self.absolute_ms)
    }
}

/// `seen_at` is written at most this often, in milliseconds: a request must not cost a write.
const TOUCH_AFTER_MS: i64 = 60_000;

/// A session as a request shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The session's id, to end it.
    pub session: String,
    /// The user's id.
    pub user: String,
    /// Who it is.
    pub principal: Principal,
}

/// Whom the cookie `id.secret` belongs to; `None` where it is wrong, has expired, or the user is gone.
///
/// # Errors
/// [`AppError::Store`].
pub async fn authenticate(app: &App, limits: SessionLimits, cookie: &str) -> Result<Option<SignedIn>, AppError> {
    let now = app.clock.now();
    let Some((id, presented)) = cookie.split_once('.') else { return Ok(None) };
    let Some(session) = app.store.session(id).await? else { return Ok(None) };
    if !secret::matches(presented, &session.secret_hash) || !limits.allow(&session, now) {
        return Ok(None);
    }
    let user = match app.live::<UserRecord>(&users::id_of(&session.user)).await {
        Ok(user) => user,
        Err(AppError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if now.0.saturating_sub(session.seen_at.0) >= TOUCH_AFTER_MS {
        app.store.touch_session(&session.id, now).await?;
    }
    Ok(Some(SignedIn { principal: users::principal(&user), session: session.id, user: session.user }))
}
