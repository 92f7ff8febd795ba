"""jeton-guard as docs/guard.md has it, next to a running authority."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import httpx
import pytest
import tokens
from conftest import BINARY, running
from guards import guarding, token_of_the_deployment
from recipes import GUARD_RECIPES
from tokens import Authority, claims

pytestmark = pytest.mark.interop
SCOPES = """
[scopes]
available = ["projects:read", "content:write"]
[presets]
content_management = ["projects:read", "content:write"]
"""
# What the authority says of a token that is not in it.
ONLY_THE_AUTHORITY = {"username", "token_id"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority"), SCOPES) as server:
        yield Authority.of(server)


@pytest.fixture(scope="module")
def guard(authority, tmp_path_factory):
    with guarding(authority, tmp_path_factory.mktemp("guard")) as guard:
        yield guard


def becomes(status: int, within: float, ask) -> float:
    """Waits until `ask` returns the status; returns the seconds that it took."""
    began = time.monotonic()
    while ask() != status:
        assert time.monotonic() < began + within, f"not {status} within {within} s"
        time.sleep(0.002)
    return time.monotonic() - began


@contextmanager
def paused(server):
    """The server answers nothing, and its connections stay open."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def introspected(socket, token: str) -> dict:
    command = GUARD_RECIPES["guard-introspect"].filled(guard_socket=str(socket))
    environment = os.environ | {"TOKEN": token}
    done = subprocess.run(["sh", "-e"], input=command, env=environment, check=True, text=True, capture_output=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("good", tokens.ACCEPTED)
def test_a_good_token_is_accepted(authority, guard, good):
    assert guard.check(good(authority)) == 200


@pytest.mark.parametrize("forged", tokens.REFUSED)
def test_a_forgery_is_refused_and_inactive(authority, guard, forged):
    token = forged(authority)
    assert guard.check(token) == 401
    assert introspected(guard.socket, token) == {"active": False}


def test_a_revocation_arrives_within_a_second(authority, guard):
    for _ in range(5):
        token = authority.issue()
        assert guard.check(token) == 200
        authority.revoke(token)
        becomes(401, 1, lambda token=token: guard.check(token))
        assert introspected(guard.socket, token) == {"active": False}
    assert guard.metrics()["jeton_guard_stream_connected"] == 1


def test_the_cursor_of_a_revocation_is_compared_with_the_metric(authority, guard):
    token = authority.issue()
    answer = httpx.post(
        f"{authority.issuer}/api/v1/tokens/{claims(token)['jti']}/revoke",
        headers={"Authorization": f"Bearer {authority.session}"},
        json={"reason": "a test"},
    )
    environment = os.environ | {"CURSOR": answer.headers["revocation-cursor"]}
    command = GUARD_RECIPES["guard-cursor"].text
    done = subprocess.run(["sh", "-e"], input=command, env=environment, check=True, text=True, capture_output=True)
    epoch, sequence = done.stdout.split()
    becomes(401, 1, lambda: guard.check(token))
    assert guard.metrics()[f'jeton_guard_feed_sequence{{epoch="{epoch}"}}'] == int(sequence)


@pytest.mark.parametrize("wishes", [{}, {"scopes": ["content:write"]}, {"owner": "deployment", "organization": None}])
def test_introspection_says_what_the_authority_says(authority, guard, wishes):
    token = authority.issue(**wishes)
    answer = httpx.post(
        f"{authority.issuer}/oauth/introspect",
        headers={"Authorization": f"Bearer {authority.session}"},
        data={"token": token},
    )
    expected = {name: value for name, value in answer.json().items() if name not in ONLY_THE_AUTHORITY}
    assert expected["active"] is True
    assert introspected(guard.socket, token) == expected


def of_a_team(authority):
    team = authority.post("organizations/default/teams", {"name": "ending"})
    order = {"organization": "default", "team": team["id"]}
    return authority.issue(owner="team", team="ending"), order


def of_a_user(authority):
    order = {"organization": "default", "user": authority.server.email}
    return authority.issue(owner="user"), order


def of_a_project(authority):
    project = authority.post("organizations/default/projects", {"name": "ending"})
    order = {"organization": "default", "project": project["id"]}
    return authority.issue(projects=[project["id"]]), order


def of_an_organization(authority):
    authority.post("organizations", {"name": "ending"})
    return authority.issue(organization="ending"), {"organization": "ending"}


def of_a_key_in_an_organization(authority):
    authority.post("organizations", {"name": "ending-too"})
    return authority.issue(organization="ending-too"), {"organization": "ending-too", "key": authority.kid}


def test_the_guard_and_the_authority_give_one_answer_on_what_ends_many_tokens(authority, guard, tmp_path):
    other, ended = authority.issue(), []
    for made in (of_a_team, of_a_user, of_a_project, of_an_organization, of_a_key_in_an_organization):
        token, order = made(authority)
        assert guard.check(token) == 200, made
        authority.post("revocations", order)
        becomes(401, 1, lambda token=token: guard.check(token))
        ended.append(token)
        assert guard.check(other) == 200, made
    with guarding(authority, tmp_path) as another:  # From a snapshot.
        for one in (guard, another):
            assert one.check(other) == 200 and authority.is_active(other)
            for token in ended:
                assert one.check(token) == 401 and not authority.is_active(token)
                assert introspected(one.socket, token) == {"active": False}


def test_a_withdrawn_key_ends_what_it_signed(tmp_path):
    with running(tmp_path, SCOPES) as server:
        authority = Authority.of(server)
        with guarding(authority, tmp_path) as guard:
            token = authority.issue()
            assert guard.check(token) == 200
            places = ["--database", tmp_path / "jeton.db", "--keys", server.keys]
            # It ends the guard's own token and the session too.
            subprocess.run([BINARY, "keys", "revoke", authority.kid, *places], check=True)
            becomes(401, 2, lambda: guard.check(token))
            forged = authority.sign(claims(token) | {"jti": "00000000-0000-4000-8000-000000000000"})
            assert guard.check(forged) == 401


def test_no_token_is_logged(authority, guard):
    good, forged = authority.issue(), tokens.tampered(authority)
    guard.check(good), guard.check(forged), introspected(guard.socket, good)
    log = guard.log.read_text()
    assert "listening" in log or "ready" in log
    for token in (good, forged, authority.session):
        assert token.split(".")[1] not in log and token.split(".")[2] not in log


def test_without_the_authority_it_goes_on_until_the_bound_and_recovers_without_a_restart(tmp_path):
    more = '[rules.open]\nscopes = ["projects:read"]\nwhen_unknown = "accept"\n'
    with running(tmp_path, SCOPES) as server:
        authority = Authority.of(server)
        token, revoked = authority.issue(), authority.issue()
        (tmp_path / "guard-token").write_text(token_of_the_deployment(authority))
        with guarding(authority, tmp_path, more) as guard:
            authority.revoke(revoked)
            becomes(401, 1, lambda: guard.check(revoked))
            with paused(server):
                assert guard.check(token) == 200
                becomes(503, 20, lambda: guard.check(token))
                assert guard.check(token, "open") == 200
                assert guard.check(revoked, "open") == guard.check(revoked) == 401
                unready = guard.ready()
                assert unready.status_code == 503 and "revocations" in unready.json()["status"]
            becomes(200, 20, lambda: guard.check(token))
            assert guard.ready().status_code == 200


def test_its_token_is_replaced_without_a_refusal(tmp_path):
    with running(tmp_path, SCOPES) as server:
        authority = Authority.of(server)
        first = token_of_the_deployment(authority)
        (tmp_path / "guard-token").write_text(first)
        with guarding(authority, tmp_path) as guard:
            token = authority.issue()
            (tmp_path / "guard-token").write_text(token_of_the_deployment(authority, name="guard 2"))
            authority.revoke(first)
            end = time.monotonic() + 12  # Longer than the bound.
            while time.monotonic() < end:
                assert guard.check(token) == 200
                time.sleep(0.05)
            revoked = authority.issue()
            authority.revoke(revoked)
            becomes(401, 1, lambda: guard.check(revoked))
            assert guard.metrics()["jeton_guard_reconnects_total"] >= 1
