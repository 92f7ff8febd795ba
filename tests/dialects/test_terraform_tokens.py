"""Terraform's tokens with existing clients: pytfe, terrasnek, curl, and the requests of newer go-tfe."""

import re
import time
from datetime import UTC, datetime

import httpx
import pytest
from native import ORGANIZATION, Native
from pytfe import TFEClient, TFEConfig
from pytfe.errors import AuthError, NotFound, TFEError
from pytfe.models import OrgTokenTTLPolicyUpdateOptions
from pytfe.models.organization_token import (
    OrganizationTokenCreateOptions,
    OrganizationTokenDeleteOptions,
    OrganizationTokenReadOptions,
    TokenType,
)
from pytfe.models.team_token import TeamTokenCreateOptions, TeamTokenListOptions
from samples import curl
from terrasnek.api import TFC
from terrasnek.exceptions import TFCHTTPNotFound, TFCHTTPUnprocessableEntity

JSON_API = "application/vnd.api+json"
NEXT_YEAR = datetime(2101, 2, 3, 4, 5, 6, tzinfo=UTC)

# The samples of the documentation, unchanged.
GENERATE = r"""curl \
  --header "Authorization: Bearer $TOKEN" \
  --header "Content-Type: application/vnd.api+json" \
  --request POST \
  https://app.terraform.io/api/v2/teams/team-BUHBEM97xboT8TVz/authentication-token
"""
DELETE = r"""curl \
  --header "Authorization: Bearer $TOKEN" \
  --header "Content-Type: application/vnd.api+json" \
  --request DELETE \
  https://app.terraform.io/api/v2/teams/team-BUHBEM97xboT8TVz/authentication-token
"""


@pytest.fixture
def native(server):
    return Native.of(server)


@pytest.fixture
def team(native):
    """Returns the id of a team."""
    return native.post(f"organizations/{ORGANIZATION}/teams", {"name": "owners"})["id"]


@pytest.fixture
def pytfe(native):
    with client(native, native.session) as client_of_admin:
        yield client_of_admin


def client(native, token):
    # A retry would only delay a failure, and certificates are for TLS.
    return TFEClient(TFEConfig(address=native.server.url, token=token, max_retries=0, ca_bundle=None))


def test_the_documented_samples_make_and_end_a_teams_token(native, team, tmp_path):
    token = native.issue(scopes=["tokens:read", "tokens:write"])["token"]
    replaced = {"https://app.terraform.io": native.server.url, "$TOKEN": token, "team-BUHBEM97xboT8TVz": team}
    answer = curl(GENERATE, replaced, tmp_path)
    assert answer.status == 201, answer
    assert answer.headers["content-type"] == JSON_API
    assert answer.headers["tfp-api-version"] == "2.6" and answer.headers["x-request-id"]
    data = answer.body["data"]
    assert re.fullmatch(r"at-[1-9][0-9]*", data["id"]) and data["type"] == "authentication-tokens"
    attributes = data["attributes"]
    assert {"created-at", "last-used-at", "description", "token"} <= attributes.keys()
    assert attributes["last-used-at"] is None and attributes["description"] is None
    assert datetime.fromisoformat(attributes["created-at"]).tzinfo
    assert data["relationships"]["created-by"] == {"data": None}, "what made it acts for no person"
    assert native.is_active(attributes["token"])
    answer = curl(DELETE, replaced, tmp_path)
    assert (answer.status, answer.text) == (204, "")
    assert not native.is_active(attributes["token"])
    assert curl(DELETE, replaced, tmp_path).status == 404


def test_pytfe_keeps_a_teams_one_token(native, team, pytfe):
    first = pytfe.team_tokens.create(team)
    assert native.is_active(first.token)
    assert first.team.id == team and first.created_by.user.id == native.get("me")["user"]["id"]
    assert first.description is None and first.expired_at is None
    second = pytfe.team_tokens.create_with_options(team, TeamTokenCreateOptions(expired_at=NEXT_YEAR))
    assert not native.is_active(first.token) and native.is_active(second.token)
    for read in [pytfe.team_tokens.read(team), pytfe.team_tokens.read_by_id(second.id)]:
        assert (read.id, read.token, read.expired_at) == (second.id, None, NEXT_YEAR)
    pytfe.team_tokens.delete(team)
    assert not native.is_active(second.token)
    for gone in [
        lambda: pytfe.team_tokens.read(team),
        lambda: pytfe.team_tokens.delete(team),
        lambda: pytfe.team_tokens.read_by_id(second.id),
        lambda: pytfe.team_tokens.create("team-Hn5Lq9BcX1dF7gJk"),
    ]:
        with pytest.raises(NotFound, match="not found"):
            gone()


