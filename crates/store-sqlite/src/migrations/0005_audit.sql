-- The cause of an order, beside the actor: the surface by its number (values.rs), the client's address as 4 or 16
-- bytes, the id of the request, the person for whom a service acted. NULL where an earlier version recorded it.
ALTER TABLE tokens ADD COLUMN surface INTEGER;
ALTER TABLE tokens ADD COLUMN address BLOB;
ALTER TABLE tokens ADD COLUMN request_id TEXT;
ALTER TABLE tokens ADD COLUMN on_behalf_of TEXT;
ALTER TABLE revocations ADD COLUMN actor_token INTEGER;
ALTER TABLE revocations ADD COLUMN surface INTEGER;
ALTER TABLE revocations ADD COLUMN address BLOB;
ALTER TABLE revocations ADD COLUMN request_id TEXT;
ALTER TABLE revocations ADD COLUMN on_behalf_of TEXT;

-- What changed beside tokens and revocations, whose rows are their own record: one row for each effect of an order.
CREATE TABLE actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    actor_user INTEGER REFERENCES users,
    actor_token INTEGER,
    surface INTEGER,
    address BLOB,
    request_id TEXT,
    on_behalf_of TEXT,
    organization INTEGER REFERENCES organizations,
    token INTEGER,
    -- The id, number or address of what was changed.
    target TEXT,
    -- The former and the new values, as JSON objects.
    before TEXT,
    after TEXT,
    reason TEXT
) STRICT;

-- The chain: a line for each row of tokens (source 0), revocations (1) and actions (2). Without REFERENCES, since the
-- sequencer has read all of it from rows that have them.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    -- Not IN: SQLite would build a temporary index of three values for each line.
    source INTEGER NOT NULL CHECK (source BETWEEN 0 AND 2),
    -- The number of the row in its table.
    number INTEGER NOT NULL,
    organization INTEGER,
    actor TEXT NOT NULL,
    actor_user INTEGER,
    actor_token INTEGER,
    token INTEGER,
    -- Over the immutable columns of the row.
    content BLOB NOT NULL CHECK (length(content) = 32),
    -- Over this line and the hash before it.
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_by_organization ON audit (organization) WHERE organization IS NOT NULL;
CREATE INDEX audit_by_token ON audit (token) WHERE token IS NOT NULL;
CREATE INDEX audit_of_the_clock ON audit (at) WHERE action = 'clock.accept';

-- The earliest and the latest instant of 256 lines (sequence / 256 = block), for lists between two instants. Lines are
-- almost in the order of their instants; an index of these would take 12 bytes a line.
CREATE TABLE audit_instants (
    block INTEGER PRIMARY KEY,
    earliest INTEGER NOT NULL,
    latest INTEGER NOT NULL
) STRICT;

-- Heads of the chain that were signed.
CREATE TABLE audit_checkpoints (
    -- The number of lines.
    size INTEGER PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    signed_at INTEGER NOT NULL,
    kid TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;

-- The last line, and its hash.
ALTER TABLE meta ADD COLUMN audit_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN audit_hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
-- The last line that was deleted, and its hash.
ALTER TABLE meta ADD COLUMN audit_pruned_through INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN audit_pruned_hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
-- The last row of each table that has a line, and the last action that may be deleted.
ALTER TABLE meta ADD COLUMN audit_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN audit_revocations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN audit_actions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN audit_actions_pruned INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'a line of the audit stays as it is');
END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
WHEN OLD.sequence > (SELECT audit_pruned_through FROM meta)
BEGIN
    SELECT RAISE(ABORT, 'a line of the audit stays');
END;
CREATE TRIGGER audit_instants_only_widen BEFORE UPDATE ON audit_instants
WHEN NEW.block <> OLD.block OR NEW.earliest > OLD.earliest OR NEW.latest < OLD.latest
BEGIN
    SELECT RAISE(ABORT, 'lists find every line of the audit');
END;
CREATE TRIGGER audit_instants_stay BEFORE DELETE ON audit_instants
WHEN OLD.block >= ((SELECT audit_pruned_through FROM meta) + 1) / 256
BEGIN
    SELECT RAISE(ABORT, 'lists find every line of the audit');
END;
CREATE TRIGGER audit_is_pruned_in_order BEFORE UPDATE OF audit_pruned_through, audit_pruned_hash ON meta
WHEN NEW.audit_pruned_through < OLD.audit_pruned_through
    OR NEW.audit_pruned_hash IS NOT coalesce(
        (SELECT hash FROM audit WHERE sequence = NEW.audit_pruned_through),
        CASE NEW.audit_pruned_through WHEN OLD.audit_pruned_through THEN OLD.audit_pruned_hash END)
    OR NEW.audit_pruned_through > max(
        OLD.audit_pruned_through, coalesce((SELECT max(size) FROM audit_checkpoints), 0))
BEGIN
    SELECT RAISE(ABORT, 'the audit is pruned line by line from its beginning, up to its last checkpoint');
END;
CREATE TRIGGER audit_goes_on BEFORE UPDATE OF audit_sequence, audit_tokens, audit_revocations, audit_actions,
    audit_actions_pruned ON meta
WHEN NEW.audit_sequence < OLD.audit_sequence OR NEW.audit_tokens < OLD.audit_tokens
    OR NEW.audit_revocations < OLD.audit_revocations OR NEW.audit_actions < OLD.audit_actions
    OR NEW.audit_actions_pruned < OLD.audit_actions_pruned
BEGIN
    SELECT RAISE(ABORT, 'the audit never goes back');
