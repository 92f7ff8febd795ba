"""A token created through one API is listed, shown and revoked by every other API that supports its kind."""

from dataclasses import dataclass

import httpx
import jwt
import pytest
from conftest import running
from native import ORGANIZATION, Native

# The owners of tokens; a user either in the organization or in all of the user's organizations.
KINDS = {"organization", "team", "user", "user everywhere"}
NONE = frozenset()
TEAM = "crew"


@dataclass(frozen=True)
class World:
    """The owners of the tokens: one organization, its team, and the administrator."""

    native: Native
    team_id: str
    user_id: str


@dataclass(frozen=True)
class Issued:
    """A token: the secret, its number in jeton, and its name."""

    secret: str
    number: str
    name: str


@dataclass(frozen=True)
class Api:
    """An API: its operations on tokens, and the kinds of tokens it supports."""

    world: World

    issues = lists = shows = revokes = NONE
    headers = {"Accept": "application/json"}

    def ask(self, method, path, status, body=None):
        native = self.world.native
        answer = httpx.request(
            method, f"{native.server.url}{path}", headers=native.authorization | self.headers, json=body, timeout=30
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def issue(self, kind, name) -> Issued:
        """Creates a token, with this name if such tokens have names in this API."""
        raise NotImplementedError

    def listed(self, kind) -> dict[str, str]:
        """Returns the names of the listed tokens by number."""
        raise NotImplementedError

    def shown(self, kind, number) -> str:
        """Returns the name of a token."""
        raise NotImplementedError

    def revoke(self, kind, number) -> None:
        raise NotImplementedError


class Jeton(Api):
    """The native API, which DayZero's clients use too."""

    issues = KINDS - {"user everywhere"}
    lists = shows = revokes = KINDS

    def issue(self, kind, name):
        team = {"team": TEAM} if kind == "team" else {}
        body = {"name": name, "organization": ORGANIZATION, "owner": kind} | team
        made = self.ask("POST", "/api/v1/tokens", 201, body)
        return Issued(made["token"], made["token_info"]["id"], name)

    def listed(self, kind):
        where = "owner=user" if kind == "user everywhere" else f"owner={kind}&organization={ORGANIZATION}"
        path = f"/api/v1/tokens?limit=1000&{where}"
        return {token["id"]: token["name"] for token in self.ask("GET", path, 200)["items"]}

    def shown(self, kind, number):
        return self.ask("GET", f"/api/v1/tokens/{number}", 200)["name"]

    def revoke(self, kind, number):
        self.ask("POST", f"/api/v1/tokens/{number}/revoke", 201)


class Quant(Api):
    issues = {"organization"}
    # A token for all organizations belongs to none.
    lists = revokes = KINDS - {"user everywhere"}
    tokens = f"/api/v2/organizations/{ORGANIZATION}/tokens"

    def issue(self, kind, name):
        made = self.ask("POST", self.tokens, 201, {"name": name})
        return Issued(made["token"], str(made["id"]), name)

    def listed(self, kind):
        return {str(token["id"]): token["name"] for token in self.ask("GET", self.tokens, 200)}

    def revoke(self, kind, number):
        self.ask("DELETE", f"{self.tokens}/{number}", 200)


class Cave(Api):
    issues = lists = shows = revokes = {"organization", "team"}

    def tokens(self, kind):
        return f"/organizations/{ORGANIZATION}" + (f"/teams/{TEAM}" if kind == "team" else "") + "/tokens"

    def issue(self, kind, name):
        made = self.ask("POST", self.tokens(kind), 201, {"description": name})
        return Issued(made["value"], made["id"], name)

    def listed(self, kind):
        return {token["id"]: token["description"] for token in self.ask("GET", self.tokens(kind), 200)}

    def shown(self, kind, number):
        return self.ask("GET", f"{self.tokens(kind)}/{number}", 200)["description"]

    def revoke(self, kind, number):
        self.ask("DELETE", f"{self.tokens(kind)}/{number}", 204)


class Terraform(Api):
    issues = {"team", "user everywhere"}
    lists = {"team", "user", "user everywhere"}
    shows = revokes = KINDS
    headers = {"Accept": "application/vnd.api+json", "Content-Type": "application/vnd.api+json"}

    def issue(self, kind, name):
        owner = f"teams/{self.world.team_id}" if kind == "team" else f"users/{self.world.user_id}"
        body = {"data": {"type": "authentication-tokens", "attributes": {"description": name}}}
        return self.issued(f"/api/v2/{owner}/authentication-tokens", body, name)

    def issued(self, path, body, name):
        made = self.ask("POST", path, 201, body)["data"]
        assert made["attributes"]["description"] == (name or None)
        return Issued(made["attributes"]["token"], made["id"].removeprefix("at-"), name)

    def listed(self, kind):
        if kind == "team":
            page = self.ask("GET", f"/api/v2/organizations/{ORGANIZATION}/team-tokens?page[size]=100", 200)
            assert page["meta"]["pagination"]["total-pages"] <= 1
        else:
            page = self.ask("GET", f"/api/v2/users/{self.world.user_id}/authentication-tokens", 200)
        return {token["id"].removeprefix("at-"): token["attributes"]["description"] or "" for token in page["data"]}

    def shown(self, kind, number):
        shown = self.ask("GET", f"/api/v2/authentication-tokens/{number}", 200)
        return shown["data"]["attributes"]["description"] or ""

    def revoke(self, kind, number):
        self.ask("DELETE", f"/api/v2/authentication-tokens/{number}", 204)


class TerraformSlots(Terraform):
    """The only token of a team or an organization, which has no name and replaces the previous one."""

    issues = shows = {"organization", "team"}
    lists = {"team"}
    # By number, as above.
    revokes = NONE

    def slot(self, kind):
        owner = f"teams/{self.world.team_id}" if kind == "team" else f"organizations/{ORGANIZATION}"
        return f"/api/v2/{owner}/authentication-token"

    def issue(self, kind, name):
        return self.issued(self.slot(kind), None, "")


APIS = [Jeton, Cave, Quant, Terraform, TerraformSlots]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running(tmp_path_factory.mktemp("together")) as server:
        native = Native.of(server)
        team = native.post(f"organizations/{ORGANIZATION}/teams", {"name": TEAM})
        yield World(native, team["id"], native.get("me")["user"]["id"])


def issued():
    """Returns every API with every kind of token that it can create."""
    return [pytest.param(api, kind, id=f"{api.__name__}-{kind}") for api in APIS for kind in sorted(api.issues)]


def revoked():
    """Returns each of these with every API that can revoke it."""
    return [
        pytest.param(api, kind, other, id=f"{api.__name__}-{kind}-{other.__name__}")
        for api in APIS
        for kind in sorted(api.issues)
        for other in APIS
        if kind in other.revokes
    ]


@pytest.mark.parametrize(("api", "kind"), issued())
def test_a_token_is_listed_and_shown_by_every_api(world, api, kind):
    token = api(world).issue(kind, f"made by {api.__name__} for the {kind}")
    assert world.native.is_active(token.secret)
    for other in APIS:
        if kind in other.lists:
            assert other(world).listed(kind).get(token.number) == token.name, other
        if kind in other.shows:
            assert other(world).shown(kind, token.number) == token.name, other


@pytest.mark.parametrize(("api", "kind"), issued())
def test_a_token_verifies_like_any_other(world, api, kind):
    token = api(world).issue(kind, f"verified, by {api.__name__}")
    url = world.native.server.url
    key = jwt.PyJWKClient(f"{url}/.well-known/jwks.json").get_signing_key_from_jwt(token.secret)
    verified = jwt.decode_complete(token.secret, key, algorithms=["ES256"], audience=url, issuer=url)
    assert verified["header"]["typ"] == "at+jwt"
    claims, shown = verified["payload"], world.native.get(f"tokens/{token.number}")
    assert claims["jti"] == shown["jti"] and claims["scope"].split() == shown["scopes"]
    assert claims["iss"] == url and claims["sub"] == claims["client_id"]
    assert (claims.get("org"), claims.get("team")) == (shown["organization"], shown["team"])
    assert claims["sub"] == (shown["user"] or shown["team"] or shown["organization"])


@pytest.mark.parametrize(("api", "kind", "other"), revoked())
def test_a_token_is_revoked_by_every_api_and_gone_from_all(world, api, kind, other):
    token = api(world).issue(kind, f"by {api.__name__}, ended by {other.__name__}")
    bystander = Jeton(world).issue("organization", "bystander")
    assert world.native.is_active(token.secret)
    other(world).revoke(kind, token.number)
    assert not world.native.is_active(token.secret)
    assert world.native.get(f"tokens/{token.number}")["status"] == "revoked"
    for lister in APIS:
        if kind in lister.lists:
            assert token.number not in lister(world).listed(kind), lister
    assert world.native.is_active(bystander.secret)


def test_every_api_has_a_place_for_what_every_other_makes():
    """The tables above cover at least two APIs for every kind of token."""
    for kind in KINDS:
        assert len([api for api in APIS if kind in api.lists]) > 1, kind
        assert len([api for api in APIS if kind in api.revokes]) > 1, kind
    assert all(api.issues and api.issues <= api.lists | api.shows for api in APIS)
