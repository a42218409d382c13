CREATE TABLE kept_looks (
    rollout   TEXT COLLATE "C" NOT NULL,
    looked_at BIGINT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (rollout, looked_at)
);

CREATE INDEX kept_looks_by_age ON kept_looks (looked_at);
