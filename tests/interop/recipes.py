"""The recipes: the fenced blocks of docs/verifying.md and docs/guard.md with a name after their language."""

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs/verifying.md"
GUARD_DOCUMENT = DOCUMENT.with_name("guard.md")


@dataclass(frozen=True)
class Recipe:
    """A block of the document, unchanged."""

    name: str
    language: str
    text: str

    def filled(self, **values: str) -> str:
        """Replaces example values in the text, each of which must occur in it."""
        for example in values:
            assert EXAMPLES[example] in self.text, f"the recipe {self.name} does not name {EXAMPLES[example]}"
        return filled(self.text, **values)


def filled(text: str, **values: str) -> str:
    for example, value in values.items():
        text = text.replace(EXAMPLES[example], value)
    return text


# The example values in the document's recipes.
EXAMPLES = {
    "issuer": "http://127.0.0.1:8080",
    "audience": "https://api.example.com",
    # The HTTPS URL of jeton, the service behind a proxy, the proxy, and the proxy's files.
    "tls": "https://127.0.0.1:8443",
    "service": "127.0.0.1:9000",
    "proxy": "127.0.0.1:8000",
    "public_key": "/etc/haproxy/jeton.pem",
    "revoked": "/etc/haproxy/jeton.revoked",
    "haproxy_socket": "/run/haproxy/admin.sock",
    # Envoy names hosts and ports apart.
    "asked_port": "port_value: 8080 ",
    "service_port": "port_value: 9000 ",
    "proxy_port": "port_value: 8000 ",
    "guard": "http://127.0.0.1:8090",
    "guard_token": "/etc/jeton-guard/token",
    "guard_snapshot": "/var/lib/jeton-guard/snapshot",
    "guard_socket": "/run/jeton-guard/socket",
    "lua": "/etc/haproxy/jeton.lua",
    "introspector": "INTROSPECTOR",
    "jti": "JTI",
}


def recipes(text: str) -> dict[str, Recipe]:
    """Returns every named block of a Markdown text by name."""
    blocks = re.findall(r"^```(\w+) ([\w-]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    named = {name: Recipe(name, language, body) for language, name, body in blocks}
    assert len(named) == len(blocks), "two recipes have one name"
    return named


RECIPES = recipes(DOCUMENT.read_text())
GUARD_RECIPES = recipes(GUARD_DOCUMENT.read_text())