def test_pytfe_keeps_a_teams_many_tokens(native, team, pytfe):
    made = [
        pytfe.team_tokens.create_with_options(team, TeamTokenCreateOptions(description=f"ci {number}", expired_at=end))
        # A time without a zone is in UTC.
        for number, end in enumerate([None, NEXT_YEAR, NEXT_YEAR.replace(tzinfo=None, year=2100)])
    ]
    legacy = pytfe.team_tokens.create(team)
    assert [token.expired_at for token in made] == [None, NEXT_YEAR, NEXT_YEAR.replace(year=2100)]
    with pytest.raises(TFEError, match="^Validation failed: Description has already been taken$") as taken:
        pytfe.team_tokens.create_with_options(team, TeamTokenCreateOptions(description="ci 1"))
    assert taken.value.status == 422
    pytfe.team_tokens.create_with_options(team, TeamTokenCreateOptions(description=""))
    assert not native.is_active(legacy.token), "pytfe takes an empty description for none"

    def listed(**options):
        return [token.description for token in pytfe.team_tokens.list(ORGANIZATION, TeamTokenListOptions(**options))]

    assert listed() == ["ci 2", "ci 1", "ci 0", None]
    assert listed(sort="-expired-at", page_size=1) == ["ci 1", "ci 2", None, "ci 0"]
    assert listed(query="OWN") == listed() and listed(query="ci") == []
    pytfe.team_tokens.delete_by_id(made[1].id)
    assert not native.is_active(made[1].token) and native.is_active(made[0].token)
    assert listed() == ["ci 2", "ci 0", None]


def test_pytfe_keeps_an_organizations_tokens(native, pytfe):
    trails = TokenType.AUDIT_TRAILS
    first = pytfe.organization_tokens.create(ORGANIZATION)
    audit = pytfe.organization_tokens.create_with_options(
        ORGANIZATION, OrganizationTokenCreateOptions(token_type=trails)
    )
    second = pytfe.organization_tokens.create_with_options(
        ORGANIZATION, OrganizationTokenCreateOptions(expired_at=NEXT_YEAR)
    )
    alive = [native.is_active(token.token) for token in (first, audit, second)]
    assert alive == [False, True, True]
    read = pytfe.organization_tokens.read(ORGANIZATION)
    assert (read.id, read.token, read.expired_at) == (second.id, None, NEXT_YEAR)
    options = OrganizationTokenReadOptions(token_type=trails)
    assert pytfe.organization_tokens.read_with_options(ORGANIZATION, options).id == audit.id
    pytfe.organization_tokens.delete(ORGANIZATION)
    assert not native.is_active(second.token) and native.is_active(audit.token)
    pytfe.organization_tokens.delete_with_options(ORGANIZATION, OrganizationTokenDeleteOptions(token_type=trails))
    assert not native.is_active(audit.token)
    with pytest.raises(NotFound):
        pytfe.organization_tokens.read(ORGANIZATION)


def test_pytfe_sets_the_longest_life_of_all_tokens(native, team, pytfe):
    policies = pytfe.organization_token_ttl_policies
    assert list(policies.list(ORGANIZATION)) == []
    two_years = 63_072_000_000
    assert {policy.max_ttl_ms for policy in policies.reset_to_defaults(ORGANIZATION)} == {two_years}
    assert sorted(policy.token_type.value for policy in policies.list(ORGANIZATION)) == [
        "audit_trails",
        "organization",
        "team",
        "user",
    ]
    assert native.get(f"organizations/{ORGANIZATION}")["policy"]["max_lifetime"] == "730d"
    token = pytfe.team_tokens.create(team)
    assert (token.expired_at - token.created_at).total_seconds() == two_years / 1000
    with pytest.raises(TFEError, match="the same maximum lifetime"):
        policies.update(ORGANIZATION, OrgTokenTTLPolicyUpdateOptions(team="90d"))


