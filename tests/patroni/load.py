"""Clients of the servers: they issue and revoke without pause, and keep what was acknowledged."""

import http.client
import json
import random
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

EMAIL, PASSWORD = "ada@example.com", "correct horse battery staple"
# How long a client waits for an answer: longer than any server takes that has lost its database.
PATIENCE = 12


class Client:
    """A client of one server. Each request has a connection of its own, as none outlives a failure for certain."""

    def __init__(self, address: str):
        self.address = address

    def ask(self, method: str, path: str, body=None, token: str | None = None):
        """Returns the status and the JSON of an answer; the status 0 if there was none."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        with closing(http.client.HTTPConnection(self.address, 8080, timeout=PATIENCE)) as connection:
            try:
                connection.request(method, path, json.dumps(body) if body is not None else None, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                return 0, None
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else None

    def login(self) -> str:
        status, answer = self.ask("POST", "/api/v1/login", {"email": EMAIL, "password": PASSWORD})
        assert status == 200, (self.address, status, answer)
        return answer["token"]

    def issue(self, session: str):
        body = {"name": "load", "owner": "deployment", "scopes": ["revocations:read"], "expires_in": "1d"}
        return self.ask("POST", "/api/v1/tokens", body, session)

    def revoke(self, session: str, jti: str):
        return self.ask("POST", f"/api/v1/tokens/{jti}/revoke", {}, session)

    def current(self, token: str) -> int:
        """Returns what the server says of a token: 200, 401, 503 if it may not say, or 0 if it says nothing."""
        return self.ask("GET", "/api/v1/tokens/current", token=token)[0]

    def is_ready(self, purpose: str = "") -> bool:
        return self.ask("GET", f"/readyz{purpose}")[0] == 200


@dataclass
class Load:
    """Issues and revokes at servers from threads, until it is stopped."""

    addresses: list[str]
    session: str
    # What was acknowledged, by id: active tokens, and revoked ones with the instant from which every server refuses them.
    active: dict[str, str] = field(default_factory=dict)
    revoked: dict[str, tuple[str, float]] = field(default_factory=dict)
    # Tokens whose revocation had no answer: it has happened or not.
    unknown: set[str] = field(default_factory=set)
    # When something was issued, and by which server.
    issued_at: list[tuple[float, str]] = field(default_factory=list)
    # Revoked tokens that a server accepted, and how many such requests were made.
    accepted: list[str] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self):
        self.ended = threading.Event()
        self.threads = [
            threading.Thread(target=work, args=(Client(address),))
            for address in self.addresses
            for work in (self.work, self.watch)
        ]
        for thread in self.threads:
            thread.start()

    def work(self, client: Client) -> None:
        number = 0
        while not self.ended.wait(0.02):
            number += 1
            status, answer = client.issue(self.session)
            if status != 201:
                self.ended.wait(0.2)
                continue
            self.issued_at.append((time.monotonic(), client.address))
            identity, token = answer["token_info"]["id"], answer["token"]
            if number % 2 == 0:
                self.active[identity] = token
                continue
            status, answer = client.revoke(self.session, identity)
            if status != 201:
                self.unknown.add(identity)
                continue
            # The server that has answered refuses the token from now on.
            self.refuses(client, identity, token)
            instant = datetime.fromisoformat(answer["refused_everywhere_by"].replace("Z", "+00:00")).timestamp()
            self.revoked[identity] = token, instant

    def watch(self, client: Client) -> None:
        """Presents tokens that every server must refuse by now, whatever it knows: one that was revoked just before
        that, and any."""
        while not self.ended.wait(0.05):
            now = time.time()
            due = [(identity, token) for identity, (token, instant) in list(self.revoked.items()) if instant < now]
            for identity, token in due[-1:] + random.sample(due, min(1, len(due))):
                self.refuses(client, identity, token)

    def refuses(self, client: Client, identity: str, token: str) -> None:
        self.asked += 1
        if client.current(token) == 200:
            self.accepted.append(f"{identity} at {client.address}")

    def longest_pause(self) -> float:
        """Returns for how long nothing was issued, in seconds."""
        instants = sorted(at for at, _ in self.issued_at)
        return max(after - before for before, after in zip(instants, instants[1:]))

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(60)


def wrong(address: str, active: dict[str, str], revoked: dict[str, str]) -> list[str]:
    """Returns the tokens of which a server says something else."""
    client = Client(address)
    found = [f"{identity} is lost" for identity, token in active.items() if client.current(token) != 200]
    return found + [f"{identity} is accepted" for identity, token in revoked.items() if client.current(token) != 401]
