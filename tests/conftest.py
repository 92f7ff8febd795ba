"""A running server for tests with third-party clients."""

import functools
import json
import os
import re
import signal
import subprocess
import threading
import tomllib
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import postgres


def built() -> Path:
    """Returns the program that `cargo build` makes, in the target folder of cargo's own settings."""
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    done = subprocess.run(metadata, cwd=Path(__file__).parents[1], capture_output=True, check=True)
    return Path(json.loads(done.stdout)["target_directory"]) / "debug/jeton"


BINARY = os.environ.get("JETON_BINARY") or built()
# The OpenAPI documents: their names in `jeton openapi`, and their paths.
DOCUMENTS = {
    "native": "/openapi.json",
    "cave": "/openapi/cave.json",
    "terraform": "/openapi/terraform.json",
    "dayzero": "/openapi/dayzero.json",
    "quant": "/openapi/quant.json",
}
STARTS_WITHIN_SECONDS = 30
STOPS_WITHIN_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A server's URL, the administrator of its first start, the directory of its private keys, and its process id."""

    url: str
    email: str
    password: str
    keys: Path
    pid: int

    def session(self) -> str:
        """Returns a new session token of the administrator."""
        answer = httpx.post(f"{self.url}/api/v1/login", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


def configured(folder: Path, configuration: str) -> list:
    """Configures a server. Returns the arguments of its database: a file in `folder`, or with `DATABASE=postgres` one of
    PostgreSQL, which has the settings too, since they are those that servers share."""
    kind = os.environ.get("DATABASE", "sqlite")
    assert kind in ("sqlite", "postgres"), kind
    config = folder / "jeton.toml"
    if kind == "sqlite":
        config.write_text(configuration)
        return ["--config", config, "--database", folder / "jeton.db"]
    config.touch()
    arguments = ["--config", config, *postgres.arguments(folder)]
    settings = functools.partial(subprocess.run, capture_output=True, check=True, text=True)
    wanted = flat(tomllib.loads(configuration))
    for name in stored[folder] - wanted.keys():
        settings([BINARY, "settings", *arguments, "reset", name])
    for name, value in wanted.items():
        settings([BINARY, "settings", *arguments, "set", name, value])
    stored[folder] = wanted.keys()
    return arguments


# The settings in the databases of PostgreSQL, by the folders of their servers.
stored: dict[Path, set[str]] = defaultdict(set)


def flat(table: dict, before: str = "") -> dict[str, str]:
    """Returns the settings of a table by their names."""
    settings = {}
    for name, value in table.items():
        nested = isinstance(value, dict)
        settings |= flat(value, f"{before}{name}.") if nested else {f"{before}{name}": str(value)}
    return settings


@contextmanager
def running(folder: Path, configuration: str = "", consent: str = "waived"):
    """Serves a new database in `folder` on a free port, and stops the server with SIGTERM.

    By default, nobody is asked before they become a member: clients of other systems add users and do not expect that
    these must accept."""
    arguments = configured(folder, f'{configuration}\n[people]\nconsent = "{consent}"\n')
    email, password = "admin@example.org", "correct horse battery staple"
    log = folder / "log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JETON_")}
    with log.open("wb") as standard_error:
        process = subprocess.Popen(
            [
                *(BINARY, "serve", "--listen", "127.0.0.1:0"),
                *(*arguments, "--keys", folder / "keys"),
            ],
            env=environment | {"JETON_ADMIN_EMAIL": email, "JETON_ADMIN_PASSWORD": password},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=standard_error,
            text=True,
        )
    try:
        # A server that neither prints its address nor exits would block the test for ever.
        deadline = threading.Timer(STARTS_WITHIN_SECONDS, process.kill)
        deadline.start()
        line = process.stdout.readline()
        deadline.cancel()
        greeting, _, url = line.rstrip("\n").rpartition(" ")
        assert greeting == "listening on" and re.match(r"https?://127\.0\.0\.1:", url), (line, log.read_text())
        yield Server(url, email, password, folder / "keys", process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOPS_WITHIN_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def server(tmp_path):
    with running(tmp_path) as server:
        yield server
