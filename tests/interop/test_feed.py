"""A program in another language follows the revocation feed by docs/verifying.md, and notices what is done to it."""

import re
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tokens
from conftest import running
from recipes import RECIPES
from tokens import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority")) as server:
        yield Authority.of(server)


class Follower:
    """The recipe's program."""

    def __init__(self, authority, folder, feed=None):
        order = {"name": "follower", "owner": "deployment", "scopes": ["revocations:read"]}
        (folder / "token").write_text(authority.post("tokens", order)["token"])
        text = RECIPES["feed"].filled(issuer=authority.issuer).replace("/etc/follower/token", str(folder / "token"))
        if feed:
            # Requests go to somebody in between, who cannot sign as the authority does.
            text = text.replace("Request(FEED + path", f"Request({feed!r} + path")
            assert feed in text
        (folder / "follow.py").write_text(text)
        self.process = subprocess.Popen(
            [sys.executable, "follow.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def says(self, pattern):
        """Reads lines up to one that matches."""
        deadline = threading.Timer(30, self.process.kill)
        deadline.start()
        try:
            for line in self.process.stdout:
                if re.fullmatch(pattern, line.rstrip("\n")):
                    return
        finally:
            deadline.cancel()
        pytest.fail(f"no {pattern}: {self.process.stderr.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_the_program_learns_of_every_revocation(authority, tmp_path):
    authority.revoke(authority.issue())
    with Follower(authority, tmp_path) as follower:
        follower.says(r"snapshot 1 \d+ lists 0 cut-offs")
        follower.says(r"complete 1 age [0-2]")
        token = authority.issue()
        authority.revoke(token)
        follower.says(f"revoked 2 {tokens.claims(token)['jti']}")
        authority.post("revocations", {"organization": "default", "user": "admin@example.org"})
        follower.says("revoked 3 many")
        follower.says(r"complete 3 age [0-2]")


class InBetween:
    """Passes the feed on, with the events changed."""

    def __init__(self, authority, change):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                names = ("Authorization", "Last-Event-ID")
                headers = {name: self.headers[name] for name in names if self.headers[name]}
                request = urllib.request.Request(f"{authority.issuer}/api/v1/revocations{self.path}", headers=headers)
                self.send_response(200)
                self.end_headers()
                try:
                    with urllib.request.urlopen(request, timeout=15) as answer:
                        for line in answer:
                            self.wfile.write(change(line))
                except OSError:
                    pass

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.feed = f"http://127.0.0.1:{self.server.server_port}"


@pytest.mark.parametrize("altered", [False, True])
def test_the_program_notices_an_altered_event(authority, tmp_path, altered):
    def change(line):
        return re.sub(rb'"index":(\d+)', rb'"index":1\1', line) if altered else line

    between = InBetween(authority, change)
    with Follower(authority, tmp_path, between.feed) as follower:
        token = authority.issue()
        authority.revoke(token)
        if altered:
            assert follower.process.wait(30) == 1
            assert "the feed was altered" in follower.process.stderr.read()
        else:
            follower.says(f"revoked \\d+ {tokens.claims(token)['jti']}")
    between.server.shutdown()
    between.server.server_close()
