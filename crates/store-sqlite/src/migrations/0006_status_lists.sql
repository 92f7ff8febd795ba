-- What a person's sessions are found by when all of them end and their bits are to be set. API tokens are
-- not in it, so that issuing one costs nothing more.
CREATE INDEX sessions_by_user ON tokens (user) WHERE session = 1;
