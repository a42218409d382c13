//! Signed-in browsers.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::Timestamp;
use utoipa::ToSchema;

use super::{
    App, AppError, Principal, Request, Role,
    documents::Stored,
    password, secret,
    users::{self, UserRecord},
};
use crate::ports::store::{Commit, Session};

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
    /// The user.
    pub me: Me,
    /// Who it is.
    pub principal: Principal,
}

/// A session just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The cookie's value, `id.secret`: shown to nobody but the browser.
    pub cookie: String,
    /// Who signed in.
    pub me: Me,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The person.
    pub user: MyUser,
    /// May do everything.
    pub instance_admin: bool,
    /// The role in each project.
    pub roles: BTreeMap<String, Role>,
}

/// The signed-in person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyUser {
    /// Names the person for ever.
    pub id: String,
    /// What people call them.
    pub name: String,
    /// What they sign in with.
    pub email: String,
}

impl From<&Stored<UserRecord>> for Me {
    fn from(user: &Stored<UserRecord>) -> Self {
        let UserRecord { name, email, instance_admin, roles, .. } = user.body.clone();
        Self { user: MyUser { id: user.id.key.clone(), name, email }, instance_admin, roles }
    }
}

/// Signs in with a password.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is wrong, or there is no such person, or they have no password: never says
/// which, and takes as long.
pub async fn sign_in(app: &App, email: &str, password: &str, request_id: &str) -> Result<NewSession, AppError> {
    // From before the password is looked at: whoever changes it meanwhile voids this session too.
    let started = app.clock.now();
    let user = users::by_email(app, email).await?;
    let hash = user.as_ref().and_then(|user| user.body.password_hash.as_deref());
    let right = password::verify(password, hash).await?;
    match user.filter(|_| right) {
        Some(user) => open(app, &user, started, request_id).await,
        None => Err(AppError::Unauthenticated { detail: "the e-mail address or the password is wrong".to_owned() }),
    }
}

/// Signs in with a one-time link.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it was used, has expired or never was.
pub async fn follow_link(app: &App, secret: &str, request_id: &str) -> Result<NewSession, AppError> {
    let refused =
        || AppError::Unauthenticated { detail: "the link was used or has expired: ask for a new one".to_owned() };
    let now = app.clock.now();
    let link = app.store.take_link(&users::sign_in_hash(secret), now).await?;
    let id = link.and_then(|link| link.user).ok_or_else(refused)?;
    let user = users::live(app, &id).await?.ok_or_else(refused)?;
    open(app, &user, now, request_id).await
}

/// Opens a session for a person who has shown who they are, as of `started`.
pub(super) async fn open(
    app: &App,
    user: &Stored<UserRecord>,
    started: Timestamp,
    request_id: &str,
) -> Result<NewSession, AppError> {
    let request = Request {
        principal: users::principal(user),
        reason: String::new(),
        request_id: request_id.to_owned(),
        idempotency: None,
    };
    let entry = request.audit(started, "session.create", format!("user/{}", user.id.key));
    app.commit(&request, Commit { at: started, audit: vec![entry], ..Commit::default() }).await?;
    let secret = secret::random_secret(app.ids.as_ref());
    let session = Session {
        id: app.ids.ulid(started),
        secret_hash: secret::hash(&secret),
        user: user.id.key.clone(),
        created_at: started,
        seen_at: started,
    };
    app.store.put_session(&session).await?;
    Ok(NewSession { cookie: format!("{}.{secret}", session.id), me: user.into() })
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
    let user = users::live(app, &session.user).await?;
    let Some(user) = user.filter(|user| session.created_at >= user.body.password_set_at) else { return Ok(None) };
    if now.0.saturating_sub(session.seen_at.0) >= TOUCH_AFTER_MS {
        app.store.touch_session(&session.id, now).await?;
    }
    Ok(Some(SignedIn { session: session.id, me: (&user).into(), principal: users::principal(&user) }))
}

/// Ends a session.
///
/// # Errors
/// [`AppError::Store`].
pub async fn end(app: &App, session: &str) -> Result<(), AppError> {
    Ok(app.store.delete_session(session).await?)
}

/// How long answers to requests with an idempotency key are kept, in milliseconds: a day.
const IDEMPOTENCY_MS: i64 = 24 * 3_600_000;

/// Forgets what has ended: sessions, links, and the answers kept for repetitions. To be called now and then. Returns
/// how many went.
///
/// # Errors
/// [`AppError::Store`].
pub async fn prune(app: &App, limits: SessionLimits) -> Result<u64, AppError> {
    let now = app.clock.now();
    let before = |ms: i64| Timestamp(now.0.saturating_sub(ms));
    Ok(app.store.prune_expired(before(IDEMPOTENCY_MS), before(limits.idle_ms), now).await?)
}

/// Who holds a session that was accepted before; `None` where it has ended, or the user is gone. An open stream asks
/// every few seconds: that keeps nobody signed in.
///
/// # Errors
/// [`AppError::Store`] where the database does not answer: no reason to close the stream.
pub async fn still_valid(app: &App, session: &str, user: &str) -> Result<Option<Principal>, AppError> {
    if app.store.session(session).await?.is_none() {
        return Ok(None);
    }
    match app.live::<UserRecord>(&users::id_of(user)).await {
        Ok(user) => Ok(Some(users::principal(&user))),
        Err(AppError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
