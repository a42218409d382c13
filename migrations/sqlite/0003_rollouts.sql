-- Who does what only one server may do at a time.
CREATE TABLE leases (
    name       TEXT NOT NULL PRIMARY KEY,
    -- The server's id, another one for each start; empty: given up.
    holder     TEXT NOT NULL,
    -- Grows with each change of the holder: a fencing token.
    epoch      INTEGER NOT NULL CHECK (epoch > 0),
    -- Grows with each write: whoever sees it stand still for long knows that the holder is gone.
    beat       INTEGER NOT NULL,
    -- Since when the holder has it without interruption, in unix milliseconds of its clock, like the next.
    since      INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: where the log of what rollouts count ends, and which checkpoint is whole.
CREATE TABLE event_head (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- The position of the last entry, whether it is still there or not.
    position   INTEGER NOT NULL,
    -- The position of the whole checkpoint; 0: there is none.
    checkpoint INTEGER NOT NULL
) STRICT;

INSERT INTO event_head (id, position, checkpoint) VALUES (1, 0, 0);

-- What rollouts count, as servers accepted it, until it is in a checkpoint. Positions have no gaps.
CREATE TABLE events (
    position  INTEGER NOT NULL PRIMARY KEY CHECK (position > 0),
    -- On the clock of the server that wrote it.
    logged_at INTEGER NOT NULL,
    body      BLOB NOT NULL
) STRICT;

-- What was counted up to a position, in parts. Those of another position than the head's are left over.
CREATE TABLE checkpoints (
    position INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (position, part)
) STRICT;

-- What the controller saw of each rollout when it looked last, for the other servers. Nothing is lost with it.
CREATE TABLE looks (
    rollout   TEXT NOT NULL PRIMARY KEY,
    -- JSON.
    body      TEXT NOT NULL,
    looked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rollouts that have ended stay, archived, and are many: those that go on are found without reading them.
CREATE INDEX documents_live ON documents (kind, scope, key) WHERE NOT archived;
