-- From which address a token was last used, where that is recorded at all.
ALTER TABLE tokens ADD COLUMN last_used_from TEXT;

-- Which audiences report what they see. Use elsewhere is seen by nobody else.
CREATE TABLE reporting_audiences (
    audience TEXT PRIMARY KEY,
    first_reported_at INTEGER NOT NULL,
    last_reported_at INTEGER NOT NULL CHECK (last_reported_at >= first_reported_at)
) STRICT, WITHOUT ROWID;
