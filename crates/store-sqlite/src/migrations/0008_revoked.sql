-- The index by which a start finds all revoked tokens is kept in the order of their revocations. In the order
-- of their places, which are drawn at random, each revocation changed a page of its own.
DROP INDEX tokens_revoked;
CREATE INDEX tokens_revoked ON tokens (effective_at, status_list, status_index, expires_at)
    WHERE effective_at IS NOT NULL;
