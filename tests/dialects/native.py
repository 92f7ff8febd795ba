"""What a test does by the authority's own API, around the client that it tries."""

from dataclasses import dataclass, field

import httpx
from conftest import Server

ORGANIZATION = "default"


@dataclass(frozen=True)
class Native:
    """The API, as the administrator of the first start uses it or as somebody else."""

    server: Server
    session: str = field(repr=False)

    @classmethod
    def of(cls, server: Server) -> "Native":
        return cls(server, server.session())

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session}"}

    def ask(self, method: str, path: str, status: int, body: object = None) -> httpx.Response:
        """The answer, which must have this status."""
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
        """A token of the organization, and what is said of it."""
        defaults = {"name": "made", "organization": ORGANIZATION, "owner": "organization"}
        return self.post("tokens", defaults | wishes)

    def is_active(self, token: str) -> bool:
        """Whether the authority takes a token for good; a session asks, which sees all of them here."""
        answer = httpx.post(
            f"{self.server.url}/oauth/introspect", headers=self.authorization, data={"token": token}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["active"]

    def joined_by(self, email: str) -> "Native":
        """The API as a new member of the organization uses it."""
        password = f"password of {email}"
        self.post("users", {"email": email, "password": password})
        self.ask("PUT", f"organizations/{ORGANIZATION}/members/{email}", 204, {"role": "member"})
        session = self.post("login", {"email": email, "password": password}, 200)["token"]
        return Native(self.server, session)
