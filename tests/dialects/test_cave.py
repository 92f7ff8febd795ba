"""CAVE's clients: the documented command, and the Scala client that apidoc generates from CAVE's description, whose
requests are reproduced here exactly."""

import base64
import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime

import httpx
import pytest
from native import Native
from samples import curl

CURL = r"""curl -i -u 8b896055-c295-4a30-a29c-5a97d15f1818: \
     -X POST -H "Content-Type: application/json" \
     -d '{ "description": "November 2014" }' \
     https://api.cavellc.io/organizations/acme/teams/runners/tokens
"""


class Failed(Exception):
    """The client's exception for an unexpected status."""

    def __init__(self, answer: httpx.Response):
        super().__init__(f"{answer.status_code} {answer.text}")
        self.answer = answer


@dataclass(frozen=True)
class Token:
    """A token as the client parses it: fails on a field that is missing or not a text."""

    id: str
    description: str
    value: str
    created: datetime

    @classmethod
    def read(cls, body: dict) -> "Token":
        texts = [body[name] for name in ("id", "description", "value", "created")]
        assert all(isinstance(text, str) for text in texts), body
        *texts, created = texts
        return cls(*texts, datetime.strptime(created, "%Y-%m-%dT%H:%M:%S.%f%z"))


@dataclass(frozen=True)
class Apidoc:
    """The generated client: authenticates preemptively and accepts a single success status."""

    url: str
    token: str = field(repr=False)

    def send(self, method: str, path: str, expected: int, body: object = None) -> httpx.Response | None:
        credential = base64.b64encode(f"{self.token}:".encode()).decode()
        headers = {
            "Authorization": f"Basic {credential}",
            "X-Apidoc-Version": "1",
        }
        if body is not None:
            headers["Content-type"] = "application/json; charset=UTF-8"
        answer = httpx.request(method, self.url + path, headers=headers, json=body, timeout=30)
        if answer.status_code == 404 and method != "POST":
            return None
        if answer.status_code != expected:
            raise Failed(answer)
        return answer

    def list(self, owner: str) -> list[Token]:
        return [Token.read(one) for one in self.send("GET", f"{owner}/tokens", 200).json()]

    def create(self, owner: str, description: str) -> Token:
        return Token.read(self.send("POST", f"{owner}/tokens", 201, {"description": description}).json())

    def show(self, owner: str, token: str) -> Token | None:
        answer = self.send("GET", f"{owner}/tokens/{token}", 200)
        return answer and Token.read(answer.json())

    def delete(self, owner: str, token: str) -> bool:
        return self.send("DELETE", f"{owner}/tokens/{token}", 204) is not None


@dataclass(frozen=True)
class Acme:
    """An organization with a team, created by CAVE's client, and their first tokens."""

    server: object
    client: Apidoc
    tokens: dict[str, Token]

    @property
    def native(self) -> Native:
        return Native(self.server, self.client.token)


ORGANIZATION = "/organizations/acme"
TEAM = "/organizations/acme/teams/runners"
OWNERS = [ORGANIZATION, TEAM]


