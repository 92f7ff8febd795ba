-- Times are milliseconds since the Unix epoch, unless the name says seconds. Rows that others point
-- to are marked as removed and stay: their numbers are never used again, and a person made again
-- gets nothing of the former one.

-- `jtn1`: what marks the file as ours.
PRAGMA application_id = 1786015281;

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The first epoch: which database this is, through every restore.
    origin BLOB NOT NULL CHECK (length(origin) = 16),
    -- Changes with every restore, so that nobody mistakes an older copy for a later state.
    epoch BLOB NOT NULL CHECK (length(epoch) = 16),
    issuer TEXT,
    -- How many changes the directory and the keys have seen. Each change stamps its number on the
    -- organizations and people that it concerns, and here on what concerns the deployment.
    edits INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    -- The feed's last event: its number and its hash.
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- The feed's events up to here are no longer kept, and what the last of them hashed to. What they
    -- ended stays ended: that stands in the tokens' own rows, and cut-offs stay beyond it.
    pruned_through INTEGER NOT NULL DEFAULT 0,
    pruned_hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000',
    -- Records of tokens that had ended by this instant may be purged. No trigger reads a clock.
    purged_through INTEGER NOT NULL DEFAULT 0,
    -- For how many seconds the JWKS may be kept, and until when somebody may keep a copy of it that was
    -- handed out when that was longer.
    jwks_max_age INTEGER NOT NULL DEFAULT 0,
    jwks_copies_until INTEGER NOT NULL DEFAULT 0,
    -- When this file was made as a backup; NULL in one that is served from.
    backed_up_at INTEGER,
    -- The last event when this database was restored: tokens that it ends may live without a record.
    restored_through INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE organizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id BLOB NOT NULL UNIQUE CHECK (length(public_id) = 16),
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    email TEXT,
    notification_url TEXT,
    policy TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER,
    -- The last change of it, its teams, its projects or who belongs there.
    generation INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX organizations_by_generation ON organizations (generation);
CREATE UNIQUE INDEX organizations_by_name ON organizations (canonical_name) WHERE deleted_at IS NULL;

CREATE TABLE teams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    organization INTEGER NOT NULL REFERENCES organizations,
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX teams_by_name ON teams (organization, canonical_name) WHERE deleted_at IS NULL;

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    first_name TEXT,
    last_name TEXT,
    username TEXT,
    password_hash TEXT NOT NULL,
    site_admin INTEGER NOT NULL CHECK (site_admin IN (0, 1)),
    disabled_at INTEGER,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER,
    -- The last change of the person or of where they belong.
    generation INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX users_by_generation ON users (generation);
CREATE UNIQUE INDEX users_by_email ON users (email) WHERE deleted_at IS NULL;
CREATE INDEX site_admins ON users (id) WHERE site_admin = 1 AND deleted_at IS NULL;

