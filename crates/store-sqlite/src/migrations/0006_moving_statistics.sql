-- Where the deployment has moved to (`jeton move`): this database is not served any more.
ALTER TABLE meta ADD COLUMN moved_to TEXT;
CREATE TRIGGER moved_database_stays BEFORE UPDATE ON meta WHEN OLD.moved_to IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'the database has moved and takes no more changes');
END;

-- The API tokens of each organization (0 is the whole deployment) that were issued, and that ended by a revocation or by
-- their expiry, by days after 1970-01-01 in UTC. A known end may be in the future. Added to after the commits
-- (statistics.rs), so that an issue costs no more.
CREATE TABLE statistics (
    organization INTEGER NOT NULL,
    day INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    PRIMARY KEY (organization, day)
) STRICT, WITHOUT ROWID;
-- How often tokens were presented after they had been revoked. Apart, since it is counted with the reports of refusals.
CREATE TABLE statistics_of_refusals (
    organization INTEGER NOT NULL,
    day INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    PRIMARY KEY (organization, day)
) STRICT, WITHOUT ROWID;
-- The tokens and events up to here are counted. If the next event is a cut-off, it is counted for the tokens up to the
-- third.
ALTER TABLE meta ADD COLUMN statistics_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN statistics_revocations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN statistics_covered INTEGER NOT NULL DEFAULT 0;
-- Of the revocation of a token: when an earlier one ended it, or was to end it.
ALTER TABLE revocations ADD COLUMN effective_before INTEGER;

CREATE TRIGGER statistics_go_on BEFORE UPDATE OF statistics_tokens, statistics_revocations ON meta
WHEN NEW.statistics_tokens < OLD.statistics_tokens OR NEW.statistics_revocations < OLD.statistics_revocations
BEGIN
    SELECT RAISE(ABORT, 'statistics count nothing twice');
END;
-- As before, and with what statistics need: a row stays until it is counted.
DROP TRIGGER live_token_stays;
CREATE TRIGGER live_token_stays BEFORE DELETE ON tokens
WHEN OLD.expires_at IS NULL OR OLD.expires_at > (SELECT purged_through FROM meta)
    OR OLD.id > (SELECT min(audit_tokens, statistics_tokens) FROM meta)
BEGIN
    SELECT RAISE(ABORT, 'the record of a token stays until the token has expired and the audit has sealed it');
END;
DROP TRIGGER feed_is_not_cut;
CREATE TRIGGER feed_is_not_cut BEFORE DELETE ON revocations
WHEN OLD.sequence > (SELECT pruned_through FROM meta)
    OR OLD.sequence > (SELECT min(audit_revocations, statistics_revocations) FROM meta)
    OR (OLD.kind = 'cut_off' AND (
        OLD.kid IS NOT NULL
        OR OLD.sequence <= (SELECT restored_through FROM meta)
        OR OLD.issued_through_seconds >= (SELECT created_at / 1000 FROM tokens ORDER BY jti LIMIT 1)))
BEGIN
    SELECT RAISE(ABORT, 'an event of the feed stays');
END;
