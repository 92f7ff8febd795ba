"""schemathesis checks a running server against its own OpenAPI document, without findings."""

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from conftest import DOCUMENTS

# Of the random requests. CI always sends the same; `make test SEED=…` sends others.
SEED = os.environ.get("SEED") or "20260102"
EXAMPLES = 12
# negative_data_rejection is not among them: the API accepts "5" for 5 and 1 for true, like pydantic, although the
# document's types are strict.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
]
JSON = "application/json"


@dataclass(frozen=True)
class Api:
    """An OpenAPI document, and the media type of its clients."""

    name: str
    media_type: str = JSON
    # The login operation, if any.
    login: str | None = None
    # The dialects share the native API's operations, so fewer examples suffice for their formats.
    examples: int = EXAMPLES // 2

    @property
    def document(self) -> str:
        return DOCUMENTS[self.name]


SETTINGS = {
    "native": {"login": "/api/v1/login", "examples": EXAMPLES},
    "cave": {"login": "/users/login"},
    "terraform": {"media_type": "application/vnd.api+json"},
    # A part of the native API.
    "dayzero": {"login": "/api/v1/login", "examples": EXAMPLES // 4},
}
APIS = [Api(name, **SETTINGS.get(name, {})) for name in DOCUMENTS]


def runs():
    """Wrong passwords lock the client's address, so the login operation has a server of its own:
    on a shared one no session could be renewed."""
    for api in APIS:
        yield pytest.param(api, "--exclude-path", id=api.name)
        if api.login:
            yield pytest.param(api, "--include-path", id=f"{api.name}-login")


def schemathesis(url, folder, *selection, api=APIS[0], environment=()):
    """Runs schemathesis against `url`, and returns its exit code and output."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", folder / "schemathesis.toml"),
        *("run", f"{url}{api.document}", "--header", f"Accept: {api.media_type}", "--checks", ",".join(CHECKS), "--seed", SEED),
        *("--max-examples", str(api.examples), "--generation-database", "none"),
        *("--workers", "1", "--request-timeout", "30", "--suppress-health-check", "all"),
        *("--warnings", "off", "--no-color", "--continue-on-failure", *selection),
    ]
    (folder / "schemathesis.toml").touch()
    done = subprocess.run(
        command, env=os.environ | dict(environment), cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("api", "selection"), [*runs()])
def test_every_operation_does_what_its_document_says(server, tmp_path, api, selection):
    document = httpx.get(f"{server.url}{api.document}").json()
    operations = {
        (path, method)
        for path, methods in document["paths"].items()
        for method in methods
        if method in {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
        and (path == api.login) == (selection == "--include-path")
    }
    assert operations
    code, output = schemathesis(
        server.url,
        tmp_path,
        *((selection, api.login) if api.login else ()),
        api=api,
        environment={
            "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py")),
            "JETON_URL": server.url,
            "JETON_ADMIN_EMAIL": server.email,
            "JETON_ADMIN_PASSWORD": server.password,
        },
    )
    assert code == 0, output
    tested = re.search(r"Tested: (\d+)", output)
    assert tested and int(tested[1]) == len(operations), output
    if api.media_type == JSON and selection == "--exclude-path":
        # Without links between operations, no resource is read after its creation or deletion.
        followed = re.search(r"API Links: +(\d+) covered", output)
        assert followed and int(followed[1]) > 0, output


class Faulty(BaseHTTPRequestHandler):
    """A server with one operation that fails for names of more than three letters."""

    document = {
        "openapi": "3.1.0",
        "info": {"title": "faulty", "version": "1"},
        "paths": {
            "/things": {
                "post": {
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {"name": {"type": "string"}},
                                    "required": ["name"],
                                }
                            }
                        },
                    },
                    "responses": {"201": {"description": "Made"}, "4XX": {"description": "Refused"}},
                }
            }
        },
    }

    def do_GET(self):
        self.answer(200, self.document)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            name = json.loads(raw)["name"]
        except (ValueError, LookupError, TypeError):
            return self.answer(400, None)
        self.answer(500 if isinstance(name, str) and len(name) > 3 else 201, None)

    def answer(self, status, content):
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_a_failing_server_is_found_out(tmp_path):
    """The control: the same run must find this server's fault."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as faulty:
        threading.Thread(target=faulty.serve_forever, daemon=True).start()
        code, output = schemathesis(f"http://127.0.0.1:{faulty.server_port}", tmp_path)
        faulty.shutdown()
    assert code == 1, output
    assert "Server error" in output
