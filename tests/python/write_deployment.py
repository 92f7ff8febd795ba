"""Writes `deployments/SCHEMA.tar.gz`: a folder as this version leaves it behind, with what its users hold.

`make schema` runs it once for each version of the schema; test_upgrade.py starts later versions on it.
"""

import contextlib
import json
import sqlite3
import subprocess
import tarfile
import tempfile
from pathlib import Path

import httpx
from conftest import BINARY, running

DEPLOYMENTS = Path(__file__).parent / "deployments"
ISSUER = "https://tokens.example.com"
# What a deployment consists of, and a backup that was made before the last revocation.
KEPT = ["jeton.db", "jeton.db.revocations", "keys", "backup.db", "held.json"]


def schema_of(folder):
    # As immutable: SQLite would otherwise leave a -wal file behind.
    with contextlib.closing(sqlite3.connect(f"file:{folder}/jeton.db?immutable=1", uri=True)) as database:
        return database.execute("PRAGMA user_version").fetchone()[0]


def write(folder):
    with running(folder, f'issuer = "{ISSUER}"') as server, httpx.Client(base_url=f"{server.url}/api/v1") as api:
        api.headers["Authorization"] = f"Bearer {server.session()}"

        def post(path, body, expected=201):
            answer = api.post(path, json=body)
            assert answer.status_code == expected, answer.text
            return answer.json() if answer.content else None

        post("/organizations", {"name": "acme"})
        for team in ("runners", "dismissed"):
            post("/organizations/acme/teams", {"name": team})
        website = post("/organizations/acme/projects", {"name": "website"})["id"]
        post("/users", {"email": "ada@example.org", "password": server.password})
        ada = api.put("/organizations/acme/members/ada@example.org", json={"role": "member"})
        assert ada.status_code in (200, 204), ada.text

        held = {}
        for name, owner in [
            ("live", {}),
            ("of the team", {"owner": "team", "team": "runners"}),
            ("of the project", {"projects": [website]}),
            ("revoked", {}),
            ("cut off", {"owner": "team", "team": "dismissed"}),
            ("revoked after the backup", {}),
        ]:
            order = {"name": name, "organization": "acme", "scopes": ["projects:read"], "expires_in": "never"}
            held[name] = post("/tokens", order | owner)["token"]
        identity = {token["name"]: token["id"] for token in api.get("/tokens", params={"limit": 100}).json()["items"]}
        post(f"/tokens/{identity['revoked']}/revoke", {"reason": "leaked"})
        assert api.delete("/organizations/acme/teams/dismissed").status_code == 204
        backup = [BINARY, "backup", folder / "backup.db", "--database", folder / "jeton.db"]
        subprocess.run(backup, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        post(f"/tokens/{identity['revoked after the backup']}/revoke", {"reason": "leaked later"})
    (folder / "held.json").write_text(json.dumps(held, indent=1))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder)
        archive = DEPLOYMENTS / f"{schema_of(folder)}.tar.gz"
        assert not archive.exists(), f"{archive} is kept as it is"
        with tarfile.open(archive, "w:gz") as tar:
            for name in KEPT:
                tar.add(folder / name, name)
    print(archive)
