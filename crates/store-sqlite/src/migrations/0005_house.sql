-- Keeping house, and coming back from a backup.

-- The feed's events up to here are no longer kept, and what the last of them hashed to. What they
-- ended stays ended: that stands in the tokens' own rows, and cut-offs stay beyond it.
ALTER TABLE meta ADD COLUMN pruned_through INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN pruned_hash BLOB NOT NULL
    DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
-- The first epoch: which database this is, through every restore.
ALTER TABLE meta ADD COLUMN origin BLOB;
UPDATE meta SET origin = epoch;
-- When this file was made as a backup; NULL in one that is served from.
ALTER TABLE meta ADD COLUMN backed_up_at INTEGER;
-- The last event when this database was restored: tokens that it ends may live without a record.
ALTER TABLE meta ADD COLUMN restored_through INTEGER NOT NULL DEFAULT 0;

-- A list whose tokens have all ended. Its row stays, so that its number is never given again.
ALTER TABLE status_lists ADD COLUMN retired_at INTEGER;

-- Tokens that were issued and revoked after the backup from which this database was restored. No
-- record of them is left, and verifiers elsewhere still ask for their bit.
CREATE TABLE lost_tokens (
    jti BLOB PRIMARY KEY CHECK (length(jti) = 16),
    status_list INTEGER NOT NULL,
    status_index INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

-- Everything that a process must know of revoked tokens at its start. Others do not enter it.
CREATE INDEX tokens_revoked ON tokens (status_list, status_index, effective_at, expires_at)
    WHERE effective_at IS NOT NULL;

DROP TRIGGER feed_has_no_gap;
CREATE TRIGGER feed_has_no_gap BEFORE INSERT ON revocations
WHEN NEW.sequence IS NOT
    max(coalesce((SELECT max(sequence) FROM revocations), 0), (SELECT pruned_through FROM meta)) + 1
BEGIN
    SELECT RAISE(ABORT, 'the feed has no gap and no second event of one number');
END;

-- A cut-off stays while any token that it covers can live.
DROP TRIGGER feed_is_not_cut;
CREATE TRIGGER feed_is_not_cut BEFORE DELETE ON revocations
WHEN OLD.sequence > (SELECT pruned_through FROM meta)
    OR (OLD.kind = 'cut_off' AND (
        OLD.kid IS NOT NULL
        OR OLD.sequence <= (SELECT restored_through FROM meta)
        OR OLD.issued_through_seconds >= (SELECT created_at / 1000 FROM tokens ORDER BY jti LIMIT 1)))
BEGIN
    SELECT RAISE(ABORT, 'an event of the feed stays');
END;
CREATE TRIGGER feed_is_pruned_in_order BEFORE UPDATE OF pruned_through, pruned_hash ON meta
WHEN NEW.pruned_through < OLD.pruned_through
    OR NEW.pruned_hash IS NOT coalesce(
        (SELECT hash FROM revocations WHERE sequence = NEW.pruned_through),
        CASE NEW.pruned_through WHEN OLD.pruned_through THEN OLD.pruned_hash END)
BEGIN
    SELECT RAISE(ABORT, 'the feed is pruned event by event from its beginning');
END;
CREATE TRIGGER retired_list_stays_retired BEFORE UPDATE OF retired_at ON status_lists
WHEN OLD.retired_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a status list retires once');
END;
