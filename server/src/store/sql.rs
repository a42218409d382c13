//! The SQL text, the same for SQLite and PostgreSQL: `$n` parameters, `RETURNING`, `ON CONFLICT`; times are unix
//! milliseconds. What only one of them needs stands in `sqlite.rs` or `postgres.rs`.

/// Columns: `epoch`.
pub(super) const EPOCH: &str = "SELECT epoch FROM meta";

/// `$1` epoch. The first one stays.
pub(super) const PUT_EPOCH: &str = "INSERT INTO meta (id, epoch) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

/// `$1` epoch.
pub(super) const BEGIN_TIMELINE: &str = "UPDATE meta SET epoch = $1";

macro_rules! select_document {
    ($where:literal) => {
        concat!(
            "SELECT kind, scope, key, version, archived, body, created_at, updated_at FROM documents WHERE ",
            $where
        )
    };
}

/// `$1` kind, `$2` scope, `$3` key.
pub(super) const DOCUMENT: &str = select_document!("kind = $1 AND scope = $2 AND key = $3");

/// `$1` kind, `$2` scope, `$3` last key seen (keys are never empty), `$4` limit.
pub(super) const DOCUMENT_PAGE: &str = select_document!("kind = $1 AND scope = $2 AND key > $3 ORDER BY key LIMIT $4");

/// Like [`DOCUMENT_PAGE`] without archived ones, which its index leaves out.
pub(super) const LIVE_DOCUMENT_PAGE: &str =
    select_document!("kind = $1 AND scope = $2 AND key > $3 AND NOT archived ORDER BY key LIMIT $4");

/// `$1` kind, `$2` scope.
pub(super) const LIVE_DOCUMENTS: &str = select_document!("kind = $1 AND scope = $2 AND NOT archived ORDER BY key");

/// `$1` kind, `$2` scope; what of it changed: `$3` project, `$4` environment, `$5` revision had, `$6` kind of object.
pub(super) const CHANGED_DOCUMENTS: &str = select_document!(
    "kind = $1 AND scope = $2 AND NOT archived AND key IN (\
     SELECT key FROM changes WHERE project = $3 AND environment = $4 AND revision > $5 AND kind = $6)"
);

/// `$1` kind, `$2` scope, `$3` key. Columns: `version`, `archived`.
pub(super) const DOCUMENT_STATE: &str =
    "SELECT version, archived FROM documents WHERE kind = $1 AND scope = $2 AND key = $3";

/// `$1` kind, `$2` scope, `$3` key, `$4` archived, `$5` body, `$6` time. Columns: `version`.
pub(super) const PUT_DOCUMENT: &str = "\
    INSERT INTO documents (kind, scope, key, version, archived, body, created_at, updated_at) \
    VALUES ($1, $2, $3, 1, $4, $5, $6, $6) \
    ON CONFLICT (kind, scope, key) DO UPDATE SET version = documents.version + 1, \
    archived = excluded.archived, body = excluded.body, updated_at = excluded.updated_at \
    RETURNING version";

/// Columns: `project`, `environment`, `revision`.
pub(super) const REVISIONS: &str = "SELECT project, environment, revision FROM revisions ORDER BY project, environment";

/// `$1` project, `$2` environment. Columns: `revision`, `floor`.
pub(super) const REVISION: &str = "SELECT revision, floor FROM revisions WHERE project = $1 AND environment = $2";

/// `$1` project, `$2` environment. Columns: `revision`.
pub(super) const NEXT_REVISION: &str = "\
    INSERT INTO revisions (project, environment, revision, floor) VALUES ($1, $2, 1, 0) \
    ON CONFLICT (project, environment) DO UPDATE SET revision = revisions.revision + 1 \
    RETURNING revision";

/// `$1` project, `$2` environment, `$3` revision, `$4` kind, `$5` key.
pub(super) const PUT_CHANGE: &str = "\
    INSERT INTO changes (project, environment, revision, kind, key) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT DO NOTHING";

/// `$1` project, `$2` environment, `$3` revision had. Columns: `kind`, `key`.
pub(super) const CHANGES: &str = "\
    SELECT DISTINCT kind, key FROM changes WHERE project = $1 AND environment = $2 AND revision > $3";

/// `$1` how many revisions stay.
pub(super) const RAISE_FLOORS: &str = "UPDATE revisions SET floor = revision - $1 WHERE revision - $1 > floor";

/// Forgets what is below the floors.
pub(super) const DELETE_CHANGES: &str = "\
    DELETE FROM changes WHERE revision <= (SELECT floor FROM revisions \
    WHERE revisions.project = changes.project AND revisions.environment = changes.environment)";

