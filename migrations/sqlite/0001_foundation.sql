-- One row: what is true of the whole database.
CREATE TABLE meta (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- The id of the database's timeline.
    epoch TEXT NOT NULL
) STRICT;

-- Everything that is configured. Bodies can be megabytes: no WITHOUT ROWID.
CREATE TABLE documents (
    kind       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version > 0),
    archived   INTEGER NOT NULL CHECK (archived IN (0, 1)),
    -- JSON; text, so that what somebody wrote by hand comes back as it is.
    body       TEXT NOT NULL,
    -- Unix milliseconds, like every time here.
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, scope, key)
) STRICT;

-- How often each environment changed, and how far back `changes` tells of it.
CREATE TABLE revisions (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    revision    INTEGER NOT NULL CHECK (revision > 0),
    -- Changes up to this revision are forgotten.
    floor       INTEGER NOT NULL CHECK (floor BETWEEN 0 AND revision),
    PRIMARY KEY (project, environment)
) STRICT, WITHOUT ROWID;

-- Which objects of an environment changed with which revision.
CREATE TABLE changes (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('flag', 'segment')),
    key         TEXT NOT NULL,
    PRIMARY KEY (project, environment, revision, kind, key),
    FOREIGN KEY (project, environment) REFERENCES revisions (project, environment)
) STRICT, WITHOUT ROWID;

-- The audit log: append-only, each row chained to the one before.
CREATE TABLE audit (
    sequence      INTEGER NOT NULL PRIMARY KEY CHECK (sequence > 0),
    occurred_at   INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    actor_name    TEXT NOT NULL,
    action        TEXT NOT NULL,
    project       TEXT,
    environment   TEXT,
    resource      TEXT NOT NULL,
    -- Canonical JSON (RFC 8785), like `state_after`.
    state_before  TEXT NOT NULL,
    state_after   TEXT NOT NULL,
    reason        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    leaf_version  INTEGER NOT NULL,
    previous_hash TEXT NOT NULL,
    hash          TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_project ON audit (project, sequence);
CREATE INDEX audit_by_resource ON audit (resource, sequence);
CREATE INDEX audit_by_actor ON audit (actor, sequence);

CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_refuses_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE sequence >= NEW.sequence)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- Answers kept for repeated requests.
CREATE TABLE idempotency (
    key        TEXT NOT NULL PRIMARY KEY,
    request    TEXT NOT NULL,
    status     INTEGER NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Signed-in browsers.
CREATE TABLE sessions (
    id          TEXT NOT NULL PRIMARY KEY,
    secret_hash TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);

-- One-time links, by the hash of their secret.
CREATE TABLE links (
    secret_hash TEXT NOT NULL PRIMARY KEY,
    -- Null: first-run set-up.
    user_id     TEXT,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
