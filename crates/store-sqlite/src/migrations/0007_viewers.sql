-- The role `viewer`. The tables are made anew, since a CHECK cannot be changed.

CREATE TABLE memberships_anew (
    organization INTEGER NOT NULL REFERENCES organizations,
    user INTEGER NOT NULL REFERENCES users,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (organization, user)
) STRICT, WITHOUT ROWID;
INSERT INTO memberships_anew (organization, user, role) SELECT organization, user, role FROM memberships;
DROP TABLE memberships;
ALTER TABLE memberships_anew RENAME TO memberships;
CREATE INDEX memberships_by_user ON memberships (user);

CREATE TABLE team_memberships_anew (
    team INTEGER NOT NULL REFERENCES teams,
    user INTEGER NOT NULL REFERENCES users,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (team, user)
) STRICT, WITHOUT ROWID;
INSERT INTO team_memberships_anew (team, user, role) SELECT team, user, role FROM team_memberships;
DROP TABLE team_memberships;
ALTER TABLE team_memberships_anew RENAME TO team_memberships;
CREATE INDEX team_memberships_by_user ON team_memberships (user);

CREATE TABLE invitations_anew (
    organization INTEGER NOT NULL REFERENCES organizations,
    -- 0 is the organization itself.
    team INTEGER NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY (organization, team, email)
) STRICT, WITHOUT ROWID;
INSERT INTO invitations_anew (organization, team, email, role) SELECT organization, team, email, role FROM invitations;
DROP TABLE invitations;
ALTER TABLE invitations_anew RENAME TO invitations;
CREATE INDEX invitations_by_email ON invitations (email);
