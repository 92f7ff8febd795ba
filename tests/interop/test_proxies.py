"""Every proxy's recipe lets good tokens through to a service that verifies nothing, and nothing else."""

import subprocess
import time
from contextlib import ExitStack

import pytest
import tokens
from conftest import running
from proxies import FORWARD_AUTH, GUARDED, NAMES, folder_for_others, in_between
from recipes import RECIPES, filled
from tokens import Authority

EVERYWHERE = {"nginx"}
ASKS_THE_AUTHORITY = {*FORWARD_AUTH, "apache-introspection"}
# Those that leave reading the credential to the authority or to a guard.
ASKS = {*FORWARD_AUTH, *GUARDED}
SCOPES = """
[scopes]
available = ["projects:read", "projects:readers", "myprojects:read", "content:write"]
[presets]
content_management = ["projects:read", "content:write"]
"""
# Tokens that a recipe cannot check are let through, as docs/verifying.md documents.
CANNOT_TELL = {"apache-jwks": {tokens.of_another_type, tokens.of_no_type}}


def marked(names):
    return [pytest.param(name, marks=[] if name in EVERYWHERE else pytest.mark.interop) for name in names]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority"), SCOPES) as server:
        yield Authority.of(server)


@pytest.fixture(scope="module", params=marked([*NAMES, *GUARDED]))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def proxy(name, authority):
    with folder_for_others() as folder, in_between(name, authority, folder) as proxy:
        yield proxy


