"""The native API, for the steps of a test around the client under test."""

from dataclasses import dataclass, field

import httpx
from conftest import Server

ORGANIZATION = "default"


@dataclass(frozen=True)
class Native:
    """The native API with the session of the first start's administrator or of another user."""

    server: Server
    session: str = field(repr=False)

    @classmethod
    def of(cls, server: Server) -> "Native":
        return cls(server, server.session())

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session}"}

    def ask(self, method: str, path: str, status: int, body: object = None) -> httpx.Response:
        """Sends a request, requires a status and returns the response."""
        answer = httpx.request(
            method, f"{self.server.url}/api/v1/{path}", headers=self.authorization, json=body, timeout=30
        )
        assert answer.status_code == status, answer.text
        return answer

    def get(self, path: str) -> dict:
        return self.ask("GET", path, 200).json()

    def post(self, path: str, body: object, status: int = 201) -> dict:
        return self.ask("POST", path, status, body).json()

    def issue(self, **wishes) -> dict:
        """Creates a token of the organization and returns it with its metadata."""
        defaults = {"name": "made", "organization": ORGANIZATION, "owner": "organization"}
        return self.post("tokens", defaults | wishes)

    def is_active(self, token: str) -> bool:
        """Returns whether a token is active, by introspection with a session that sees all tokens."""
        answer = httpx.post(
            f"{self.server.url}/oauth/introspect", headers=self.authorization, data={"token": token}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["active"]

    def joined_by(self, email: str) -> "Native":
        """Creates a member of the organization and returns the API with the member's session."""
        password = f"password of {email}"
        self.post("users", {"email": email, "password": password})
        self.ask("PUT", f"organizations/{ORGANIZATION}/members/{email}", 204, {"role": "member"})
        session = self.post("login", {"email": email, "password": password}, 200)["token"]
        return Native(self.server, session)
