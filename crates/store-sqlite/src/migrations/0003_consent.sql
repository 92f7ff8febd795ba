-- An invitation is of an address, whether or not a person has it. Its person is asked, unless the row of the
-- organization (team 0) says otherwise; that row decides for the teams too. Whoever was invited before is asked.
ALTER TABLE invitations ADD COLUMN asks INTEGER NOT NULL DEFAULT 1 CHECK (asks IN (0, 1));
-- Who gave the role, and when. NULL in invitations of earlier versions.
ALTER TABLE invitations ADD COLUMN invited_by TEXT;
ALTER TABLE invitations ADD COLUMN invited_at INTEGER;

-- The names that organizations gave up, by removal or by renaming: who had each of them last, and until when.
-- They are reserved for a while (Guard::OrganizationNameFree).
CREATE TABLE former_names (
    canonical_name TEXT PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organizations,
    given_up_at INTEGER NOT NULL,
    -- Who gave it up, if a user did.
    given_up_by INTEGER REFERENCES users
) STRICT, WITHOUT ROWID;
CREATE INDEX former_names_by_user ON former_names (given_up_by, given_up_at) WHERE given_up_by IS NOT NULL;
INSERT INTO former_names (canonical_name, organization, given_up_at)
    SELECT canonical_name, id, max(deleted_at) FROM organizations WHERE deleted_at IS NOT NULL
    GROUP BY canonical_name;
