-- How far each server's SDKs have come, for the other servers on the database. Nothing is lost with it.
CREATE TABLE receipts (
    -- The server's id, another one for each start.
    process     TEXT NOT NULL,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    -- JSON.
    body        TEXT NOT NULL,
    -- When it was written, in unix milliseconds.
    told_at     INTEGER NOT NULL,
    PRIMARY KEY (project, environment, process)
) STRICT, WITHOUT ROWID;
