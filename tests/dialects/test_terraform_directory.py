"""Terraform's clients and the directory: service discovery, the caller, organizations, teams and members."""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from native import ORGANIZATION, Native
from pytfe import TFEClient, TFEConfig
from pytfe.errors import AuthError, NotFound, TFEError
from pytfe.models import (
    OrganizationCreateOptions,
    OrganizationMembershipCreateOptions,
    OrganizationMembershipListOptions,
    OrganizationUpdateOptions,
    TeamCreateOptions,
    TeamListOptions,
    TeamUpdateOptions,
)
from terrasnek.api import TFC

PROGRAMS = Path(__file__).with_name("go")
# Debian installs Go libraries into a GOPATH.
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}


@pytest.fixture
def native(server):
    return Native.of(server)


@pytest.fixture
def pytfe(native):
    """Creates clients, for the administrator unless another token is given."""
    with ExitStack() as clients:

        def client(token: str = native.session) -> TFEClient:
            # A retry would only delay a failure, and certificates are for TLS.
            config = TFEConfig(address=native.server.url, token=token, max_retries=0, ca_bundle=None)
            return clients.enter_context(TFEClient(config))

        yield client


def test_pytfe_says_who_is_calling(native, pytfe):
    person = pytfe().users.read_current()
    assert (person.email, person.username) == (native.server.email, native.server.email)
    assert person.is_service_account is False and person.permissions.can_create_organizations is True
    token = native.issue(scopes=[])["token"]
    account = pytfe(token).users.read_current()
    assert account.is_service_account is True and account.username == f"api-org-{ORGANIZATION}"
    with pytest.raises(AuthError):
        pytfe("no token at all").users.read_current()


def test_pytfe_manages_organizations(pytfe):
    client = pytfe().organizations
    made = client.create(OrganizationCreateOptions(name="Acme", email="ops@acme.example"))
    assert (made.id, made.name, made.email) == ("Acme", "Acme", "ops@acme.example")
    assert client.read("acme").permissions["can-destroy"] is True
    changed = client.update("acme", OrganizationUpdateOptions(name="acme2"))
    assert (changed.id, changed.email) == ("acme2", "ops@acme.example")
    assert [one.name for one in client.list()] == ["acme2", ORGANIZATION]
    client.delete("acme2")
    with pytest.raises(NotFound):
        client.read("acme2")
    with pytest.raises(TFEError, match="has already been taken"):
        client.create(OrganizationCreateOptions(name=ORGANIZATION, email="ops@acme.example"))


def test_pytfe_manages_teams_and_who_belongs_to_them(native, pytfe):
    client = pytfe().teams
    team = client.create(ORGANIZATION, TeamCreateOptions(name="web", visibility="secret"))
    assert team.visibility == "organization" and team.permissions.can_destroy is True
    assert client.update(team.id, TeamUpdateOptions(name="shop")).name == "shop"
    client.create(ORGANIZATION, TeamCreateOptions(name="ops"))
    named = TeamListOptions(names=["shop", "none"])
    assert [one.id for one in client.list(ORGANIZATION, named)] == [team.id]
    named = TeamListOptions(names=["shop", "ops"], query="S", page_size=1)
    assert [one.name for one in client.list(ORGANIZATION, named)] == ["ops", "shop"]
    client.add_users(team.id, ["ada@example.org", native.server.email])
    # An invited user becomes a member once created.
    assert [user.email for user in client.list_users(team.id)] == [native.server.email]
    ada = native.joined_by("ada@example.org")
    assert [user.username for user in client.list_users(team.id)] == ["ada@example.org", native.server.email]
    assert pytfe(ada.session).teams.read(team.id).permissions.can_destroy is False
    with pytest.raises(NotFound):
        pytfe(ada.session).teams.delete(team.id)
    client.remove_users(team.id, ["ada@example.org"])
    assert len(client.read(team.id).users) == 1
    client.delete(team.id)
    with pytest.raises(NotFound):
        client.read(team.id)


