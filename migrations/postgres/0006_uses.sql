CREATE TABLE uses (
    credential TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    used_at    BIGINT NOT NULL
);
