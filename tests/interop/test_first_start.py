"""The command that the first start prints, pasted into shells."""

import os
import re
import shutil
import signal
import subprocess

import httpx
import pytest
from conftest import BINARY
from terminal import typed


PASSWORD = "correct horse 12"


@pytest.fixture
def welcome(tmp_path_factory):
    """The lines of a first start that prints a code."""
    folder = tmp_path_factory.mktemp("first")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JETON_")}
    command = [BINARY, "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    lines = []
    while not lines or "api/v1/tokens" not in lines[-1]:
        line = process.stdout.readline()
        assert line, lines
        lines.append(line)
    yield lines
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", pytest.param("zsh", marks=pytest.mark.interop)])
def test_the_command_sets_up_with_a_new_password_and_prints_a_token(welcome, shell, tmp_path):
    assert shutil.which(shell), f"{shell} is not installed"
    url = re.search(r"^listening on (\S+)$", "".join(welcome), re.M)[1]
    code = re.search(r"^the code, for one use: (\S+)$", "".join(welcome), re.M)[1]
    command = welcome[-1]
    assert code in command
    done, shown = typed([shell, "-c", command], PASSWORD, tmp_path)
    assert PASSWORD not in shown + done.stdout + done.stderr, "the terminal showed the password"
    token = {"Authorization": f"Bearer {done.stdout.strip()}"}
    assert httpx.get(f"{url}/api/v1/tokens/current", headers=token).json()["name"] == "first"


    login = {"email": "admin@example.com", "password": PASSWORD}
    assert httpx.post(f"{url}/api/v1/login", json=login).status_code == 200


def test_a_password_that_is_refused_creates_nothing_and_the_command_works_again(welcome, tmp_path):
    done, _ = typed(["sh", "-c", welcome[-1]], "short", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the setup failed" in done.stderr
    done, _ = typed(["sh", "-c", welcome[-1]], PASSWORD, tmp_path)
    assert done.stdout.startswith("eyJ"), (done.stdout, done.stderr)


@pytest.mark.parametrize("email", ["o'brien@example.org", "o%brien@example.org"])
@pytest.mark.parametrize("password", ['say "friend" 12', "back\\u0041slash1", "100% sure of it"])
def test_every_address_and_password_works_in_the_command(email, password, tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JETON_")}
    environment |= {"JETON_ADMIN_EMAIL": email, "JETON_ADMIN_PASSWORD": password}
    command = [BINARY, "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        line = ""
        while "api/v1/tokens" not in line:
            line = process.stdout.readline()
            assert line
        done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=30)
        assert done.stdout.startswith("eyJ"), (done.stdout, done.stderr)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
