-- Tokens that take the place of others, revocations of many at once, and what is refused.

ALTER TABLE tokens ADD COLUMN slot TEXT;
-- The number of a token whose record may be gone by now: numbers are never used again.
ALTER TABLE tokens ADD COLUMN rotated_from INTEGER;
-- How often it was presented after it had been revoked.
ALTER TABLE tokens ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN last_refused_at INTEGER;

-- Ordinary tokens are in neither of these.
CREATE UNIQUE INDEX one_successor ON tokens (rotated_from) WHERE rotated_from IS NOT NULL;
-- A token in its grace has left its slot. No row has the number 0.
CREATE UNIQUE INDEX one_token_a_slot
    ON tokens (slot, coalesce(organization, 0), coalesce(team, 0), coalesce(user, 0))
    WHERE slot IS NOT NULL AND effective_at IS NULL;

CREATE TRIGGER lineage_stands BEFORE UPDATE OF slot, rotated_from ON tokens
BEGIN
    SELECT RAISE(ABORT, 'what a token took the place of stays as it is');
END;

-- Revocations of many tokens, carried out bit by bit in the order of their numbers.
CREATE TABLE bulk_revocations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    filter TEXT NOT NULL,
    -- The last token that was there when it was ordered.
    through INTEGER NOT NULL,
    -- All up to this one are done.
    position INTEGER NOT NULL,
    matched INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    ordered_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    actor_user INTEGER REFERENCES users,
    reason TEXT,
    finished_at INTEGER
) STRICT;
CREATE INDEX unfinished_bulk_revocations ON bulk_revocations (id) WHERE finished_at IS NULL;
