"""The linters of redocly and spectral find nothing in any document."""

import json
import re

import pytest
from conftest import BINARY, DOCUMENTS
from generators import HERE, NODE, Failed, run

LINTERS = {
    "redocly": [NODE / "redocly", "lint", "--config", HERE / "redocly.yaml", "--max-problems", "1000"],
    "spectral": [NODE / "spectral", "lint", "--ruleset", HERE / "spectral.yaml", "--fail-severity", "hint"],
}

pytestmark = pytest.mark.generators


def lint(linter, folder, spoil=lambda document: None):
    for name in DOCUMENTS:
        document = json.loads(run(BINARY, "openapi", name, folder=folder))
        spoil(document)
        (folder / f"{name}.json").write_text(json.dumps(document, indent=2))
    printed = run(*LINTERS[linter], *(f"{name}.json" for name in DOCUMENTS), folder=folder)
    # redocly's exit code is 0 after warnings.
    if re.search(r"You have \d+ warning", printed):
        raise Failed(printed)


@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_finds_nothing(tmp_path, linter):
    lint(linter, tmp_path)


def without_servers(document):
    del document["servers"]


def with_a_number_as_example(document):
    schemas = document["components"]["schemas"]
    schemas["Wrong"] = {"type": "string", "example": 5}
    document["components"]["responses"] = {
        "Wrong": {"description": "wrong", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wrong"}}}}
    }


@pytest.mark.parametrize("linter", LINTERS)
@pytest.mark.parametrize("spoil", [without_servers, with_a_number_as_example])
def test_a_linter_finds_a_fault(tmp_path, linter, spoil):
    with pytest.raises(Failed):
        lint(linter, tmp_path, spoil)
