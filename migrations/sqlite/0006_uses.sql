-- When SDK keys and API tokens were used last, to the minute. Nothing else depends on it.
CREATE TABLE uses (
    -- As the audit log calls it: sdkKey/…, token/….
    credential TEXT NOT NULL PRIMARY KEY,
    -- Unix milliseconds, like every time here.
    used_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
