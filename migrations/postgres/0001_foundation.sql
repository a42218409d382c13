-- The tables of ../sqlite/0001_foundation.sql, which says what they are for. Keys sort by their bytes: COLLATE "C".

CREATE TABLE meta (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch TEXT COLLATE "C" NOT NULL
);

CREATE TABLE documents (
    kind       TEXT COLLATE "C" NOT NULL,
    scope      TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL CHECK (version > 0),
    archived   BOOLEAN NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (kind, scope, key)
);

CREATE TABLE revisions (
    project     TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL CHECK (revision > 0),
    floor       BIGINT NOT NULL CHECK (floor BETWEEN 0 AND revision),
    PRIMARY KEY (project, environment)
);

CREATE TABLE changes (
    project     TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL CHECK (kind IN ('flag', 'segment')),
    key         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, environment, revision, kind, key),
    FOREIGN KEY (project, environment) REFERENCES revisions (project, environment)
);

CREATE TABLE audit (
    sequence      BIGINT NOT NULL PRIMARY KEY CHECK (sequence > 0),
    occurred_at   BIGINT NOT NULL,
    actor         TEXT COLLATE "C" NOT NULL,
    actor_name    TEXT NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    project       TEXT COLLATE "C",
    environment   TEXT COLLATE "C",
    resource      TEXT COLLATE "C" NOT NULL,
    state_before  TEXT NOT NULL,
    state_after   TEXT NOT NULL,
    reason        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    leaf_version  BIGINT NOT NULL,
    previous_hash TEXT COLLATE "C" NOT NULL,
    hash          TEXT COLLATE "C" NOT NULL
);

CREATE INDEX audit_by_project ON audit (project, sequence);
CREATE INDEX audit_by_resource ON audit (resource, sequence);
CREATE INDEX audit_by_actor ON audit (actor, sequence);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;

CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

CREATE TABLE idempotency (
    key        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    request    TEXT COLLATE "C" NOT NULL,
    status     BIGINT NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE sessions (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    secret_hash TEXT COLLATE "C" NOT NULL,
    user_id     TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE links (
    secret_hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id     TEXT COLLATE "C",
    expires_at  BIGINT NOT NULL
);
