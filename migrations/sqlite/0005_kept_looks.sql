-- What the controller saw of each rollout, now and then, for its chart. Nothing else depends on it.
CREATE TABLE kept_looks (
    rollout   TEXT NOT NULL,
    -- Unix milliseconds, like every time here.
    looked_at INTEGER NOT NULL,
    -- JSON.
    body      TEXT NOT NULL,
    PRIMARY KEY (rollout, looked_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_looks_by_age ON kept_looks (looked_at);
