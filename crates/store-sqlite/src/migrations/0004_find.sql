-- From which address a token was last used, where that is recorded at all.
ALTER TABLE tokens ADD COLUMN last_used_from TEXT;

-- From when on what is revoked is refused, where that is later, and whether the last token of an
-- owner is revoked too where its organization keeps that.
ALTER TABLE bulk_revocations ADD COLUMN effective_at INTEGER;
ALTER TABLE bulk_revocations ADD COLUMN last_may_go INTEGER NOT NULL DEFAULT 0 CHECK (last_may_go IN (0, 1));

-- Which audiences report what they see. Use elsewhere is seen by nobody else.
CREATE TABLE reporting_audiences (
    audience TEXT PRIMARY KEY,
    first_reported_at INTEGER NOT NULL,
    last_reported_at INTEGER NOT NULL CHECK (last_reported_at >= first_reported_at)
) STRICT, WITHOUT ROWID;
