"""The README's two chapters from a login to a verified call work unchanged."""

import re
import subprocess

import pytest
import tokens
from terminal import typed
from conftest import running
from recipes import DOCUMENT
from tokens import Authority

README = DOCUMENT.parents[1] / "README.md"
CHAPTERS = re.search(r"^## From a login to a token\n.*?(?=^## Where to read next)", README.read_text(), re.M | re.S)[0]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Runs the chapters' commands in one shell, and returns the output of each."""
    folder = tmp_path_factory.mktemp("reader")
    with running(tmp_path_factory.mktemp("authority")) as server:
        doomed = tokens.claims(Authority.of(server).issue())["jti"]

        def read(text):
            text = text.replace("http://127.0.0.1:8080", server.url).replace("admin@example.com", server.email)
            return text

        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", CHAPTERS, re.MULTILINE | re.DOTALL)
        (program,) = (text for language, text in blocks if language == "python")
        (folder / "verify.py").write_text(read(program))
        commands = [f"ID={doomed}", *(read(text) for language, text in blocks if language == "sh")]
        script = "\necho '<end>'\n".join(commands)
        (folder / "script").write_text(script)
        done, shown = typed(["bash", "-euo", "pipefail", "script"], server.password, folder)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert server.password not in shown + script, "the password was shown"
    return done.stdout.split("<end>\n")


def test_a_token_is_made_verified_and_revoked(said):
    _, login, made, revoked, kept, verified, asked = said
    assert login == kept == "", "a secret was printed"
    assert made.count('"token":"eyJ') == 1
    assert '"state":"revoked"' in revoked or '"revoked_at":"' in revoked
    assert asked.startswith("HTTP/1.1 200") and "x-jeton-subject: " in asked
    assert re.fullmatch(r"accepted [0-9a-f-]{36} projects:read\n", verified)
