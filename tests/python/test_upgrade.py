"""A deployment that an earlier version left behind is served by this one: content and tokens stay as they were."""

import base64
import json
import re
import shutil
import subprocess
import tarfile
import zlib

import httpx
import jwt
import pytest
from conftest import BINARY, running
from write_deployment import DEPLOYMENTS, ISSUER, schema_of

ALIVE = {"live", "of the team", "of the project"}
ENDED = {"revoked", "cut off", "revoked after the backup"}


def kept():
    return sorted(int(file.name.removesuffix(".tar.gz")) for file in DEPLOYMENTS.glob("*.tar.gz"))


@pytest.fixture(params=kept())
def deployment(request, tmp_path):
    with tarfile.open(DEPLOYMENTS / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert schema_of(tmp_path) == request.param
    return tmp_path


def is_listed_as_revoked(server, token):
    """Returns the token's bit in its status list, as a service that verifies offline reads it."""
    place = jwt.decode(token, options={"verify_signature": False})["status"]["status_list"]
    answer = httpx.get(place["uri"].replace(ISSUER, server.url))
    text = jwt.decode(answer.text, options={"verify_signature": False})["status_list"]["lst"]
    bits = zlib.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return bits[place["idx"] // 8] >> (place["idx"] % 8) & 1 == 1


def check(server, held):
    with httpx.Client(base_url=f"{server.url}/api/v1") as api:
        assert api.get(f"{server.url}/readyz").status_code == 200
        api.headers["Authorization"] = f"Bearer {server.session()}"
        query = {"include_revoked": True, "limit": 100}
        records = {one["name"]: one for one in api.get("/tokens", params=query).json()["items"]}
        keys = httpx.get(f"{server.url}/.well-known/jwks.json").json()
        by_kid = {key.key_id: key for key in jwt.PyJWKSet.from_dict(keys).keys}
        for name, token in held.items():
            claims = jwt.decode(token, by_kid[jwt.get_unverified_header(token)["kid"]], audience=ISSUER, issuer=ISSUER)
            record = records[name]
            assert claims["jti"] == record["jti"]
            assert claims["scope"].split() == record["scopes"] == ["projects:read"]
            told = api.post(f"{server.url}/oauth/introspect", data={"token": token}).json()
            current = api.get("/tokens/current", headers={"Authorization": f"Bearer {token}"})
            expected = (True, 200, False) if name in ALIVE else (False, 401, True)
            assert (told["active"], current.status_code, is_listed_as_revoked(server, token)) == expected, name
            assert (record["revoked_at"] is None) == (name in ALIVE), name

        def names(path, member="name"):
            return {one[member] for one in api.get(path).json()["items"]}

        assert names("/organizations") == {"default", "acme"}
        assert names("/organizations/acme/teams") == {"runners"}
        assert names("/organizations/acme/projects") == {"website"}
        assert names("/users", "email") == {"admin@example.org", "ada@example.org"}
        assert "ada@example.org" in names("/organizations/acme/members", "email")

        # It goes on: what was issued before can be rotated and revoked, and new tokens are issued.
        mine = {"Authorization": f"Bearer {held['live']}"}
        rotated = api.post("/tokens/current/rotate", json={"grace_period": "0s"}, headers=mine)
        assert rotated.status_code == 201, rotated.text
        for name in ("of the team", "of the project"):
            ended = api.post(f"/tokens/{records[name]['id']}/revoke", json={})
            assert ended.status_code == 201, ended.text
        successor = {"Authorization": f"Bearer {rotated.json()['token']}"}
        assert api.get("/tokens/current", headers=successor).status_code == 200
        for token in held.values():
            assert not api.post(f"{server.url}/oauth/introspect", data={"token": token}).json()["active"]


def test_a_deployment_of_an_earlier_schema_is_upgraded_with_its_tokens_alive(deployment):
    held = json.loads((deployment / "held.json").read_text())
    assert held.keys() == ALIVE | ENDED
    with running(deployment) as server:
        check(server, held)


def test_a_backup_of_an_earlier_schema_is_restored_without_reviving_a_token(deployment):
    held = json.loads((deployment / "held.json").read_text())
    (deployment / "damaged").mkdir()
    shutil.move(deployment / "jeton.db", deployment / "damaged")
    restore = [BINARY, "restore", deployment / "backup.db", "--database", deployment / "jeton.db"]
    restore += ["--keys", deployment / "keys"]
    done = subprocess.run(restore, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with running(deployment) as server:
        check(server, held)


def test_each_schema_from_the_third_on_has_a_deployment(tmp_path):
    with running(tmp_path):
        pass
    current = schema_of(tmp_path)
    assert kept() == list(range(3, current + 1)), "run `make schema`"


def test_the_changelog_has_this_version():
    printed = subprocess.run([BINARY, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    version = printed.stdout.split()[1]
    changelog = (DEPLOYMENTS.parents[2] / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