END;
-- The actions of pruned lines only: the first action that has a line stays.
CREATE TRIGGER actions_are_pruned_with_their_lines BEFORE UPDATE OF audit_actions_pruned ON meta
WHEN NEW.audit_actions_pruned > OLD.audit_actions_pruned
    AND NEW.audit_actions_pruned > coalesce(
        (SELECT max(number) FROM audit WHERE source = 2 AND sequence <= NEW.audit_pruned_through), 0)
BEGIN
    SELECT RAISE(ABORT, 'an action stays while its line does');
END;
CREATE TRIGGER action_is_not_rewritten BEFORE UPDATE ON actions
BEGIN
    SELECT RAISE(ABORT, 'an action stays as it is');
END;
CREATE TRIGGER action_is_not_cut BEFORE DELETE ON actions
WHEN OLD.id > (SELECT audit_actions_pruned FROM meta)
BEGIN
    SELECT RAISE(ABORT, 'an action stays while its line does');
END;
CREATE TRIGGER checkpoint_is_of_the_chain BEFORE INSERT ON audit_checkpoints
WHEN NEW.hash IS NOT coalesce(
    (SELECT hash FROM audit WHERE sequence = NEW.size),
    (SELECT audit_pruned_hash FROM meta WHERE audit_pruned_through = NEW.size))
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint is a head of the chain');
END;
CREATE TRIGGER checkpoint_is_not_rewritten BEFORE UPDATE ON audit_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint stays as it is');
END;
-- The oldest goes, once 1,440 newer ones are kept (CHECKPOINTS_KEPT) or lines after its own were pruned.
CREATE TRIGGER checkpoint_is_not_cut BEFORE DELETE ON audit_checkpoints
WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE size < OLD.size)
    OR (OLD.size >= (SELECT audit_pruned_through FROM meta)
        AND (SELECT count(*) FROM audit_checkpoints) <= 1440)
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint stays');
END;

-- As before, and with what the audit needs: a row stays until it has a line, and so does what a line is hashed over.
DROP TRIGGER live_token_stays;
CREATE TRIGGER live_token_stays BEFORE DELETE ON tokens
WHEN OLD.expires_at IS NULL OR OLD.expires_at > (SELECT purged_through FROM meta)
    OR OLD.id > (SELECT audit_tokens FROM meta)
BEGIN
    SELECT RAISE(ABORT, 'the record of a token stays until the token has expired and the audit has sealed it');
END;
DROP TRIGGER lineage_stands;
CREATE TRIGGER lineage_stands BEFORE UPDATE OF slot, rotated_from, preset, prefix, created_by, created_by_user,
    created_by_token, surface, address, request_id, on_behalf_of ON tokens
BEGIN
    SELECT RAISE(ABORT, 'where a token comes from stays as it is');
END;
DROP TRIGGER feed_is_not_cut;
CREATE TRIGGER feed_is_not_cut BEFORE DELETE ON revocations
WHEN OLD.sequence > (SELECT pruned_through FROM meta)
    OR OLD.sequence > (SELECT audit_revocations FROM meta)
    OR (OLD.kind = 'cut_off' AND (
        OLD.kid IS NOT NULL
        OR OLD.sequence <= (SELECT restored_through FROM meta)
        OR OLD.issued_through_seconds >= (SELECT created_at / 1000 FROM tokens ORDER BY jti LIMIT 1)))
BEGIN
    SELECT RAISE(ABORT, 'an event of the feed stays');
END;

-- The idempotency keys of requests that were carried out (crates/store/src/idempotency.rs). Digests only: neither a
-- key nor the body of a request is stored. A row never changes; retention deletes the oldest ones.
CREATE TABLE idempotency_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The caller and the key.
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    -- Method, path, query and body.
    request BLOB NOT NULL CHECK (length(request) = 32),
    at INTEGER NOT NULL,
    caller BLOB NOT NULL CHECK (length(caller) = 16),
    -- Numbers the rows of a caller without a gap, so that the newest and the oldest tell how many there are.
    number INTEGER NOT NULL,
    -- What was made, by its public id.
    made_kind TEXT,
    made_id TEXT,
    CHECK ((made_kind IS NULL) = (made_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX idempotency_keys_by_caller ON idempotency_keys (caller, number);

-- Bulk revocations that include what the matching tokens have made. A later version's filter cannot be read by an
-- earlier one, which therefore carries out nothing.
-- What the orderer may revoke, as JSON; NULL if no descendants are revoked.
ALTER TABLE bulk_revocations ADD COLUMN remit TEXT;
-- How many active tokens were met and not revoked.
ALTER TABLE bulk_revocations ADD COLUMN left_over INTEGER NOT NULL DEFAULT 0;
-- Of the first token in the table below that is not expanded: the last of its children that is done.
ALTER TABLE bulk_revocations ADD COLUMN child INTEGER NOT NULL DEFAULT 0;
-- How many portions were carried out.
ALTER TABLE bulk_revocations ADD COLUMN portions INTEGER NOT NULL DEFAULT 0;

-- The tokens that a bulk revocation with descendants has processed, and whether their children are processed too.
-- Emptied before the bulk revocation is finished.
CREATE TABLE bulk_members (
    bulk INTEGER NOT NULL REFERENCES bulk_revocations,
    token INTEGER NOT NULL,
    expanded INTEGER NOT NULL CHECK (expanded IN (0, 1)),
    PRIMARY KEY (bulk, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_parents ON bulk_members (bulk, token) WHERE expanded = 0;