def test_pytfe_is_told_what_it_may_not_do(native, team, pytfe):
    with client(native, "nothing") as stranger, pytest.raises(AuthError, match="unauthorized"):
        stranger.team_tokens.read(team)
    # A token created here may manage no tokens.
    own = pytfe.team_tokens.create(team).token
    with client(native, own) as holder, pytest.raises(NotFound):
        holder.team_tokens.read(team)


def test_terrasnek_keeps_tokens_of_teams_organizations_and_people(native, team):
    tfc = TFC(native.session, url=native.server.url, skip_version_check=True)
    tfc.set_org(ORGANIZATION)
    token = tfc.team_tokens.create(team)["data"]["attributes"]["token"]
    assert native.is_active(token)
    tfc.team_tokens.destroy(team)
    assert not native.is_active(token)
    with pytest.raises(TFCHTTPNotFound):
        tfc.team_tokens.destroy(team)
    past = {"data": {"type": "authentication-token", "attributes": {"expired-at": "2020-01-01T00:00:00.000Z"}}}
    with pytest.raises(TFCHTTPUnprocessableEntity):
        tfc.team_tokens.create(team, past)

    token = tfc.org_tokens.create()["data"]["attributes"]["token"]
    assert native.is_active(token)
    tfc.org_tokens.destroy()
    assert not native.is_active(token)

    user = native.get("me")["user"]["id"]
    payload = {"data": {"type": "authentication-tokens", "attributes": {"description": "laptop"}}}
    made = tfc.user_tokens.create(user, payload)["data"]
    assert native.is_active(made["attributes"]["token"])
    assert [token["id"] for token in tfc.user_tokens.list(user)["data"]] == [made["id"]]
    shown = tfc.user_tokens.show(made["id"])["data"]["attributes"]
    assert (shown["description"], shown["token"]) == ("laptop", None)
    tfc.user_tokens.destroy(made["id"])
    assert not native.is_active(made["attributes"]["token"])
    assert tfc.user_tokens.list(user)["data"] == []


def test_terrasnek_reads_the_audit_trail_with_a_token_for_it(native):
    tfc = TFC(native.session, url=native.server.url, skip_version_check=True)
    tfc.set_org(ORGANIZATION)
    first = tfc.org_tokens.create()["data"]["id"]
    with pytest.raises(TFCHTTPNotFound):
        tfc.audit_trails.list()
    path = f"organizations/{ORGANIZATION}/authentication-token?token=audit-trails"
    auditor = GoTfe(native).create(path)
    trails = TFC(auditor["attributes"]["token"], url=native.server.url, skip_version_check=True).audit_trails

    def created(events):
        return [event["resource"]["id"] for event in events if event["resource"]["action"] == "create"]

    # Events are in the trail within a second.
    deadline = time.monotonic() + 20
    while created((page := trails.list())["data"])[:2] != [auditor["id"], first] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert created(page["data"])[:2] == [auditor["id"], first]
    newest = page["data"][0]
    assert newest["auth"]["description"] == native.server.email
    assert newest["resource"]["type"] == "authentication_token"
    assert page["pagination"] | {"total_count": 0} == {
        "current_page": 1, "prev_page": None, "next_page": None, "total_pages": 1, "total_count": 0
    }
    assert created(trails.list(since=newest["timestamp"])["data"]) == [auditor["id"]]
    assert trails.list(page=2, page_size=1)["data"] == [page["data"][1]]
    assert trails.list_all()["data"] == page["data"]


