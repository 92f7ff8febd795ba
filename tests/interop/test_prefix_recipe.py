"""The recipe that removes the token prefix, inserted where the page says."""

import pytest
import tokens
from conftest import running
from programs import Program
from recipes import RECIPES
from tokens import AUDIENCE, Authority

LAST_LINE = 'print("accepted", verify(sys.stdin.read().strip())["sub"])\n'


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority"), '[tokens]\nprefix = "acme_"\n') as server:
        yield Authority.of(server)


def bare(token):
    assert token.startswith("acme_eyJ")
    return token.removeprefix("acme_")


@pytest.mark.parametrize(
    "name", ["pyjwt", pytest.param("joserfc", marks=pytest.mark.interop), pytest.param("authlib", marks=pytest.mark.interop)]
)
def test_without_its_prefix_a_stock_library_takes_a_token(authority, tmp_path, name):
    recipe = RECIPES[name]
    text = recipe.filled(issuer=authority.issuer, audience=AUDIENCE)
    assert text.endswith(LAST_LINE)
    cutting = Program.written(recipe, text.removesuffix(LAST_LINE) + RECIPES["prefix"].text, tmp_path)
    token = bare(authority.issue())
    subject = f"accepted {tokens.claims(token)['sub']}\n"
    for prefix in ["acme_", "", "dz_", "0123456789abcdeF_"]:
        verdict = cutting.judge(prefix + token)
        assert (verdict.code, verdict.output) == (0, subject), verdict
    for prefix in ["acme_acme_", "a-b_", "0123456789abcdefg_", "_"]:
        assert cutting.judge(prefix + token).code != 0
    head, payload, signature = token.split(".")
    assert cutting.judge(f"acme_{head}.{payload}.{signature[::-1]}").code != 0


def test_with_its_prefix_it_is_refused(authority, tmp_path):
    """The control: without the recipe the library refuses the token."""
    whole = Program.of(RECIPES["pyjwt"], authority, tmp_path)
    token = authority.issue()
    assert whole.judge(bare(token)).code == 0
    assert whole.judge(token).code != 0
