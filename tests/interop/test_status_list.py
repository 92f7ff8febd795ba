"""An independent implementation reads the published status lists, and its recipe refuses invalid lists."""

import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import tokens
from conftest import running
from programs import Program
from recipes import RECIPES
from test_libraries import FORGERIES, WORDS
from tokens import AUDIENCE, NEW_KEY, Authority, encoded

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority")) as server:
        yield Authority.of(server)


@pytest.fixture(scope="module")
def program(authority, tmp_path_factory):
    return Program.of(RECIPES["status-list"], authority, tmp_path_factory.mktemp("status-list"))


@pytest.mark.parametrize("good", tokens.ACCEPTED)
def test_a_good_token_is_taken(program, authority, good):
    program.accepts(good(authority))


def test_a_revoked_token_is_refused_and_its_neighbours_are_not(program, authority):
    before, token, after = authority.issue(), authority.issue(), authority.issue()
    program.accepts(token)
    authority.revoke(token)
    program.refuses(token, "Error: revoked")
    program.accepts(before)
    program.accepts(after)


@pytest.mark.parametrize(
    ("wrong", "forged"), [(wrong, forged) for wrong, forgeries in FORGERIES.items() for forged in forgeries]
)
def test_a_forgery_is_refused_whatever_the_list_says(program, authority, wrong, forged):
    program.refuses(forged(authority), WORDS["jose"][wrong])


def test_a_list_of_somebody_else_is_not_asked_for(program, authority):
    elsewhere = {"status_list": {"idx": 0, "uri": f"{authority.issuer}.evil.example/status-lists/1"}}
    program.refuses(tokens.changed(authority, status=elsewhere), "a list of somebody else")


class StandIn:
    """A fake authority with the real one's keys and a status list of the test's choice."""

    def __init__(self, authority):
        stand_in = self
        self.authority = authority
        self.answer = (404, "")
        keys = httpx.get(f"{authority.issuer}/.well-known/jwks.json").text

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = (200, keys) if self.path == "/.well-known/jwks.json" else stand_in.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.uri = f"{self.url}/status-lists/1"

    def token(self, index):
        place = {"status_list": {"idx": index, "uri": self.uri}}
        return tokens.changed(self.authority, iss=self.url, status=place)

    def list(self, *revoked, key=None, typ="statuslist+jwt", **changes):
        """Serves a list of 1,024 tokens from now on, with changes requested by the test."""
        bits = bytearray(128)
        for index in revoked:
            bits[index // 8] |= 1 << index % 8
        now = int(time.time())
        claims = {
            "sub": self.uri,
            "iat": now,
            "exp": now + 600,
            "ttl": 300,
            "status_list": {"bits": 1, "lst": encoded(zlib.compress(bytes(bits), 9))},
        } | changes
        present = {name: value for name, value in claims.items() if value is not None}
        self.answer = (200, self.authority.sign(present, key=key, typ=typ))


@pytest.fixture(scope="module")
def stand_in(authority):
    stand_in = StandIn(authority)
    threading.Thread(target=stand_in.server.serve_forever, daemon=True).start()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()


@pytest.fixture(scope="module")
def deceived(stand_in, tmp_path_factory):
    """Returns the recipe with the fake authority."""
    text = RECIPES["status-list"].filled(issuer=stand_in.url, audience=AUDIENCE)
    return Program.written(RECIPES["status-list"], text, tmp_path_factory.mktemp("stand-in"))


def test_each_token_has_its_own_bit(deceived, stand_in):
    stand_in.list(0, 9, 1023)
    for index in (0, 9, 1023):
        deceived.refuses(stand_in.token(index), "Error: revoked")
    for index in (1, 8, 10, 1022):
        deceived.accepts(stand_in.token(index))


def test_a_list_that_is_not_to_be_believed_lets_nobody_in(deceived, stand_in):
    token = stand_in.token(5)
    stand_in.list()
    deceived.accepts(token)
    for reason, spoiled in [
        ("ERR_JWS_SIGNATURE_VERIFICATION_FAILED", {"key": NEW_KEY["ES256"]()}),
        ("claim: 'typ'", {"typ": "at+jwt"}),
        ("claim: 'sub'", {"sub": f"{stand_in.url}/status-lists/2"}),
        ("ERR_JWT_EXPIRED", {"exp": int(time.time()) - 3600}),
        ("claim: 'exp'", {"exp": None}),
        ("Decompression failed", {"status_list": {"bits": 1, "lst": encoded(b"no zlib")}}),
    ]:
        stand_in.list(**spoiled)
        deceived.refuses(token, reason)
    for status in (404, 503):
        stand_in.answer = (status, json.dumps({"error": "unavailable"}))
        deceived.refuses(token, f"no list: {status}")


def test_a_place_beyond_the_list_is_refused(deceived, stand_in):
    stand_in.list()
    deceived.refuses(stand_in.token(1024), "Index out of bounds")
