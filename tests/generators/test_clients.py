"""Generated clients compile for every document. Those of the native API create, list and revoke a token."""

import json

import httpx
import pytest
from conftest import DOCUMENTS, running
from generators import GENERATORS, Failed

NATIVE = DOCUMENTS["native"]

pytestmark = pytest.mark.generators


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("document", DOCUMENTS.values())
def test_a_client_compiles_and_works(server, tmp_path, name, document):
    generator = GENERATORS[name]
    generator.build(f"{server.url}{document}", tmp_path, with_program=document == NATIVE)
    if document == NATIVE:
        # The token is listed, and no longer after its revocation.
        assert generator.use(tmp_path, server.url, server.session()).split()[-2:] in (["true"] * 2, ["True"] * 2)


def inline(document):
    """List elements without a reference have no type that a program could name."""
    schemas = document["components"]["schemas"]
    schemas["TokenList"]["properties"]["items"]["items"] = schemas["TokenInfo"]


def unname(document):
    schemas = document["components"]["schemas"]
    schemas[""] = schemas["TokenStatus"]


def unlicense(document):
    document["info"]["license"] = {"name": "MIT"}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [("openapi-python-client", inline), ("openapi-generator-go", unname), ("openapi-generator-python", unlicense)],
)
def test_what_a_generator_cannot_use_is_found(server, tmp_path, name, spoil):
    document = httpx.get(f"{server.url}{NATIVE}").json()
    spoil(document)
    file = tmp_path / "spoiled.json"
    file.write_text(json.dumps(document))
    with pytest.raises(Failed):
        GENERATORS[name].build(file, tmp_path, with_program=True)
