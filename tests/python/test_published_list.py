"""The published status list, read with only PyJWT and Python's zlib, as the draft describes."""

import base64
import gzip
import time
import zlib

import httpx
import jwt
import pytest


@pytest.fixture
def tokens(server):
    """Two tokens of one list, and the number and session to revoke the first with."""
    session = {"Authorization": f"Bearer {server.session()}"}
    order = {"name": "listed", "organization": "default", "scopes": ["projects:read"], "expires_in_days": 30}
    created = [
        httpx.post(f"{server.url}/api/v1/tokens", headers=session, json=order).json() for _ in range(2)
    ]
    return session, created


def reference(token):
    claims = jwt.decode(token, options={"verify_signature": False})
    return claims["status"]["status_list"]


def fetch(server, uri, **headers):
    """Returns the claims of the list at a URL, after all checks of a verifier."""
    answer = httpx.get(uri, headers={"Accept": "application/statuslist+jwt", **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    keys = jwt.PyJWKClient(f"{server.url}/.well-known/jwks.json")
    key = keys.get_signing_key_from_jwt(answer.text)
    decoded = jwt.decode_complete(
        answer.text,
        key,
        algorithms=[key.algorithm_name],
        options={"require": ["sub", "iat", "exp"], "verify_aud": False},
    )
    assert decoded["header"]["typ"] == "statuslist+jwt"
    claims = decoded["payload"]
    assert claims["sub"] == uri
    assert claims["ttl"] > 0
    assert answer.headers["cache-control"] == f"public, max-age={claims['ttl']}"
    assert claims["iat"] <= time.time() < claims["exp"]
    return claims


def bits(claims):
    """Returns the list, decompressed by an implementation independent of the server's."""
    status_list = claims["status_list"]
    assert status_list["bits"] == 1
    text = status_list["lst"]
    inflated = zlib.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert len(inflated) == 2**20 // 8
    return inflated


def status(inflated, index):
    return inflated[index // 8] >> (index % 8) & 1


def test_a_token_finds_its_bit_before_and_after_its_revocation(server, tokens):
    session, (revoked, other) = tokens
    mine, theirs = reference(revoked["token"]), reference(other["token"])
    assert mine["uri"] == theirs["uri"] and mine["idx"] != theirs["idx"]

    before = bits(fetch(server, mine["uri"]))
    assert (status(before, mine["idx"]), status(before, theirs["idx"])) == (0, 0)

    identity = revoked["token_info"]["id"]
    answer = httpx.post(f"{server.url}/api/v1/tokens/{identity}/revoke", headers=session, json={})
    assert answer.status_code == 201, answer.text

    after = bits(fetch(server, mine["uri"]))
    assert (status(after, mine["idx"]), status(after, theirs["idx"])) == (1, 0)
    # No other bit has changed.
    assert sum(byte.bit_count() for byte in after) == sum(byte.bit_count() for byte in before) + 1


def test_what_is_removed_shows_in_the_list_before_anybody_could_rely_on_it(server, tokens):
    session, _ = tokens
    home = f"{server.url}/api/v1/organizations/default/teams"
    assert httpx.post(home, headers=session, json={"name": "leaving"}).status_code == 201
    order = {"name": "theirs", "organization": "default", "owner": "team", "team": "leaving"}
    created = httpx.post(f"{server.url}/api/v1/tokens", headers=session, json=order)
    assert created.status_code == 201, created.text
    place = reference(created.json()["token"])
    assert status(bits(fetch(server, place["uri"])), place["idx"]) == 0
    assert httpx.delete(f"{home}/leaving", headers=session).status_code == 204
    assert status(bits(fetch(server, place["uri"])), place["idx"]) == 1


def test_a_copy_is_revalidated_and_gzip_is_the_same_list(server, tokens):
    _, (token, _) = tokens
    uri = reference(token["token"])["uri"]
    plain = httpx.get(uri, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    kept = httpx.get(uri, headers={"Accept-Encoding": "identity", "If-None-Match": plain.headers["etag"]})
    assert (kept.status_code, kept.content) == (304, b"")

    with httpx.stream("GET", uri, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join(answer.iter_raw())
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content)


def test_the_lists_are_listed(server, tokens):
    _, created = tokens
    answer = httpx.get(f"{server.url}/status-lists")
    assert answer.status_code == 200
    listed = answer.json()["status_lists"]
    assert {reference(token["token"])["uri"] for token in created} <= set(listed)
    for uri in listed:
        bits(fetch(server, uri))
    assert httpx.get(f"{server.url}/status-lists/4711").status_code == 404
    assert httpx.get(f"{listed[0]}?time=1700000000").status_code == 501
