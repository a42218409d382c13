-- The tables of ../sqlite/0003_rollouts.sql, which says what they are for. What is unlogged a crash may empty: it is written anew.

CREATE TABLE leases (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder     TEXT COLLATE "C" NOT NULL,
    epoch      BIGINT NOT NULL CHECK (epoch > 0),
    beat       BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL
);

-- Whoever appends updates this row first, and so waits until the one before has committed: no entry becomes visible before one with
-- a lower position.
CREATE TABLE event_head (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position   BIGINT NOT NULL,
    checkpoint BIGINT NOT NULL
);

INSERT INTO event_head (id, position, checkpoint) VALUES (1, 0, 0);

CREATE TABLE events (
    position  BIGINT NOT NULL PRIMARY KEY CHECK (position > 0),
    logged_at BIGINT NOT NULL,
    body      BYTEA NOT NULL
);

CREATE TABLE checkpoints (
    position BIGINT NOT NULL,
    part     BIGINT NOT NULL,
    body     BYTEA NOT NULL,
    PRIMARY KEY (position, part)
);

CREATE UNLOGGED TABLE looks (
    rollout   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body      TEXT NOT NULL,
    looked_at BIGINT NOT NULL
);

CREATE INDEX documents_live ON documents (kind, scope, key) WHERE NOT archived;
