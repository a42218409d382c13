-- How far the audit log was read for notifications: one row.
CREATE TABLE notifier (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- The last row that was read.
    cursor INTEGER NOT NULL CHECK (cursor >= 0)
) STRICT;

-- What happened before nobody asked to be told.
INSERT INTO notifier (id, cursor) SELECT 1, COALESCE(MAX(sequence), 0) FROM audit;

-- Notifications on their way, and for some weeks those that arrived or died.
CREATE TABLE deliveries (
    project       TEXT NOT NULL,
    channel       TEXT NOT NULL,
    -- The row of the audit log that it tells of.
    sequence      INTEGER NOT NULL,
    id            TEXT NOT NULL,
    -- Of one subject, one after the other.
    subject       TEXT NOT NULL,
    -- JSON.
    notification  TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    n_attempts    INTEGER NOT NULL CHECK (n_attempts >= 0),
    -- Unix milliseconds, like every time here.
    due_at        INTEGER NOT NULL,
    -- Until then somebody is at it.
    claimed_until INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    tried_at      INTEGER,
    status        INTEGER,
    duration_ms   INTEGER,
    problem       TEXT,
    PRIMARY KEY (project, channel, sequence)
) STRICT;

CREATE UNIQUE INDEX deliveries_by_id ON deliveries (id);
CREATE INDEX deliveries_waiting ON deliveries (project, channel, sequence) WHERE state = 'waiting';
CREATE INDEX deliveries_by_age ON deliveries (created_at);