CREATE TABLE memberships (
    organization INTEGER NOT NULL REFERENCES organizations,
    user INTEGER NOT NULL REFERENCES users,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (organization, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_by_user ON memberships (user);

CREATE TABLE team_memberships (
    team INTEGER NOT NULL REFERENCES teams,
    user INTEGER NOT NULL REFERENCES users,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (team, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_memberships_by_user ON team_memberships (user);

-- What waits for a person who does not exist yet.
CREATE TABLE invitations (
    organization INTEGER NOT NULL REFERENCES organizations,
    -- 0 is the organization itself.
    team INTEGER NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (organization, team, email)
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_by_email ON invitations (email);

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id < 2147483648),
    organization INTEGER NOT NULL REFERENCES organizations,
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (organization, canonical_name)
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kid TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('published', 'signing', 'retired', 'gone', 'withdrawn')),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    -- By then every copy of the JWKS that anybody may still keep has the key.
    signs_from INTEGER NOT NULL,
    -- Nothing that the key signed lives longer. It may say a minute too much, and never too little.
    needed_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX one_signing_key ON keys (state) WHERE state = 'signing';

CREATE TABLE status_lists (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id < 4294967296),
    epoch BLOB NOT NULL CHECK (length(epoch) = 16),
    -- How long its tokens live, so that they end together and the whole list can retire.
    lifetime_class INTEGER NOT NULL,
    permutation_key BLOB NOT NULL CHECK (length(permutation_key) = 16),
    -- How many of its places are given away.
    used INTEGER NOT NULL CHECK (used BETWEEN 0 AND 1048576),
    opened_at INTEGER NOT NULL,
    -- Set when the tokens of the list have all ended. The row stays, so that its number is never given again.
    retired_at INTEGER
) STRICT;

-- Each index on this table costs every issue: only what the queries' plans show in use is here.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    jti BLOB NOT NULL UNIQUE CHECK (length(jti) = 16),
    session INTEGER NOT NULL CHECK (session IN (0, 1)),
    name TEXT NOT NULL,
    description TEXT,
    -- Whose it is: the team's, else the person's, else the organization's, else the deployment's.
    organization INTEGER REFERENCES organizations,
    team INTEGER REFERENCES teams,
    user INTEGER REFERENCES users,
    scopes TEXT NOT NULL,
    preset TEXT,
    projects TEXT,
    audience TEXT NOT NULL,
    prefix TEXT NOT NULL,
    key INTEGER NOT NULL REFERENCES keys,
    status_list INTEGER NOT NULL REFERENCES status_lists,
    status_index INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_by_user INTEGER REFERENCES users,
    -- The number of the token that made it. Its record may be gone by now: numbers are never used again.
    created_by_token INTEGER,
    expires_at INTEGER,
    -- The place among its owner's tokens that it takes alone.
    slot TEXT,
    -- The number of the token that it replaces, whose record may be gone too.
    rotated_from INTEGER,
    last_used_at INTEGER,
    -- From which address, where that is recorded at all.
    last_used_from TEXT,
    -- How often it was presented after it had been revoked.
    refusals INTEGER NOT NULL DEFAULT 0,
    last_refused_at INTEGER,
    revoked_at INTEGER,
    effective_at INTEGER,
    revoked_by TEXT,
    revocation_reason TEXT,
    CHECK (team IS NULL OR (user IS NULL AND organization IS NOT NULL)),
    CHECK ((revoked_at IS NULL) = (effective_at IS NULL) AND (revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK (effective_at >= revoked_at)
) STRICT;
CREATE INDEX tokens_by_organization ON tokens (organization) WHERE organization IS NOT NULL AND session = 0;
CREATE INDEX tokens_by_team ON tokens (team) WHERE team IS NOT NULL AND session = 0;
CREATE INDEX tokens_by_user ON tokens (user) WHERE user IS NOT NULL AND session = 0;
-- What a person's sessions are found by when all of them end and their bits are to be set. API tokens are
-- not in it, so that issuing one costs nothing more.
CREATE INDEX sessions_by_user ON tokens (user) WHERE session = 1;
-- What a token has made. Tokens that a session made, which are most, are not in it.
CREATE INDEX tokens_by_maker ON tokens (created_by_token) WHERE created_by_token IS NOT NULL;
-- Ordinary tokens are in neither of these two.
CREATE UNIQUE INDEX one_successor ON tokens (rotated_from) WHERE rotated_from IS NOT NULL;
-- A token in its grace has left its slot. No row has the number 0.
CREATE UNIQUE INDEX one_token_a_slot
    ON tokens (slot, coalesce(organization, 0), coalesce(team, 0), coalesce(user, 0))
    WHERE slot IS NOT NULL AND effective_at IS NULL;
-- By which a start finds all revoked tokens. In the order of their revocations: in the order of their places,
-- which are drawn at random, each revocation would change a page of its own.
CREATE INDEX tokens_revoked ON tokens (effective_at, status_list, status_index, expires_at)
    WHERE effective_at IS NOT NULL;

-- How many active tokens an owner has, where its organization limits that. Kept up by the order that records
-- or revokes a token, in its transaction: never too low, and too high until the tokens are counted anew.
CREATE TABLE owner_counts (
    -- The columns that tokens have; 0 is none.
    organization INTEGER NOT NULL,
    team INTEGER NOT NULL,
    user INTEGER NOT NULL,
    -- Raised by every change of the row.
    version INTEGER NOT NULL,
    -- NULL until the tokens are counted.
    active INTEGER CHECK (active >= 0),
    -- The latest instant of a change.
    as_of INTEGER NOT NULL,
    -- When the tokens were counted, and the feed's last event then.
    counted_at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- When the first of them ends by itself.
    first_end INTEGER NOT NULL,
    PRIMARY KEY (organization, team, user)
) STRICT, WITHOUT ROWID;
-- What is deleted with a person.
CREATE INDEX owner_counts_by_user ON owner_counts (user) WHERE user <> 0;

-- The feed: one row for each revocation of a token and each cut-off, in the order of their commits.
CREATE TABLE revocations (
    sequence INTEGER PRIMARY KEY,
    epoch BLOB NOT NULL CHECK (length(epoch) = 16),
    kind TEXT NOT NULL CHECK (kind IN ('token', 'cut_off')),
    recorded_at INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    actor_user INTEGER REFERENCES users,
    reason TEXT,
    -- Of a token.
    token INTEGER,
    jti BLOB,
    status_list INTEGER,
    status_index INTEGER,
    expires_at INTEGER,
    -- Of a cut-off: what is not NULL must match.
    organization INTEGER,
    team INTEGER,
    user INTEGER,
    project INTEGER,
    kid TEXT,
    session INTEGER,
    issued_through_seconds INTEGER,
    -- Over this event and the hash before it.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    CHECK ((kind = 'token') = (token IS NOT NULL)),
    CHECK ((kind = 'cut_off') = (issued_through_seconds IS NOT NULL))
) STRICT;
-- A cut-off is found by the narrowest owner that it names, and only if it reaches far enough.
CREATE INDEX cut_offs_by_user ON revocations (user, issued_through_seconds) WHERE user IS NOT NULL;
CREATE INDEX cut_offs_by_team ON revocations (team, issued_through_seconds)
    WHERE team IS NOT NULL AND user IS NULL;
CREATE INDEX cut_offs_by_organization ON revocations (organization, issued_through_seconds)
    WHERE organization IS NOT NULL AND team IS NULL AND user IS NULL;
CREATE INDEX cut_offs_of_all ON revocations (issued_through_seconds)
    WHERE kind = 'cut_off' AND organization IS NULL AND team IS NULL AND user IS NULL;
CREATE INDEX cut_offs_in_order ON revocations (sequence) WHERE kind = 'cut_off';
CREATE INDEX cut_offs_by_instant ON revocations (issued_through_seconds) WHERE kind = 'cut_off';

-- Tokens that were issued and revoked after the backup from which this database was restored. No
-- record of them is left, and verifiers elsewhere still ask for their bit.
CREATE TABLE lost_tokens (
    jti BLOB PRIMARY KEY CHECK (length(jti) = 16),
    status_list INTEGER NOT NULL,
    status_index INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

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
    -- From when on what is revoked is refused, where that is later.
    effective_at INTEGER,
    -- Whether the last token of an owner is revoked too where its organization keeps that.
    last_may_go INTEGER NOT NULL CHECK (last_may_go IN (0, 1)),
    finished_at INTEGER
) STRICT;
CREATE INDEX unfinished_bulk_revocations ON bulk_revocations (id) WHERE finished_at IS NULL;

-- Which audiences report what they see. Use elsewhere is seen by nobody else.
CREATE TABLE reporting_audiences (
    audience TEXT PRIMARY KEY,
    first_reported_at INTEGER NOT NULL,
    last_reported_at INTEGER NOT NULL CHECK (last_reported_at >= first_reported_at)
) STRICT, WITHOUT ROWID;

-- An event and what it does to its token are one statement: neither exists without the other.
CREATE TRIGGER revocation_reaches_token AFTER INSERT ON revocations WHEN NEW.kind = 'token'
BEGIN
    UPDATE tokens
    SET revoked_at = NEW.recorded_at,
        effective_at = NEW.effective_at,
        revoked_by = NEW.actor,
        revocation_reason = NEW.reason
    WHERE id = NEW.token;
END;

-- The one-way doors.
CREATE TRIGGER feed_has_no_gap BEFORE INSERT ON revocations
WHEN NEW.sequence IS NOT
    max(coalesce((SELECT max(sequence) FROM revocations), 0), (SELECT pruned_through FROM meta)) + 1
BEGIN
    SELECT RAISE(ABORT, 'the feed has no gap and no second event of one number');
END;
CREATE TRIGGER feed_is_not_rewritten BEFORE UPDATE ON revocations
BEGIN
    SELECT RAISE(ABORT, 'an event of the feed stays as it is');
END;
-- A cut-off stays while any token that it covers can live.
CREATE TRIGGER feed_is_not_cut BEFORE DELETE ON revocations
WHEN OLD.sequence > (SELECT pruned_through FROM meta)
    OR (OLD.kind = 'cut_off' AND (
        OLD.kid IS NOT NULL
        OR OLD.sequence <= (SELECT restored_through FROM meta)
        OR OLD.issued_through_seconds >= (SELECT created_at / 1000 FROM tokens ORDER BY jti LIMIT 1)))
BEGIN
    SELECT RAISE(ABORT, 'an event of the feed stays');
END;
CREATE TRIGGER revocation_stands BEFORE UPDATE OF revoked_at, effective_at, revoked_by ON tokens
WHEN OLD.effective_at IS NOT NULL AND (NEW.effective_at IS NULL OR NEW.effective_at > OLD.effective_at)
BEGIN
    SELECT RAISE(ABORT, 'a revocation is neither cleared nor postponed');
END;
CREATE TRIGGER signed_facts_stand BEFORE UPDATE OF id, jti, session, organization, team, user, scopes, projects,
    audience, key, status_list, status_index, created_at, expires_at ON tokens
BEGIN
    SELECT RAISE(ABORT, 'what a token was signed with stays as it is');
END;
CREATE TRIGGER lineage_stands BEFORE UPDATE OF slot, rotated_from, created_by, created_by_user, created_by_token ON tokens
BEGIN
    SELECT RAISE(ABORT, 'where a token comes from stays as it is');
END;
CREATE TRIGGER live_token_stays BEFORE DELETE ON tokens
WHEN OLD.expires_at IS NULL OR OLD.expires_at > (SELECT purged_through FROM meta)
BEGIN
    SELECT RAISE(ABORT, 'the record of a token stays until the token has expired');
END;
CREATE TRIGGER place_is_given_once BEFORE UPDATE OF id, epoch, permutation_key, used ON status_lists
WHEN NEW.used < OLD.used OR NEW.id <> OLD.id OR NEW.epoch <> OLD.epoch
    OR NEW.permutation_key <> OLD.permutation_key
BEGIN
    SELECT RAISE(ABORT, 'a place in a status list is given once');
END;
CREATE TRIGGER status_list_stays BEFORE DELETE ON status_lists
BEGIN
    SELECT RAISE(ABORT, 'a status list stays');
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
CREATE TRIGGER key_moves_on BEFORE UPDATE OF state ON keys
WHEN instr('published signing retired gone withdrawn', NEW.state)
    < instr('published signing retired gone withdrawn', OLD.state)
BEGIN
    SELECT RAISE(ABORT, 'a key never goes back to an earlier state');
END;
CREATE TRIGGER key_waits_for_copies BEFORE UPDATE OF state ON keys
WHEN NEW.state = 'signing' AND OLD.state <> 'signing' AND NEW.changed_at < OLD.signs_from
BEGIN
    SELECT RAISE(ABORT, 'a key does not sign before every copy of the JWKS has it');
END;
CREATE TRIGGER key_waits_for_tokens BEFORE UPDATE OF state ON keys
WHEN NEW.state = 'gone' AND OLD.state <> 'gone' AND NEW.changed_at < OLD.needed_until
BEGIN
    SELECT RAISE(ABORT, 'a key stays published while something it signed lives');
END;
CREATE TRIGGER key_stands BEFORE UPDATE OF id, kid, algorithm, public_jwk, created_at, signs_from, needed_until ON keys
WHEN NEW.id <> OLD.id OR NEW.kid <> OLD.kid OR NEW.algorithm <> OLD.algorithm
    OR NEW.public_jwk <> OLD.public_jwk OR NEW.created_at <> OLD.created_at
    OR NEW.signs_from < OLD.signs_from OR NEW.needed_until < OLD.needed_until
BEGIN
    SELECT RAISE(ABORT, 'what a key is does not change, and what it waits for does not come sooner');
END;
CREATE TRIGGER key_stays BEFORE DELETE ON keys
BEGIN
    SELECT RAISE(ABORT, 'a key stays on record');
END;
CREATE TRIGGER organization_stays_removed BEFORE UPDATE OF deleted_at ON organizations
WHEN OLD.deleted_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays removed');
END;
CREATE TRIGGER team_stays_removed BEFORE UPDATE OF deleted_at ON teams
WHEN OLD.deleted_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays removed');
END;
CREATE TRIGGER user_stays_removed BEFORE UPDATE OF deleted_at ON users
WHEN OLD.deleted_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays removed');
END;