/// Columns: `sequence`, `hash` of the newest row.
pub(super) const AUDIT_HEAD: &str = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";

macro_rules! audit_columns {
    () => {
        "sequence, occurred_at, actor, actor_name, action, project, environment, resource, state_before, state_after, \
         reason, request_id, leaf_version, previous_hash, hash"
    };
}

/// The columns in their order.
pub(super) const PUT_AUDIT: &str = concat!(
    "INSERT INTO audit (",
    audit_columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
);

/// `$1` last sequence number seen, `$2` limit.
pub(super) const AUDIT_CHAIN: &str =
    concat!("SELECT ", audit_columns!(), " FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2");

// One text per index that can lead: with `$n IS NULL OR …` alone, a rare resource would cost a scan of the whole log.
macro_rules! audit_page {
    ($project:literal, $resource:literal, $actor:literal) => {
        concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit WHERE ",
            $project,
            " AND ($2 IS NULL OR environment = $2) AND ",
            $resource,
            " AND ",
            $actor,
            " AND ($7 IS NULL OR substr(action, 1, length($7)) = $7) AND occurred_at >= $8 AND occurred_at < $9",
            " AND sequence < $5 ORDER BY sequence DESC LIMIT $6"
        )
    };
}

/// `$1` project, `$2` environment, `$3` resource, `$4` actor (each may be null), `$5` sequence, `$6` limit, `$7` how the action
/// begins (may be null), `$8` first time, `$9` time after the last.
pub(super) const AUDIT_PAGE: &str =
    audit_page!("($1 IS NULL OR project = $1)", "($3 IS NULL OR resource = $3)", "($4 IS NULL OR actor = $4)");

/// Like [`AUDIT_PAGE`], with a resource.
pub(super) const AUDIT_PAGE_OF_RESOURCE: &str =
    audit_page!("($1 IS NULL OR project = $1)", "resource = $3", "($4 IS NULL OR actor = $4)");

/// Like [`AUDIT_PAGE`], with an actor.
pub(super) const AUDIT_PAGE_OF_ACTOR: &str =
    audit_page!("($1 IS NULL OR project = $1)", "($3 IS NULL OR resource = $3)", "actor = $4");

/// Like [`AUDIT_PAGE`], with a project.
pub(super) const AUDIT_PAGE_OF_PROJECT: &str =
    audit_page!("project = $1", "($3 IS NULL OR resource = $3)", "($4 IS NULL OR actor = $4)");

/// `$1` key. Columns: `key`, `request`, `status`, `body`.
pub(super) const IDEMPOTENCY: &str = "SELECT key, request, status, body FROM idempotency WHERE key = $1";

/// `$1` key, `$2` request, `$3` status, `$4` body, `$5` time. No row where the key is in use.
pub(super) const PUT_IDEMPOTENCY: &str = "\
    INSERT INTO idempotency (key, request, status, body, created_at) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (key) DO NOTHING";

/// `$1` time.
pub(super) const PRUNE_IDEMPOTENCY: &str = "DELETE FROM idempotency WHERE created_at < $1";

/// `$1` process, `$2` project, `$3` environment, `$4` body, `$5` time.
pub(super) const TELL_RECEIPTS: &str = "\
    INSERT INTO receipts (process, project, environment, body, told_at) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (project, environment, process) DO UPDATE SET body = excluded.body, told_at = excluded.told_at";

/// `$1` project, `$2` environment, `$3` time. Columns: `process`, `body`, `told_at`.
pub(super) const TOLD_RECEIPTS: &str = "\
    SELECT process, body, told_at FROM receipts WHERE project = $1 AND environment = $2 AND told_at >= $3 \
    ORDER BY process";

/// `$1` time.
pub(super) const PRUNE_RECEIPTS: &str = "DELETE FROM receipts WHERE told_at < $1";

/// `$1` name. Columns: all.
pub(super) const LEASE: &str = "SELECT name, holder, epoch, beat, since, renewed_at FROM leases WHERE name = $1";

/// `$1` name, `$2` holder, `$3` since, `$4` time. Columns: all; no row where there is such a lease.
pub(super) const FIRST_LEASE: &str = "\
    INSERT INTO leases (name, holder, epoch, beat, since, renewed_at) VALUES ($1, $2, 1, 1, $3, $4) \
    ON CONFLICT (name) DO NOTHING RETURNING name, holder, epoch, beat, since, renewed_at";

/// `$1` name, `$2` holder, `$3` since, `$4` time, `$5` epoch and `$6` beat seen. Columns: all; no row where it is another.
pub(super) const NEXT_LEASE: &str = "\
    UPDATE leases SET epoch = CASE WHEN holder = $2 THEN epoch ELSE epoch + 1 END, holder = $2, beat = beat + 1, \
    since = $3, renewed_at = $4 WHERE name = $1 AND epoch = $5 AND beat = $6 \
    RETURNING name, holder, epoch, beat, since, renewed_at";

