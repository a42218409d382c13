-- The tables of ../sqlite/0004_notifications.sql, which says what they are for.

CREATE TABLE notifier (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    cursor BIGINT NOT NULL CHECK (cursor >= 0)
);

INSERT INTO notifier (id, cursor) SELECT 1, COALESCE(MAX(sequence), 0) FROM audit;

CREATE TABLE deliveries (
    project       TEXT COLLATE "C" NOT NULL,
    channel       TEXT COLLATE "C" NOT NULL,
    sequence      BIGINT NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    notification  TEXT NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    n_attempts    BIGINT NOT NULL CHECK (n_attempts >= 0),
    due_at        BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    tried_at      BIGINT,
    status        BIGINT,
    duration_ms   BIGINT,
    problem       TEXT,
    PRIMARY KEY (project, channel, sequence)
);

CREATE UNIQUE INDEX deliveries_by_id ON deliveries (id);
CREATE INDEX deliveries_waiting ON deliveries (project, channel, sequence) WHERE state = 'waiting';
CREATE INDEX deliveries_by_age ON deliveries (created_at);
