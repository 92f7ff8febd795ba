"""The table of docs/verifying.md lists the algorithms of every recipe correctly."""

import re
from contextlib import ExitStack

import pytest
import tokens
from conftest import running
from programs import Program
from proxies import NAMES as PROXIES
from proxies import folder_for_others, in_between
from recipes import DOCUMENT, RECIPES
from test_libraries import WORDS, marks
from tokens import Authority

ALGORITHMS = ["ES256", "EdDSA", "RS256"]
ROWS = re.findall(r"^\| (`.*?`) \| (yes|no) \| (yes|no) \| (yes|no) \|", DOCUMENT.read_text(), re.MULTILINE)
TABLE = {
    name: dict(zip(ALGORITHMS, answers, strict=True))
    for names, *answers in ROWS
    for name in re.findall(r"`(.*?)`", names)
}
# These have tests of their own, and verify no tokens by an algorithm.
OTHERS = {"introspect", "introspect-openid-client", "status-list", "haproxy-revoke", "prefix", "feed"}


def test_every_recipe_is_in_the_table_and_run():
    assert TABLE.keys() | OTHERS == RECIPES.keys()
    assert TABLE.keys() == WORDS.keys() | set(PROXIES)


@pytest.fixture(scope="module", params=ALGORITHMS)
def authority(request, tmp_path_factory):
    configuration = f'[keys]\nalgorithm = "{request.param}"\n'
    with running(tmp_path_factory.mktemp(request.param), configuration) as server:
        yield Authority.of(server)


@pytest.mark.interop
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks(name) if name in WORDS else []) for name in TABLE]
)
def test_the_algorithms_of_a_recipe_are_those_of_the_table(name, authority, tmp_path):
    takes, refuses = (proxied if name in PROXIES else run)(name, authority, tmp_path)
    if TABLE[name][authority.algorithm] == "yes":
        assert takes and refuses
    else:
        assert not takes


def run(name, authority, folder):
    program = Program.of(RECIPES[name], authority, folder)
    return program.judge(authority.issue()).code == 0, program.judge(tokens.tampered(authority)).code != 0


def proxied(name, authority, _):
    with folder_for_others() as folder, ExitStack() as ended:
        try:
            proxy = ended.enter_context(in_between(name, authority, folder))
        except AssertionError:
            return False, True  # The program does not start with an unknown algorithm.
        return proxy.ask(authority.issue()).status_code == 200, proxy.ask(tokens.tampered(authority)).status_code == 401