/// Columns: `position`, for the next entry. On a server whoever appends waits here for the one before.
pub(super) const NEXT_POSITION: &str = "UPDATE event_head SET position = position + 1 WHERE id = 1 RETURNING position";

/// `$1` position, `$2` time, `$3` body.
pub(super) const PUT_EVENTS: &str = "INSERT INTO events (position, logged_at, body) VALUES ($1, $2, $3)";

/// `$1` position had, `$2` limit. Columns: all.
pub(super) const EVENTS: &str =
    "SELECT position, logged_at, body FROM events WHERE position > $1 ORDER BY position LIMIT $2";

/// `$1` position.
pub(super) const DELETE_EVENTS: &str = "DELETE FROM events WHERE position <= $1";

/// Columns: `checkpoint`.
pub(super) const CHECKPOINT: &str = "SELECT checkpoint FROM event_head";

/// `$1` position.
pub(super) const PUT_CHECKPOINT: &str = "UPDATE event_head SET checkpoint = $1";

/// `$1` position, `$2` part. Columns: `body`.
pub(super) const CHECKPOINT_PART: &str = "SELECT body FROM checkpoints WHERE position = $1 AND part = $2";

/// `$1` position, `$2` part, `$3` body.
pub(super) const PUT_CHECKPOINT_PART: &str = "INSERT INTO checkpoints (position, part, body) VALUES ($1, $2, $3)";

/// Forgets what is of no use, or was never finished.
pub(super) const DELETE_CHECKPOINTS: &str =
    "DELETE FROM checkpoints WHERE position <> (SELECT checkpoint FROM event_head)";

/// `$1` rollout, `$2` body, `$3` time.
pub(super) const TELL_LOOK: &str = "\
    INSERT INTO looks (rollout, body, looked_at) VALUES ($1, $2, $3) \
    ON CONFLICT (rollout) DO UPDATE SET body = excluded.body, looked_at = excluded.looked_at";

/// `$1` rollout. Columns: all.
pub(super) const TOLD_LOOK: &str = "SELECT rollout, body, looked_at FROM looks WHERE rollout = $1";

/// `$1` credential, `$2` time.
pub(super) const NOTE_USE: &str = "\
    INSERT INTO uses (credential, used_at) VALUES ($1, $2) \
    ON CONFLICT (credential) DO UPDATE SET used_at = excluded.used_at WHERE uses.used_at < excluded.used_at";

/// `$1` how the credential begins. Columns: all.
pub(super) const USES: &str = "SELECT credential, used_at FROM uses WHERE substr(credential, 1, length($1)) = $1";

/// `$1` rollout, `$2` time, `$3` JSON.
pub(super) const KEEP_LOOK: &str =
    "INSERT INTO kept_looks (rollout, looked_at, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

/// `$1` rollout, `$2` the last time before, `$3` limit. Columns: as of a look that was told.
pub(super) const KEPT_LOOKS: &str = "\
    SELECT rollout, body, looked_at FROM kept_looks WHERE rollout = $1 AND looked_at > $2 ORDER BY looked_at LIMIT $3";

/// `$1` time.
pub(super) const PRUNE_KEPT_LOOKS: &str = "DELETE FROM kept_looks WHERE looked_at < $1";

/// `$1` time.
pub(super) const PRUNE_LOOKS: &str = "DELETE FROM looks WHERE looked_at < $1";

/// `$1` id. Columns: all.
pub(super) const SESSION: &str = "SELECT id, secret_hash, user_id, created_at, seen_at FROM sessions WHERE id = $1";

/// `$1` id, `$2` hash, `$3` user, `$4` created, `$5` seen.
pub(super) const PUT_SESSION: &str = "\
    INSERT INTO sessions (id, secret_hash, user_id, created_at, seen_at) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, user_id = excluded.user_id, \
    created_at = excluded.created_at, seen_at = excluded.seen_at";

/// `$1` id, `$2` time.
pub(super) const TOUCH_SESSION: &str = "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2";

/// `$1` id.
pub(super) const DELETE_SESSION: &str = "DELETE FROM sessions WHERE id = $1";

/// `$1` user.
pub(super) const DELETE_USER_SESSIONS: &str = "DELETE FROM sessions WHERE user_id = $1";

/// `$1` time.
pub(super) const PRUNE_SESSIONS: &str = "DELETE FROM sessions WHERE seen_at < $1";