@pytest.mark.parametrize("good", tokens.ACCEPTED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_good_token_is_let_through(proxy, authority, good, method):
    content = b"a body" if method == "POST" else None
    proxy.passes(good(authority), method=method, content=content)


@pytest.mark.parametrize("forged", tokens.REFUSED)
def test_a_forgery_is_stopped(name, proxy, authority, forged):
    if forged in CANNOT_TELL.get(name, ()):
        proxy.passes(forged(authority))
    else:
        answer = proxy.stops(forged(authority), 401)
        if not name.startswith("apache"):
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_no_token_is_stopped(proxy):
    answer = proxy.stops(None, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["Basic !!!", "Bearer \u00e9", "Basic"])
def test_what_cannot_be_read_is_no_failure_of_the_proxy(name, proxy, value):
    if name not in ASKS:
        pytest.skip("it reads the credential by itself")
    answer = proxy.stops(None, 401, headers=[("Authorization", value.encode("latin-1"))])
    assert answer.headers["www-authenticate"].startswith('Bearer realm="jeton", error="invalid_token", error_desc')


def test_a_token_without_the_scope_is_stopped(proxy, authority):
    proxy.stops(tokens.without_the_scope(authority), 401, 403)


@pytest.mark.parametrize("like", ["projects:readers", "myprojects:read"])
def test_a_scope_that_only_looks_like_it_is_not_the_scope(proxy, authority, like):
    proxy.stops(authority.issue(scopes=["content:write", like]), 401, 403)


def test_who_asks_learns_of_a_revocation_at_once(name, proxy, authority):
    token = authority.issue()
    proxy.passes(token)
    authority.revoke(token)
    if name in GUARDED:
        time.sleep(1)  # It learns of the revocation within milliseconds, but nobody waits for it.
    if name in ASKS:
        assert 'error="invalid_token"' in proxy.stops(token, 401).headers["www-authenticate"]
    elif name in ASKS_THE_AUTHORITY:
        proxy.stops(token, 401)
    else:
        proxy.passes(token)


def about(seen):
    """Returns the `X-Jeton-…` headers that the service received, in any equivalent spelling."""
    told = {}
    for name, value in seen:
        told.setdefault(name.replace("_", "-"), []).append(value)
    return {name: values for name, values in told.items() if name.startswith("x-jeton-")}


@pytest.fixture(scope="module", params=marked([*FORWARD_AUTH, *GUARDED, "haproxy"]))
def telling(request, authority):
    """A proxy that passes the `X-Jeton-…` headers to the service."""
    with folder_for_others() as folder, in_between(request.param, authority, folder) as proxy:
        yield proxy


def forged_headers(value):
    claims = ["Subject", "Organization", "Team", "Scopes", "Projects", "Token-Id", "Jti"]
    starts = ["X-Jeton-", "x-jeton-", "X_Jeton_", "X-Jeton_", "X_Jeton-"]
    return [(start + claim, value) for claim in claims for start in starts] + [("X_Jeton_Token_Id", value)]


def test_headers_of_these_names_from_a_client_never_arrive(telling, authority):
    token = authority.issue()
    told = about(telling.passes(token, forged_headers("team-0000000000000000")))
    assert told["x-jeton-team"] == ["-"], "the token has no team"
    assert told["x-jeton-subject"] == [tokens.claims(token)["sub"]]
    assert "team-0000000000000000" not in str(told)


def test_the_service_is_told_about_the_token(telling, authority):
    made = authority.post("organizations/default/teams", {"name": f"behind-{telling.name}"})
    token = authority.issue(owner="team", team=made["name"])
    told = about(telling.passes(token))
    assert told["x-jeton-team"] == told["x-jeton-subject"] == [made["id"]]
    if telling.name != "haproxy":
        assert told["x-jeton-jti"] == [tokens.claims(token)["jti"]]


def test_a_service_can_tell_a_token_that_is_restricted_to_projects(telling, authority):
    if telling.name == "haproxy":
        pytest.skip("it can make no header of a list, as docs/verifying.md says of it")
    forged = forged_headers("-")
    assert about(telling.passes(authority.issue()))["x-jeton-projects"] == ["-"]
    made = authority.post("organizations/default/projects", {"name": f"behind-{telling.name}"})
    token = authority.issue(projects=[made["id"]])
    assert about(telling.passes(token, forged))["x-jeton-projects"] == [str(made["id"])]


def test_a_client_cannot_have_them_dropped(telling, authority):
    """`Connection` names headers that a proxy must not pass on (RFC 9110, section 7.6.1)."""
    answer = telling.ask(authority.issue(), [("Connection", "close, x-jeton-team, X-Jeton-Subject")])
    if answer.status_code == 200:
        told = about((name.lower(), value) for name, value in answer.json())
        assert told["x-jeton-team"] == ["-"]
        assert "x-jeton-subject" in told
    else:
        assert answer.status_code == 400


@pytest.fixture(scope="module", params=marked(["apache-jwks", "apache-introspection"]))
def apache(request, authority):
    with folder_for_others() as folder, in_between(request.param, authority, folder) as proxy:
        yield proxy


def test_claims_that_a_client_makes_up_never_arrive(apache, authority):
    token = authority.issue()
    made_up = [(name, "team-0000000000000000") for name in ("OIDC_CLAIM_team", "OIDC-CLAIM-team", "oidc_claim_sub")]
    seen = apache.passes(token, made_up)
    assert "team-0000000000000000" not in str(seen)
    assert ("oidc_claim_sub", tokens.claims(token)["sub"]) in seen


@pytest.mark.interop
def test_haproxy_refuses_what_its_list_of_revoked_tokens_names(authority):
    with folder_for_others() as folder, in_between("haproxy", authority, folder) as proxy:
        token, other = authority.issue(), authority.issue()
        proxy.passes(token)
        command = RECIPES["haproxy-revoke"].filled(
            revoked=str(folder / "revoked"), haproxy_socket=str(folder / "socket"), jti=tokens.claims(token)["jti"]
        )
        subprocess.run(["sh", "-e"], input=command, check=True, text=True, capture_output=True)
        assert 'error="invalid_token"' in proxy.stops(token, 401).headers["www-authenticate"]
        proxy.passes(other)


@pytest.mark.interop
def test_haproxy_lets_nothing_through_when_its_script_fails(authority):
    def spoiled(text):
        return text.replace('"jti" }', '"no-such-header" }')

    with folder_for_others() as folder, in_between("guard-haproxy", authority, folder, spoiled) as proxy:
        proxy.stops(authority.issue(), 503)


@pytest.mark.parametrize("name", marked(sorted(ASKS_THE_AUTHORITY)))
def test_nothing_passes_while_the_authority_is_down(name, tmp_path_factory):
    with folder_for_others() as folder, ExitStack() as ended:
        with running(tmp_path_factory.mktemp("down"), SCOPES) as server:
            authority = Authority.of(server)
            proxy = ended.enter_context(in_between(name, authority, folder))
            token = authority.issue()
            proxy.passes(token)
        proxy.stops(token, 401, 500, 502, 503)


# A line removed from a recipe, and the request that then reaches the service.
@pytest.mark.parametrize(
    ("name", "line", "forged"),
    [
        pytest.param("nginx", "auth_request /authorize-request;", tokens.tampered),
        pytest.param("nginx", "scope=projects:read&", tokens.without_the_scope),
        pytest.param("traefik", "scope=projects:read&", tokens.without_the_scope, marks=pytest.mark.interop),
        pytest.param("envoy", "scope=projects:read&", tokens.without_the_scope, marks=pytest.mark.interop),
        pytest.param("haproxy", " alive !revoked", tokens.expired, marks=pytest.mark.interop),
        pytest.param("haproxy", " access_token from_jeton", tokens.of_another_type, marks=pytest.mark.interop),
        pytest.param(
            "apache-jwks",
            "Require claim iss:http://127.0.0.1:8080",
            tokens.of_another_issuer,
            marks=pytest.mark.interop,
        ),
    ],
)
def test_a_recipe_with_a_line_less_is_found_out(authority, name, line, forged):
    def spoiled(text):
        with_values = filled(line, issuer=authority.issuer, audience=tokens.AUDIENCE)
        assert with_values in text
        return text.replace(with_values, "")

    with folder_for_others() as folder, in_between(name, authority, folder, spoiled) as proxy:
        with pytest.raises(AssertionError):
            proxy.stops(forged(authority), 401, 403)


def test_a_recipe_that_passes_on_what_a_client_says_is_found_out(authority):
    line = "proxy_set_header X-Jeton-Team         $jeton_team;"
    assert line in RECIPES["nginx"].text
    with folder_for_others() as folder:
        with in_between("nginx", authority, folder, lambda text: text.replace(line, "")) as proxy:
            told = about(proxy.passes(authority.issue(), forged_headers("team-0000000000000000")))
            assert "-" not in told["x-jeton-team"]


def test_what_else_a_client_sends_does_not_stop_a_good_token(name, proxy, authority):
    if name not in ASKS - {"guard-haproxy"}:
        pytest.skip("it sends nothing of the client's, and HAProxy takes no longer headers itself")
    cookies = [("Cookie", f"c{number}={'x' * 5800}") for number in range(3)]
    seen = proxy.passes(authority.issue(), cookies)
    assert sum(len(value) for header, value in seen if header == "cookie") > 17_000


@pytest.mark.parametrize("name", marked(FORWARD_AUTH))
def test_a_limit_and_a_failure_are_no_500(name, tmp_path_factory):
    limited = f"{SCOPES}\n[rate_limits]\nper_address = {{ per_second = 1, burst = 12 }}\n"
    with folder_for_others() as folder, ExitStack() as ended:
        with running(tmp_path_factory.mktemp("limited"), limited) as server:
            authority = Authority.of(server)
            proxy = ended.enter_context(in_between(name, authority, folder))
            token = authority.issue()
            answers = [proxy.ask(token) for _ in range(24)]
            assert {answer.status_code for answer in answers} == {200, 429}
            assert int(answers[-1].headers["retry-after"]) > 0
        down = proxy.stops(token, *([500] if name == "traefik" else [502, 503]))
        assert "retry-after" not in down.headers


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_of_the_service_passes_unchanged(authority, status):
    with folder_for_others() as folder, in_between("nginx", authority, folder) as proxy:
        proxy.service.status = status
        answer = proxy.ask(authority.issue())
        assert answer.status_code == status and "x-jeton-subject" in str(answer.json()).lower()
