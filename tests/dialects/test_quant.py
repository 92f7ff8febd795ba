"""QuantCDN's clients: its Python client, its documented command, and the requests and models of its Go client."""

from datetime import datetime, timedelta

import httpx
import pytest
import quantcdn
from native import ORGANIZATION, Native
from quantcdn.api.organizations_api import OrganizationsApi
from samples import curl

CURL = """curl --request POST \\
--url https://dashboard.quantcdn.io/api/v2/organizations/test-org/tokens \\
--header 'Authorization: Bearer <token>' \\
--header 'Content-Type: application/json' \\
--data '{ "name": "My CI token", "preset": "content_management", "scopes": [ "projects:read", "content:write" ], "projects": [ 1 ], "expires_in": "30d" }'
"""
HOST = "https://dashboard.quantcdn.io"


@pytest.fixture
def native(server):
    return Native.of(server)


@pytest.fixture
def organizations(native):
    """The organizations of the vendor's Python client."""
    configuration = quantcdn.Configuration(host=native.server.url, access_token=native.session)
    with quantcdn.ApiClient(configuration) as client:
        yield OrganizationsApi(client)


def test_the_documented_command_makes_a_token_with_every_documented_field(native, tmp_path):
    native.post("organizations", {"name": "test-org"})
    project = native.post("organizations/test-org/projects", {"name": "website"})
    assert project["id"] == 1, "the sample names the project 1"
    answer = curl(CURL, {HOST: native.server.url, "<token>": native.session}, tmp_path)
    assert answer.status == 201, answer
    assert answer.headers["content-type"] == "application/json"
    body = answer.body
    assert native.is_active(body.pop("token"))
    created, expires = (datetime.fromisoformat(body.pop(name)) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(days=30)
    assert type(body.pop("id")) is int
    assert body == {
        "name": "My CI token",
        "scopes": ["projects:read", "content:write"],
        "projects": [1],
        "preset": "content_management",
    }


def test_their_python_client_lists_and_reads_organizations(native, organizations):
    native.post("organizations", {"name": "acme"})
    listed = organizations.organizations_list()
    assert [(one.name, one.machine_name) for one in listed] == [("acme", "acme"), (ORGANIZATION, ORGANIZATION)]
    read = organizations.organizations_read(organization="acme")
    assert (read.name, read.machine_name) == ("acme", "acme")
    assert read.created_at.tzinfo is not None and read.updated_at is None


@pytest.mark.parametrize(
    ("session", "organization", "expected"),
    [
        ("no token", ORGANIZATION, quantcdn.exceptions.UnauthorizedException),
        (None, "there-is-none", quantcdn.exceptions.NotFoundException),
        ("without a scope", ORGANIZATION, quantcdn.exceptions.ForbiddenException),
    ],
)
def test_their_python_client_raises_what_it_has_for_each_refusal(native, session, organization, expected):
    if session == "without a scope":
        session = native.issue(scopes=["projects:read"])["token"]
    configuration = quantcdn.Configuration(host=native.server.url, access_token=session or native.session)
    with quantcdn.ApiClient(configuration) as client, pytest.raises(expected) as raised:
        OrganizationsApi(client).organizations_read(organization=organization)
    body = httpx.Response(raised.value.status, text=raised.value.body).json()
    assert body["error"] is True and body["message"]


class GoClient:
    """Sends the requests of the vendor's generated Go client, and accepts only what that accepts."""

    # The client's models: the type of each field, and whether `null` is allowed.
    CREATED = {
        "token": (str, False),
        "id": (int, False),
        "name": (str, False),
        "scopes": (list, True),
        "projects": (list, True),
        "preset": (str, True),
        "expires_at": (str, True),
        "created_at": (str, False),
    }
    LISTED = {"id": (int, False), "name": (str, False), "last_used": (str, True), "created_at": (str, False)}
    TIMES = {"expires_at", "created_at", "last_used"}

    def __init__(self, http):
        self.http = http

    def tokens(self, organization):
        return f"/api/v2/organizations/{organization}/tokens"

    def create(self, organization, **body):
        answer = self.http.post(self.tokens(organization), json=body)
        # The only request with a `Content-Type`; unset fields are absent or `null`.
        assert answer.request.headers["content-type"] == "application/json"
        return self.taken(answer, 201, lambda body: self.modelled(body, self.CREATED))

    def list(self, organization):
        answer = self.http.get(self.tokens(organization))
        return self.taken(answer, 200, lambda body: [self.modelled(one, self.LISTED) for one in body])

    def delete(self, organization, token):
        answer = self.http.delete(f"{self.tokens(organization)}/{token}")
        assert "content-type" not in answer.request.headers
        return self.taken(answer, 200, lambda body: body["message"])

    def taken(self, answer, status, model):
        assert answer.headers["content-type"] == "application/json", answer.headers
        if answer.status_code == status:
            return model(answer.json())
        body = answer.json()
        # Both keys are required: without one the client reports an unreadable response.
        assert type(body["message"]) is str and type(body["error"]) is bool, body
        raise GoError(answer.status_code, body["message"])

    def modelled(self, body, model):
        for field, (kind, nullable) in model.items():
            value = body[field]
            if value is None:
                assert nullable, field
            else:
                assert type(value) is kind, (field, value)
                # int32, where a larger number is an error.
                assert kind is not int or value < 2**31
                assert field not in self.TIMES or datetime.fromisoformat(value).tzinfo
        return body


class GoError(Exception):
    def __init__(self, status, message):
        super().__init__(status, message)
        self.status, self.message = status, message


def client_of(native, token):
    headers = {"Accept": "application/json", "User-Agent": "OpenAPI-Generator/4.19.0/go"}
    return httpx.Client(base_url=native.server.url, headers=headers | {"Authorization": f"Bearer {token}"})


@pytest.fixture
def client(native):
    with client_of(native, native.session) as http:
        yield GoClient(http)


def test_their_go_client_creates_lists_and_deletes(native, client):
    made = client.create(ORGANIZATION, name="ci", preset="content_management", expires_in="90d")
    plain = client.create(ORGANIZATION, name="plain", preset=None, expires_in=None)
    assert plain["scopes"] and plain["projects"] is None and plain["expires_at"] is not None
    for_ever = client.create(ORGANIZATION, name="for ever", scopes=["projects:read"], expires_in="never")
    assert for_ever["expires_at"] is None and for_ever["preset"] is None
    assert [one["name"] for one in client.list(ORGANIZATION)] == ["ci", "plain", "for ever"]
    assert native.is_active(made["token"])
    assert client.delete(ORGANIZATION, made["id"]) == "Token revoked successfully"
    assert not native.is_active(made["token"])
    assert [one["name"] for one in client.list(ORGANIZATION)] == ["plain", "for ever"]


@pytest.mark.parametrize(
    ("call", "status", "words"),
    [
        (lambda client: client.create(ORGANIZATION), 422, "name: Field required"),
        (lambda client: client.create(ORGANIZATION, name="ci", expires_in="1d"), 422, "expires_in: "),
        (lambda client: client.create(ORGANIZATION, name="ci", projects=[7]), 422, "projects: "),
        (
            lambda client: client.create(
                ORGANIZATION, name="ci", preset="content_management", scopes=["projects:read"]
            ),
            422,
            "scopes: ",
        ),
        (lambda client: client.list("there-is-none"), 404, "No such resource"),
        (lambda client: client.create("there-is-none", name="ci"), 404, "No such resource"),
        (lambda client: client.delete(ORGANIZATION, 4711), 404, "No such resource"),
    ],
)
def test_their_go_client_reads_every_refusal(client, call, status, words):
    with pytest.raises(GoError) as raised:
        call(client)
    assert raised.value.status == status and words in raised.value.message


def test_their_go_client_reads_what_a_credential_is_refused_with(native):
    weak = native.issue(scopes=["projects:read"])["token"]
    for token, status in [("no token", 401), (weak, 403)]:
        with client_of(native, token) as http:
            for call in [lambda c: c.list(ORGANIZATION), lambda c: c.create(ORGANIZATION), lambda c: c.delete("x", 1)]:
                with pytest.raises(GoError) as raised:
                    call(GoClient(http))
                assert raised.value.status == status


def test_what_the_go_client_cannot_read_is_noticed(client):
    """The control: the checks above must reject these responses."""
    good = {"id": 1, "name": "ci", "last_used": None, "created_at": "2026-11-22T00:17:05.123Z"}
    client.modelled(good, GoClient.LISTED)
    for wrong in [{"id": "1"}, {"id": 2**31}, {"name": None}, {"created_at": "2026-11-22T00:17:05"}]:
        with pytest.raises(AssertionError):
            client.modelled(good | wrong, GoClient.LISTED)
    answer = httpx.Response(403, json={"message": "no"})
    with pytest.raises(KeyError):
        client.taken(answer, 200, None)