/// `$1` hash, `$2` user, `$3` end.
pub(super) const PUT_LINK: &str = "\
    INSERT INTO links (secret_hash, user_id, expires_at) VALUES ($1, $2, $3) \
    ON CONFLICT (secret_hash) DO UPDATE SET user_id = excluded.user_id, expires_at = excluded.expires_at";

/// `$1` hash. Columns: all.
pub(super) const TAKE_LINK: &str =
    "DELETE FROM links WHERE secret_hash = $1 RETURNING secret_hash, user_id, expires_at";

/// `$1` time.
pub(super) const PRUNE_LINKS: &str = "DELETE FROM links WHERE expires_at <= $1";

/// Columns: `cursor`.
pub(super) const NOTIFIER_CURSOR: &str = "SELECT cursor FROM notifier";

/// `$1` the cursor expected, `$2` the next.
pub(super) const MOVE_NOTIFIER_CURSOR: &str = "UPDATE notifier SET cursor = $2 WHERE cursor = $1";

macro_rules! delivery_columns {
    () => {
        "id, project, channel, sequence, subject, notification, state, n_attempts, due_at, created_at, tried_at, status, \
         duration_ms, problem"
    };
}

/// The columns in their order; nobody is at it.
pub(super) const PUT_DELIVERY: &str = concat!(
    "INSERT INTO deliveries (",
    delivery_columns!(),
    ", claimed_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0) ON CONFLICT DO NOTHING"
);

/// `$1` project, `$2` channel. Columns: how many wait.
pub(super) const N_WAITING: &str =
    "SELECT COUNT(*) FROM deliveries WHERE project = $1 AND channel = $2 AND state = 'waiting'";

/// `$1` project, `$2` channel, `$3` subject, `$4` time.
pub(super) const DELIVER_SUBJECT_NOW: &str = "\
    UPDATE deliveries SET due_at = $4 WHERE project = $1 AND channel = $2 AND subject = $3 AND state = 'waiting' \
    AND due_at > $4 AND claimed_until <= $4";

/// `$1` id, `$2` time.
pub(super) const DELIVER_CHANNEL_NOW: &str = "\
    UPDATE deliveries SET due_at = $2 WHERE state = 'waiting' AND due_at > $2 AND claimed_until <= $2 \
    AND (project, channel) = (SELECT project, channel FROM deliveries WHERE id = $1)";

/// Columns: how many wait, when the oldest was enqueued, when the next is due.
pub(super) const DELIVERY_QUEUE: &str =
    "SELECT COUNT(*), MIN(created_at), MIN(due_at) FROM deliveries WHERE state = 'waiting'";

/// `$1` now, `$2` until, `$3` limit.
pub(super) const TAKE_DELIVERIES: &str = concat!(
    "UPDATE deliveries SET claimed_until = $2, due_at = $2 WHERE id IN (SELECT id FROM (\
     SELECT d.id, d.due_at, ROW_NUMBER() OVER (PARTITION BY d.project, d.channel ORDER BY d.sequence) AS place \
     FROM deliveries d WHERE d.state = 'waiting' AND d.due_at <= $1 AND NOT EXISTS (\
     SELECT 1 FROM deliveries o WHERE o.project = d.project AND o.channel = d.channel AND o.state = 'waiting' \
     AND (o.claimed_until > $1 OR (o.subject = d.subject AND o.sequence < d.sequence)))) AS eligible \
     WHERE place = 1 ORDER BY due_at, id LIMIT $3) RETURNING ",
    delivery_columns!()
);

/// `$1` id, `$2` how often it was tried before, `$3` state, `$4` due, `$5` tried, `$6` status, `$7` duration, `$8` problem.
pub(super) const RECORD_ATTEMPT: &str = "\
    UPDATE deliveries SET state = $3, n_attempts = n_attempts + 1, due_at = $4, claimed_until = 0, tried_at = $5, \
    status = $6, duration_ms = $7, problem = $8 WHERE id = $1 AND n_attempts = $2 AND state = 'waiting'";

/// `$1` project, `$2` channel, `$3` sequence, `$4` limit.
pub(super) const DELIVERY_PAGE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries WHERE project = $1 AND channel = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4"
);

/// `$1` project, `$2` channel, `$3` id, `$4` time.
pub(super) const RETRY_DELIVERY: &str = concat!(
    "UPDATE deliveries SET state = 'waiting', n_attempts = 0, due_at = $4, created_at = $4 \
     WHERE project = $1 AND channel = $2 AND id = $3 RETURNING ",
    delivery_columns!()
);

/// `$1` time, `$2` limit.
pub(super) const PRUNE_DELIVERIES: &str = "\
    DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state <> 'waiting' AND created_at < $1 \
    ORDER BY created_at LIMIT $2)";
