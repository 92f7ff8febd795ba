"""Keeps a schemathesis run logged in: loaded through SCHEMATHESIS_HOOKS."""

import os
import uuid
from urllib.parse import unquote

import httpx
import schemathesis

URL = os.environ["JETON_URL"]
EMAIL = os.environ["JETON_ADMIN_EMAIL"]
PASSWORD = os.environ["JETON_ADMIN_PASSWORD"]


@schemathesis.auth(refresh_interval=None)
class Session:
    """Renews the session before every request: the operations under test can revoke it."""

    token = None

    def get(self, case, context):
        if self.token is None or self._ended():
            credentials = {"email": EMAIL, "password": PASSWORD}
            answer = httpx.post(f"{URL}/api/v1/login", json=credentials, timeout=30)
            answer.raise_for_status()
            self.token = answer.json()["token"]
        return self.token

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"

    def _ended(self):
        authorization = {"Authorization": f"Bearer {self.token}"}
        return httpx.get(f"{URL}/api/v1/me", headers=authorization, timeout=30).status_code == 401


@schemathesis.hook
def before_call(context, case, kwargs):
    """Redirects requests that would change or delete the caller's own account to an unknown account.

    schemathesis learns e-mail addresses from responses. Without its account the run could not log in again,
    and all further responses would be 401.
    """
    email = case.path_parameters.get("email")
    if case.method.upper() != "GET" and isinstance(email, str) and unquote(email).strip().lower() == EMAIL:
        case.path_parameters["email"] = "nobody@example.org"
    # A stream has no end: it is read for so long. Its first event comes at once.
    if case.path.endswith("/stream"):
        kwargs["timeout"] = 5
    # schemathesis repeats short keys with other requests, which is refused. Invalid keys stay.
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 256 and all("!" <= letter <= "~" for letter in key) and key[0] != '"':
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    # 404 for an unknown token in the body would be reported as a missing organization, which was created a moment
    # before.
    if case.method.upper() == "DELETE" and case.path.endswith("/team-tokens") and isinstance(case.body, dict):
        case.body = {"data": []}