def test_pytfe_manages_memberships(native, pytfe):
    client = pytfe().organization_memberships
    team = pytfe().teams.create(ORGANIZATION, TeamCreateOptions(name="web"))
    options = OrganizationMembershipCreateOptions(email="new@example.org", teams=[team])
    made = client.create(ORGANIZATION, options)
    assert (made.status, made.email, made.organization.id) == ("invited", "new@example.org", ORGANIZATION)
    account = {"email": "new@example.org", "password": "password of somebody new"}
    native.post("users", account)
    [found] = client.list(ORGANIZATION, OrganizationMembershipListOptions(emails=["new@example.org"]))
    assert (found.id, found.status) == (made.id, "active")
    assert [user.id for user in pytfe().teams.list_users(team.id)] == [found.user.id]
    assert len(list(client.list(ORGANIZATION, OrganizationMembershipListOptions(status="invited")))) == 0


def test_terrasnek_starts_and_finds_its_way(native):
    client = TFC(native.session, url=native.server.url, skip_version_check=True)
    client.set_org(ORGANIZATION)
    assert client.account.show()["data"]["attributes"]["email"] == native.server.email
    payload = {"data": {"type": "teams", "attributes": {"name": "web"}}}
    team = client.teams.create(payload)["data"]
    assert client.teams.show(team["id"])["data"]["attributes"]["name"] == "web"
    assert [one["id"] for one in client.teams.list()["data"]] == [team["id"]]
    users = {"data": [{"type": "users", "id": native.server.email}]}
    client.team_memberships.add_user_to_team(team["id"], users)
    assert client.teams.show(team["id"])["data"]["attributes"]["users-count"] == 1
    client.teams.destroy(team["id"])
    assert [one["id"] for one in client.orgs.list()["data"]] == [ORGANIZATION]
    assert client.orgs.show(ORGANIZATION)["data"]["id"] == ORGANIZATION


@pytest.fixture
def go_tfe(native, tmp_path):
    """Builds a program and runs it with a token, and with a user who is no member."""
    native.post("users", {"email": "ada@example.org", "password": "password of ada"})

    def run(name: str, token: str = native.session) -> subprocess.CompletedProcess:
        program = tmp_path / name
        if not program.exists():
            source = PROGRAMS / f"{name}.go"
            subprocess.run(["go", "build", "-o", program, source], env=os.environ | GO, check=True)
        environment = {"ADDRESS": native.server.url, "TOKEN": token, "PERSON": "ada@example.org"}
        return subprocess.run([program], env=os.environ | environment, capture_output=True, text=True, timeout=60)

    return run


def test_the_provider_keeps_each_of_its_resources(go_tfe):
    done = go_tfe("provider")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "tfe_organization",
        "tfe_team",
        "tfe_organization_membership",
        "tfe_organization_membership of an invited address",
        "tfe_team_members",
        "tfe_team_organization_member",
        "tfe_team_organization_member of an invited address",
        "tfe_team_organization_members",
        "tfe_team_token",
        "tfe_organization_token",
    ]


def test_go_tfe_can_do_all_that_it_knows(native, go_tfe):
    done = go_tfe("tour")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    unauthorized = "unauthorized"
    [team] = said.pop("first team token")
    assert team.startswith("api-team_")
    assert said == {
        "account": native.server.email,
        "nobody": unauthorized,
        "name taken": "invalid attributes\n\nValidation failed: Name has already been taken",
        "organizations": [1, 2, 2, 2],
        "member": "ada@example.org",
        "memberships": ["ada@example.org", native.server.email, "new@acme.example"],
        "team tokens": [unauthorized, team],
        "deleted team token": unauthorized,
        "organization token": "api-org-Acme",
        "deleted organization token": unauthorized,
        "token of a deleted team": unauthorized,
    }
    # The tour fails at the first refused operation: creating an organization needs a session.
    refused = go_tfe("tour", native.issue(scopes=["organizations:read", "organizations:write"])["token"])
    assert refused.returncode != 0 and "resource not found" in refused.stderr, refused


def test_what_clients_read_at_the_start_needs_no_credential(server):
    services = httpx.get(f"{server.url}/.well-known/terraform.json")
    assert services.status_code == 200 and services.json()["tfe.v2"] == "/api/v2/"
    ping = httpx.get(f"{server.url}/api/v2/ping")
    assert (ping.status_code, ping.headers["tfp-api-version"]) == (204, "2.6")
