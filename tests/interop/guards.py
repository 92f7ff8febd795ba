"""Runs jeton-guard as docs/guard.md has it, and the recipes for proxies with it."""

import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from conftest import BINARY
from recipes import GUARD_RECIPES, RECIPES, filled
from tokens import AUDIENCE, Authority

GUARD = Path(BINARY).with_name("jeton-guard")
READY_WITHIN_SECONDS = 30
STOPS_WITHIN_SECONDS = 5


@dataclass(frozen=True)
class Guard:
    """A running guard: its URL, its Unix socket and its log."""

    url: str
    socket: Path
    log: Path

    def check(self, token: str, rule: str = "read-projects") -> int:
        return httpx.get(f"{self.url}/check/{rule}", headers={"Authorization": f"Bearer {token}"}).status_code

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.url}/readyz")

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}


def token_of_the_deployment(authority: Authority, **wishes) -> str:
    """Creates the token with which a guard follows the feed."""
    wanted = {"name": "guard", "owner": "deployment", "scopes": ["revocations:read"], "expires_in": "90d"}
    return authority.post("tokens", wanted | wishes)["token"]


@contextmanager
def guarding(authority: Authority, folder: Path, more: str = ""):
    """Starts a guard with the recipe's configuration, and waits until it is ready. `more` is a part of its file."""
    token, socket, log = folder / "guard-token", folder / "guard-socket", folder / "guard-log"
    if not token.exists():
        token.write_text(token_of_the_deployment(authority))
    recipe = GUARD_RECIPES["guard-toml"].filled(
        issuer=authority.issuer, audience=AUDIENCE, guard_token=str(token), guard_snapshot=str(folder / "guard-snapshot")
    )
    configuration = folder / "guard.toml"
    configuration.write_text(f'listen = ["127.0.0.1:0", "{socket}"]\nlog = "trace"\n{recipe}\n{more}')
    assert subprocess.run([GUARD, "--check", configuration]).returncode == 0
    with log.open("ab") as errors:
        process = subprocess.Popen([GUARD, configuration], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        greeting, _, url = process.stdout.readline().rstrip("\n").rpartition(" ")
        assert greeting == "listening on", log.read_text()
        guard = Guard(url, socket, log)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while guard.ready().status_code != 200:
            assert process.poll() is None and time.monotonic() < deadline, (guard.ready().text, log.read_text())
            time.sleep(0.02)
        yield guard
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def with_guard(name: str, guard: str, **places: str) -> str:
    """Returns the recipe of a proxy that asks the guard at the URL `guard`, as docs/guard.md says."""
    if name == "haproxy":
        return GUARD_RECIPES["guard-haproxy"].filled(**places)
    lines = RECIPES[name].text.splitlines(keepends=True)
    (asks,) = (number for number, line in enumerate(lines) if "/oauth/authorize-request" in line)
    lines[asks] = GUARD_RECIPES[f"guard-{name}"].text
    return filled("".join(lines), issuer=guard, guard=guard, **places)
