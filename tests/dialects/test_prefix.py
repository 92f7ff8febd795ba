"""The token prefix: for secret scanners, and ignored everywhere else."""

import base64
from dataclasses import dataclass

import httpx
import pytest
from conftest import running
from native import ORGANIZATION, Native

PREFIX = "dz_"


def configured(prefix):
    return f'[tokens]\nprefix = "{prefix}"\n'


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    with running(tmp_path_factory.mktemp("prefix"), configured(PREFIX)) as server:
        yield Native.of(server)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def basic(username, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


@dataclass(frozen=True)
class Presentation:
    """A request that presents a token."""

    method: str
    path: str
    headers: object = bearer
    data: object = None
    status: int = 200
    # The status without an active token.
    refusal: int = 401

    def send(self, url, token, session):
        """Returns the status; `session` is the credential of requests about a token."""
        return httpx.request(
            self.method,
            f"{url}{self.path}",
            headers=self.headers(token) if self.data is None else bearer(session),
            data=None if self.data is None else self.data(token),
            timeout=30,
        )


# Every way to present a token to jeton.
PRESENTATIONS = {
    "Bearer": Presentation("GET", "/api/v1/tokens"),
    "Basic, as username": Presentation("GET", "/api/v1/tokens", lambda token: basic(token, "")),
    "Basic, as password": Presentation("GET", "/api/v1/tokens", lambda token: basic("anybody", token)),
    "current": Presentation("GET", "/api/v1/tokens/current"),
    "forward-auth": Presentation("GET", "/oauth/authorize-request"),
    "CAVE": Presentation("GET", f"/organizations/{ORGANIZATION}/tokens", lambda token: basic(token, ""), refusal=403),
    "Terraform": Presentation("GET", f"/api/v2/organizations/{ORGANIZATION}/team-tokens"),
    "QuantCDN": Presentation("GET", f"/api/v2/organizations/{ORGANIZATION}/tokens"),
}
# Requests that revoke the presented token.
REVOCATIONS = {
    "rotate": Presentation("POST", "/api/v1/tokens/current/rotate", status=201),
    "revoke": Presentation("POST", "/api/v1/tokens/current/revoke", status=201),
    "RFC 7009": Presentation("POST", "/oauth/revoke", data=lambda token: {"token": token}),
}
FORMS = {
    "bare": lambda token: token,
    "prefixed": lambda token: PREFIX + token,
    "under another prefix": lambda token: "other_" + token,
}


def issued(native):
    """Returns an active token without its prefix, accepted by every request above."""
    made = native.issue(scopes=["tokens:read", "tokens:write", "organizations:read"])
    assert made["token"].startswith("dz_eyJ")
    assert made["token_info"]["token_prefix"].startswith("dz_eyJ")
    return made["token"].removeprefix(PREFIX)


@pytest.fixture(scope="module")
def token(native):
    return issued(native)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("presentation", PRESENTATIONS.values(), ids=PRESENTATIONS)
def test_every_form_opens_every_door(native, token, presentation, form):
    answer = presentation.send(native.server.url, form(token), native.session)
    assert answer.status_code == presentation.status, answer.text


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_active_when_asked_about(native, token, form):
    assert native.is_active(form(token))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("presentation", REVOCATIONS.values(), ids=REVOCATIONS)
def test_every_form_can_be_rotated_and_ended(native, presentation, form):
    token = issued(native)
    answer = presentation.send(native.server.url, form(token), native.session)
    assert answer.status_code == presentation.status, answer.text
    if "rotate" in presentation.path:
        successor = answer.json()["token"]
        assert successor.startswith("dz_eyJ") and native.is_active(successor)
    else:
        # A token revoked in one form is revoked in all.
        assert not any(native.is_active(form(token)) for form in FORMS.values())


@pytest.mark.parametrize("wrong", ["dz_dz_", "d-z_", "_", "dz", "dz__", "0123456789abcdefg_"])
def test_what_is_no_prefix_opens_nothing(native, token, wrong):
    for presentation in PRESENTATIONS.values():
        assert presentation.send(native.server.url, wrong + token, native.session).status_code == presentation.refusal
    assert not native.is_active(wrong + token)


def test_a_prefix_makes_no_other_token(native, token):
    """The prefix is not signed, so it makes no difference to a forgery."""
    head, payload, signature = token.split(".")
    assert not native.is_active(f"{PREFIX}{head}.{payload}.{signature[::-1]}")


def test_a_change_of_the_prefix_ends_nothing(tmp_path):
    with running(tmp_path, configured(PREFIX)) as server:
        native = Native.of(server)
        old = issued(native)
        identity = native.get("tokens")["items"][0]["id"]
    with running(tmp_path, configured("acme_")) as server:
        native = Native.of(server)
        for form in FORMS.values():
            assert native.is_active(form(old))
            assert httpx.get(f"{server.url}/api/v1/tokens/current", headers=bearer(form(old))).status_code == 200
        # The stored display text has the prefix.
        assert native.get(f"tokens/{identity}")["token_prefix"].startswith("dz_")
        made = native.issue()
        assert made["token"].startswith("acme_eyJ")
    with running(tmp_path) as server:
        native = Native.of(server)
        assert native.is_active(PREFIX + old) and native.is_active(made["token"])
        plain = native.issue()
        assert plain["token"].startswith("eyJ") and plain["token_info"]["token_prefix"].startswith("eyJ")