@pytest.fixture
def acme(server):
    credentials = {"email": server.email, "password": server.password}
    session = httpx.post(f"{server.url}/users/login", json=credentials, timeout=30)
    assert session.status_code == 200, session.text
    assert session.headers["content-type"] == "application/json; charset=utf-8"
    assert set(session.json()) == {"token", "expires"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", session.json()["expires"])
    client = Apidoc(server.url, session.json()["token"])
    details = {"name": "acme", "email": "ops@example.org", "notification_url": "https://example.org/n"}
    organization = client.send("POST", "/organizations", 201, details).json()
    assert organization | {"tokens": []} == details | {"tokens": []}
    team = client.send("POST", f"{ORGANIZATION}/teams", 201, {"name": "runners"}).json()
    assert team | {"tokens": []} == {"name": "runners", "tokens": []}
    tokens = {ORGANIZATION: organization["tokens"], TEAM: team["tokens"]}
    return Acme(server, client, {owner: Token.read(one) for owner, [one] in tokens.items()})


def test_the_documented_command_makes_a_token(acme, tmp_path):
    replaced = {"https://api.cavellc.io": acme.server.url, "8b896055-c295-4a30-a29c-5a97d15f1818": acme.client.token}
    answer = curl(CURL, replaced, tmp_path)
    assert answer.status == 201, answer
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body = answer.body
    assert list(body) == ["id", "description", "value", "created"]
    assert re.fullmatch(r"[1-9][0-9]*", body["id"])
    assert body["description"] == "November 2014"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created"])
    # Neither `Some(81)` nor another host, both mistakes in the document's own example.
    assert answer.headers["location"] == f"{acme.server.url}{TEAM}/tokens/{body['id']}"
    assert int(answer.headers["content-length"]) == len(answer.text)
    assert acme.native.is_active(body["value"])


def test_the_documented_command_with_a_token_that_is_none(acme, tmp_path):
    """The control: the test above would detect a command that does not reach the server."""
    answer = curl(CURL, {"https://api.cavellc.io": acme.server.url}, tmp_path)
    assert (answer.status, answer.text) == (403, "")


@pytest.mark.parametrize("owner", OWNERS)
def test_the_generated_client_lives_with_its_tokens(acme, owner):
    client, first = acme.client, acme.tokens[owner]
    assert first.description == "default"
    second = client.create(owner, "Rotation 2026-11")
    assert [token.id for token in client.list(owner)] == [first.id, second.id]
    shown = client.show(owner, second.id)
    assert (shown.id, shown.description, shown.created) == (second.id, second.description, second.created)
    # The only difference: a token is shown once.
    assert second.value.startswith(shown.value.removesuffix("...")) and shown.value != second.value
    assert acme.native.is_active(second.value)
    assert client.delete(owner, second.id)
    assert not acme.native.is_active(second.value)
    assert client.show(owner, second.id) is None
    assert not client.delete(owner, second.id)
    assert [token.id for token in client.list(owner)] == [first.id]
    assert client.show(owner, "no-number") is None


@pytest.mark.parametrize(("owner", "word"), [(ORGANIZATION, "organization"), (TEAM, "team")])
def test_the_generated_client_meets_the_limits(acme, owner, word):
    client = acme.client
    for description in ["second", "third"]:
        client.create(owner, description)
    with pytest.raises(Failed, match=f"^400 Too many tokens for {word}.$") as failed:
        client.create(owner, "fourth")
    assert failed.value.answer.headers["content-type"] == "text/plain; charset=utf-8"
    first, second, third = client.list(owner)
    assert client.delete(owner, first.id) and client.delete(owner, second.id)
    with pytest.raises(Failed, match=f"^400 Cannot delete the last {word} token.$"):
        client.delete(owner, third.id)


def test_what_is_made_through_one_door_is_there_behind_every_other(acme):
    client, native = acme.client, acme.native
    made = client.create(TEAM, "from CAVE")
    info = native.get(f"tokens/{made.id}")
    assert (info["name"], info["owner"], info["status"]) == ("from CAVE", "team", "active")
    assert info["created_at"] == made.created.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    native.post(f"tokens/{made.id}/revoke", {})
    assert client.show(TEAM, made.id) is None
    issued = native.issue(organization="acme", name="from jeton")
    [_, shown] = client.list(ORGANIZATION)
    assert (shown.id, shown.description) == (issued["token_info"]["id"], "from jeton")
    assert client.delete(ORGANIZATION, shown.id)
    assert not native.is_active(issued["token"])


def test_who_has_no_credential_or_a_bad_one(acme):
    path = f"{acme.server.url}{ORGANIZATION}/tokens"
    answer = httpx.get(path)
    assert (answer.status_code, answer.text) == (401, "")
    assert answer.headers["www-authenticate"] == 'Basic realm="Restricted"'
    for auth in [httpx.BasicAuth(str(uuid.uuid4()), ""), httpx.BasicAuth(acme.client.token, "a password")]:
        answer = httpx.get(path, auth=auth)
        assert (answer.status_code, answer.text) == (403, "")
        assert "www-authenticate" not in answer.headers
    assert httpx.get(path, auth=httpx.BasicAuth(acme.client.token, "")).status_code == 200
    # A token without permission is answered like no token.
    value = acme.tokens[ORGANIZATION].value
    assert httpx.get(path, auth=httpx.BasicAuth(value, "")).status_code == 403


def test_the_directory(acme):
    client, url = acme.client, acme.server.url
    admin = {"first_name": "", "last_name": "", "email": acme.server.email}
    assert client.send("GET", "/users/info", 200).json() == admin
    mine = client.send("GET", "/users/organizations", 200).json()
    assert {"name": "acme", "role": "admin"} in mine
    assert client.send("GET", "/users/organizations/acme/teams", 200).json() == []
    assert client.send("GET", "/users/search?q=ADMIN", 200).json() == [admin]
    assert client.send("GET", f"{ORGANIZATION}/users", 200).json() == [{"user": admin, "role": "admin"}]
    organization = client.send("GET", ORGANIZATION, 200)
    assert organization.headers["location"] == f"{url}{ORGANIZATION}"
    assert list(organization.json()) == ["name", "email", "notification_url", "tokens"]
    [team] = client.send("GET", f"{ORGANIZATION}/teams", 200).json()
    assert client.send("GET", TEAM, 200).json() == team
    joined = {"email": acme.server.email, "role": "admin"}
    for users in [f"{ORGANIZATION}/users", f"{TEAM}/users"]:
        stranger = {"email": "nobody@example.org", "role": "viewer"}
        assert client.send("POST", users, 202, stranger).text == ""
        assert client.send("DELETE", f"{users}/nobody@example.org", 204) is not None
    client.send("POST", f"{TEAM}/users", 202, joined)
    with pytest.raises(Failed, match="^409 $"):
        client.send("POST", f"{TEAM}/users", 202, joined)
    assert client.send("GET", "/users/organizations/acme/teams", 200).json() == [{"name": "runners", "role": "admin"}]
    client.send("PATCH", f"{TEAM}/users/{acme.server.email}", 202, {"role": "member"})
    with pytest.raises(Failed, match="^400 Cannot remove self.$"):
        client.send("DELETE", f"{ORGANIZATION}/users/{acme.server.email}", 204)
    with pytest.raises(Failed, match="Delete teams first.$"):
        client.send("DELETE", ORGANIZATION, 204)
    assert client.send("DELETE", TEAM, 204) is not None
    assert client.send("DELETE", ORGANIZATION, 204) is not None
    assert client.send("GET", ORGANIZATION, 200) is None
