-- The latest instant of an order: time never goes back behind it. In whole seconds, unless the order added an
-- event to the feed.
ALTER TABLE meta ADD COLUMN latest_at INTEGER NOT NULL DEFAULT 0;
-- The latest instant that the clock had shown for an hour: data are deleted by it.
ALTER TABLE meta ADD COLUMN settled_at INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET latest_at = max(
    coalesce((SELECT max(created_at) FROM tokens), 0),
    coalesce((SELECT max(recorded_at) FROM revocations), 0),
    coalesce((SELECT max(changed_at) FROM keys), 0));

-- The sum over all revoked tokens (ended.rs), lost ones included. NULL until the first start computes it.
ALTER TABLE meta ADD COLUMN ended BLOB CHECK (length(ended) = 16);

-- How many servers have started on it. The journal has the same number.
ALTER TABLE meta ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;

-- A cut-off whose event is pruned may come to cover less, after the clock was ahead: its tokens are revoked
-- singly.
DROP TRIGGER feed_is_not_rewritten;
CREATE TRIGGER feed_is_not_rewritten BEFORE UPDATE ON revocations
WHEN OLD.sequence > (SELECT pruned_through FROM meta)
    OR NEW.issued_through_seconds > OLD.issued_through_seconds OR NEW.effective_at > OLD.effective_at
    OR NEW.sequence <> OLD.sequence OR NEW.kind <> OLD.kind OR NEW.organization IS NOT OLD.organization
    OR NEW.team IS NOT OLD.team OR NEW.user IS NOT OLD.user OR NEW.project IS NOT OLD.project
    OR NEW.kid IS NOT OLD.kid OR NEW.session IS NOT OLD.session
BEGIN
    SELECT RAISE(ABORT, 'an event of the feed stays as it is');
END;