class GoTfe:
    """The requests of go-tfe 1.x, which no package registry of this build has: no type, and only attributes
    that are set."""

    def __init__(self, native):
        self.native = native
        self.headers = native.authorization | {"Accept": JSON_API, "User-Agent": "go-tfe"}

    def ask(self, method, path, status, body=None):
        write = method != "GET"
        answer = httpx.request(
            method,
            f"{self.native.server.url}/api/v2/{path}",
            headers=self.headers | ({"Content-Type": JSON_API} if write else {}),
            json=body if body else None,
            timeout=30,
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def create(self, path, **attributes):
        data = {"type": ""} | ({"attributes": attributes} if attributes else {})
        return self.ask("POST", path, 201, {"data": data})["data"]


@pytest.fixture
def go_tfe(native):
    return GoTfe(native)


def test_go_tfe_1_keeps_tokens_of_teams_organizations_and_people(native, team, go_tfe):
    user = native.get("me")["user"]["id"]
    slots = [
        f"teams/{team}/authentication-token",
        f"organizations/{ORGANIZATION}/authentication-token",
        f"organizations/{ORGANIZATION}/authentication-token?token=audit-trails",
    ]
    for slot in slots:
        first = go_tfe.create(slot)
        assert first["attributes"]["expired-at"] is None and first["attributes"]["description"] is None
        made = go_tfe.create(slot, **{"expired-at": "2101-02-03T04:05:06Z"})
        assert made["attributes"]["expired-at"] == "2101-02-03T04:05:06.000Z"
        assert not native.is_active(first["attributes"]["token"])
        for path in [slot, f"authentication-tokens/{made['id']}"]:
            read = go_tfe.ask("GET", path, 200)["data"]
            assert read == made | {"attributes": read["attributes"]} and read["attributes"]["token"] is None
        go_tfe.ask("DELETE", slot, 204)
        assert not native.is_active(made["attributes"]["token"])
        go_tfe.ask("GET", slot, 404)

    described = go_tfe.create(f"teams/{team}/authentication-tokens", description="")
    assert described["attributes"]["description"] == ""
    go_tfe.create(f"teams/{team}/authentication-tokens", description="ci")
    listed = go_tfe.ask(
        "GET", f"organizations/{ORGANIZATION}/team-tokens?page%5Bnumber%5D=1&page%5Bsize%5D=1&q=own&sort=-created-by", 200
    )
    assert len(listed["data"]) == 1 and listed["meta"]["pagination"]["total-count"] == 2
    data = [{"type": "authentication-tokens", "id": described["id"]}]
    go_tfe.ask("DELETE", f"organizations/{ORGANIZATION}/team-tokens", 204, {"data": data})
    assert not native.is_active(described["attributes"]["token"])

    own = go_tfe.create(f"users/{user}/authentication-tokens", description="laptop")
    assert [token["id"] for token in go_tfe.ask("GET", f"users/{user}/authentication-tokens", 200)["data"]] == [own["id"]]
    go_tfe.ask("DELETE", f"authentication-tokens/{own['id']}", 204)
    assert not native.is_active(own["attributes"]["token"])


def test_pytfc_sends_null_and_a_deleting_client_too(native, team):
    """pytfc supports only TLS; these are its bodies."""
    url = f"{native.server.url}/api/v2/teams/{team}/authentication-token"
    headers = native.authorization | {"Content-Type": JSON_API}
    answer = httpx.post(url, headers=headers, content="null", timeout=30)
    assert answer.status_code == 201, answer.text
    assert httpx.request("DELETE", url, headers=headers, content="null", timeout=30).status_code == 204


def test_a_token_made_here_is_listed_shown_and_ended_through_the_other_apis(native, team, pytfe):
    organizations = pytfe.organization_tokens.create(ORGANIZATION)
    teams = pytfe.team_tokens.create_with_options(team, TeamTokenCreateOptions(description="ci"))
    items = native.get(f"tokens?organization={ORGANIZATION}")["items"]
    listed = {f"at-{token['id']}": token["name"] for token in items}
    assert listed == {organizations.id: "", teams.id: "ci"}
    native.post(f"tokens/{teams.id.removeprefix('at-')}/revoke", None)
    with pytest.raises(NotFound):
        pytfe.team_tokens.read_by_id(teams.id)
    made = native.issue(owner="team", team="owners", name="native")
    assert pytfe.team_tokens.read_by_id(made["token_info"]["id"]).description == "native"
    pytfe.team_tokens.delete_by_id(made["token_info"]["id"])
    assert not native.is_active(made["token"])
