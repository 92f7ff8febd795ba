"""The recipe that introspects tokens, which works in every language."""

import json

import pytest
import tokens
from conftest import running
from programs import Program
from recipes import RECIPES
from tokens import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority")) as server:
        yield Authority.of(server)


@pytest.fixture(scope="module")
def introspect(authority, tmp_path_factory):
    recipe = RECIPES["introspect"]
    text = recipe.filled(issuer=authority.issuer, introspector=authority.introspector())

    def ask(token):
        program = Program.written(recipe, text, tmp_path_factory.mktemp("introspect"), TOKEN=token)
        verdict = program.judge("")
        assert verdict.code == 0, verdict
        return json.loads(verdict.output)

    return ask


def test_a_good_token_is_active_and_said_what_it_is(introspect, authority):
    token = authority.issue()
    said, claims = introspect(token), tokens.claims(token)
    assert said["active"] is True
    assert {name: said[name] for name in ("iss", "sub", "exp", "jti", "scope", "org")} == {
        name: claims[name] for name in ("iss", "sub", "exp", "jti", "scope", "org")
    }
    assert said["aud"] in (claims["aud"], [claims["aud"]])


@pytest.mark.parametrize(
    "forged", [*tokens.WRONG_SIGNATURE, tokens.expired, tokens.of_another_issuer, *tokens.WRONG_TYPE, tokens.a_session]
)
def test_of_a_forgery_nothing_is_said(introspect, authority, forged):
    assert introspect(forged(authority)) == {"active": False}


def test_a_revocation_is_known_at_once(introspect, authority):
    token = authority.issue()
    assert introspect(token)["active"] is True
    authority.revoke(token)
    assert introspect(token) == {"active": False}
