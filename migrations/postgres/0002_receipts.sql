-- The table of ../sqlite/0002_receipts.sql, which says what it is for. Unlogged: a crash may empty it, and servers write it anew.

CREATE UNLOGGED TABLE receipts (
    process     TEXT COLLATE "C" NOT NULL,
    project     TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    body        TEXT NOT NULL,
    told_at     BIGINT NOT NULL,
    PRIMARY KEY (project, environment, process)
);
