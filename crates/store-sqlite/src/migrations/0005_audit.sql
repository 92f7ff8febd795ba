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
