-- Keys that rotate. The table is made anew for the state `gone`, since a CHECK cannot be changed.
CREATE TABLE keys_anew (
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
INSERT INTO keys_anew (id, kid, algorithm, public_jwk, state, created_at, changed_at, signs_from, needed_until)
    SELECT id, kid, algorithm, public_jwk, state, created_at, changed_at,
        -- Until now a copy of the JWKS could be kept for 300 seconds.
        changed_at + 301000,
        coalesce((SELECT max(coalesce(expires_at, 253402300799000)) FROM tokens WHERE tokens.key = keys.id), 0)
    FROM keys;
DROP TABLE keys;
ALTER TABLE keys_anew RENAME TO keys;
CREATE UNIQUE INDEX one_signing_key ON keys (state) WHERE state = 'signing';

-- For how many seconds the JWKS may be kept, and until when somebody may keep a copy of it that was
-- handed out when that was longer.
ALTER TABLE meta ADD COLUMN jwks_max_age INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN jwks_copies_until INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET jwks_max_age = 300 WHERE EXISTS (SELECT 1 FROM keys);

-- The one-way doors.
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
