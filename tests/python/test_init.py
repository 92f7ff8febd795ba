"""`jeton init` on a terminal: questions, a password without echo, and a terminal that echoes again after Ctrl-C."""

import os
import pty
import re
import select
import signal
import termios
import time

import httpx
import pytest
from conftest import BINARY

PASSWORD = "a password typed blindly"
WITHIN_SECONDS = 60


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, folder, *arguments):
        self.text = ""
        self.status = None
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JETON_")}
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(BINARY, [BINARY, *arguments], environment)

    def read(self, until):
        """Reads until the text since the last answer matches, and returns that."""
        start, deadline = len(self.text), time.monotonic() + WITHIN_SECONDS
        while not re.search(until, self.text[start:]):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{until!r} is not in {self.text[start:]!r}"
            try:
                chunk = os.read(self.descriptor, 4096)
            except OSError:
                chunk = b""
            assert chunk, f"it ended without {until!r}: {self.text!r}"
            self.text += chunk.decode()
        return self.text[start:]

    def answer(self, question, text):
        self.read(question)
        os.write(self.descriptor, text.encode() + b"\n")

    def echoes(self):
        return bool(termios.tcgetattr(self.descriptor)[3] & termios.ECHO)

    def until(self, holds):
        deadline = time.monotonic() + WITHIN_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.text
            time.sleep(0.01)

    def end(self):
        def ended():
            pid, self.status = os.waitpid(self.pid, os.WNOHANG)
            return pid != 0

        self.until(ended)
        return os.waitstatus_to_exitcode(self.status)

    def close(self):
        if self.status is None or not (os.WIFEXITED(self.status) or os.WIFSIGNALED(self.status)):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def open_terminal(*arguments):
        opened.append(Terminal(tmp_path, *arguments))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def test_a_deployment_is_made_from_answers_and_served(terminal, tmp_path):
    init = terminal("init")
    init.answer(r"can never be changed.\s+Issuer: $", "https://tokens.example.com/")
    init.answer(r"is refused: must not end with a slash\s[\s\S]*Issuer: $", "https://tokens.example.com")
    init.answer(r"Listen on \[127.0.0.1:8080\]: $", "127.0.0.1:0")
    init.answer(r"Folder \[.\]: $", "~/data")
    init.answer(r"is refused: must not begin with ~[\s\S]*Folder \[.\]: $", "data")
    init.answer(r"E-mail address: $", "ada@example.org")
    init.read(r"Password \(empty: one is generated\): $")
    init.until(lambda: not init.echoes())
    os.write(init.descriptor, PASSWORD.encode() + b"\n")
    init.answer(r"The same again: $", "something else")
    init.answer(r"the two passwords differ[\s\S]*generated\): $", PASSWORD)
    init.answer(r"The same again: $", PASSWORD)
    init.read(r"start the server: jeton serve\r\n")
    assert init.end() == 0
    assert init.echoes()
    assert PASSWORD not in init.text and "something else" not in init.text

    assert PASSWORD not in (tmp_path / "jeton.toml").read_text()
    server = terminal("serve")
    url = re.search(r"listening on (\S+)", server.read(r"listening on \S+\r\n")).group(1)
    metadata = httpx.get(f"{url}/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == "https://tokens.example.com"
    credentials = {"email": "ada@example.org", "password": PASSWORD}
    assert httpx.post(f"{url}/api/v1/login", json=credentials).status_code == 200
    os.kill(server.pid, signal.SIGTERM)
    assert server.end() == 0


def test_ctrl_c_at_the_password_leaves_an_echoing_terminal_and_no_file(terminal, tmp_path):
    init = terminal("init", "--issuer", "https://a.example", "--email", "a@example.org", "--listen", "127.0.0.1:0")
    init.answer(r"Folder \[.\]: $", "data")
    init.read(r"generated\): $")
    init.until(lambda: not init.echoes())
    os.write(init.descriptor, b"half a pass\x03")
    assert init.end() == 130
    assert init.echoes()
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_the_input_at_either_password_ends_the_command(terminal, tmp_path):
    arguments = ("--issuer", "https://a.example", "--email", "a@example.org", "--listen", "127.0.0.1:0", "--folder", ".")
    for first in [None, PASSWORD]:
        init = terminal("init", *arguments)
        if first is not None:
            init.read(r"generated\): $")
            init.until(lambda: not init.echoes())
            os.write(init.descriptor, first.encode() + b"\n")
        init.read(r"generated\): $" if first is None else r"The same again: $")
        init.until(lambda: not init.echoes())
        os.write(init.descriptor, b"\x04")
        init.read(r"the input ended before all questions were answered")
        assert init.end() == 1
        assert init.echoes()
    assert list(tmp_path.iterdir()) == []
