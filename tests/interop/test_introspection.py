"""Introspection: the recipes, and libraries for clients of OAuth that find the endpoints in the metadata.

The libraries encode the credential like a form before they send it as Basic (RFC 6749, section 2.3.1), `.`, `-` and
`_` included.
"""

import json

import pytest
import tokens
from conftest import running
from programs import Program
from recipes import RECIPES, Recipe
from tokens import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority")) as server:
        yield Authority.of(server)


# With both libraries' own words: `call` is what the test has them do.
OAUTH4WEBAPI = """
import * as oauth from "oauth4webapi";

const issuer = new URL("http://127.0.0.1:8080");
const options = { [oauth.allowInsecureRequests]: true };
const found = await oauth.discoveryRequest(issuer, { algorithm: "ALGORITHM", ...options });
const jeton = await oauth.processDiscoveryResponse(issuer, found);
const client = { client_id: "my-service" };
const credential = oauth.ClientSecretBasic("INTROSPECTOR");
"""
OAUTH4WEBAPI_INTROSPECTS = """
const response = await oauth.introspectionRequest(jeton, client, credential, process.env.TOKEN, options);
console.log(JSON.stringify(await oauth.processIntrospectionResponse(jeton, client, response)));
"""
OAUTH4WEBAPI_REVOKES = """
const response = await oauth.revocationRequest(jeton, client, credential, process.env.TOKEN, options);
await oauth.processRevocationResponse(response);
"""
OPENID_CLIENT = RECIPES["introspect-openid-client"].text
OPENID_CLIENT_INTROSPECTS = "console.log(JSON.stringify(await client.tokenIntrospection(jeton, process.env.TOKEN)));\n"
OPENID_CLIENT_REVOKES = "await client.tokenRevocation(jeton, process.env.TOKEN);\n"


def javascript(name, text, algorithm="oauth2"):
    """Returns a program that reads the metadata of OAuth or of OpenID Connect."""
    return Recipe(name, "js", text.replace("ALGORITHM", "oauth2").replace('"oauth2"', f'"{algorithm}"'))


INTROSPECTING = [
    RECIPES["introspect"],
    RECIPES["introspect-openid-client"],
    javascript("openid-client by OpenID Connect's metadata", OPENID_CLIENT, "oidc"),
    javascript("oauth4webapi", OAUTH4WEBAPI + OAUTH4WEBAPI_INTROSPECTS),
    javascript("oauth4webapi by OpenID Connect's metadata", OAUTH4WEBAPI + OAUTH4WEBAPI_INTROSPECTS, "oidc"),
]
REVOKING = [
    javascript("openid-client", OPENID_CLIENT.replace(OPENID_CLIENT_INTROSPECTS, OPENID_CLIENT_REVOKES)),
    javascript("oauth4webapi", OAUTH4WEBAPI + OAUTH4WEBAPI_REVOKES),
]


@pytest.fixture(scope="module")
def introspector(authority):
    return authority.introspector()


@pytest.fixture
def introspect(authority, introspector, tmp_path):
    """Introspects a token by the recipe for every language, unless another is given."""

    def ask(token, recipe=RECIPES["introspect"]):
        text = recipe.filled(issuer=authority.issuer, introspector=introspector)
        verdict = Program.written(recipe, text, tmp_path, TOKEN=token).judge("")
        assert verdict.code == 0, verdict
        return json.loads(verdict.output)

    return ask


@pytest.mark.parametrize("recipe", INTROSPECTING, ids=lambda recipe: recipe.name)
def test_a_good_token_is_active_until_it_is_revoked(recipe, introspect, authority):
    token = authority.issue()
    said, claims = introspect(token, recipe), tokens.claims(token)
    assert said["active"] is True
    assert {name: said[name] for name in ("iss", "sub", "exp", "jti", "scope", "org")} == {
        name: claims[name] for name in ("iss", "sub", "exp", "jti", "scope", "org")
    }
    assert said["aud"] in (claims["aud"], [claims["aud"]])
    authority.revoke(token)
    assert introspect(token, recipe) == {"active": False}


@pytest.mark.parametrize(
    "forged", [*tokens.WRONG_SIGNATURE, tokens.expired, tokens.of_another_issuer, *tokens.WRONG_TYPE, tokens.a_session]
)
def test_of_a_forgery_nothing_is_said(introspect, authority, forged):
    assert introspect(forged(authority)) == {"active": False}


@pytest.mark.parametrize("recipe", REVOKING, ids=lambda recipe: recipe.name)
def test_clients_of_oauth_revoke(recipe, authority, introspector, tmp_path):
    text = recipe.filled(issuer=authority.issuer, introspector=introspector)
    revoked, other = authority.issue(), authority.issue()
    verdict = Program.written(recipe, text, tmp_path, TOKEN=revoked).judge("")
    assert (verdict.code, verdict.output) == (0, ""), verdict
    assert [authority.is_active(token) for token in (revoked, other)] == [False, True]
