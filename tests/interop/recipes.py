"""The recipes, which are the fenced blocks of docs/verifying.md that have a name after their language."""

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs/verifying.md"


@dataclass(frozen=True)
class Recipe:
    """One block of the document, as it stands."""

    name: str
    language: str
    text: str

    def filled(self, **values: str) -> str:
        """The text with the example values that it was written with replaced; each must be there."""
        for example in values:
            assert EXAMPLES[example] in self.text, f"the recipe {self.name} does not name {EXAMPLES[example]}"
        return filled(self.text, **values)


def filled(text: str, **values: str) -> str:
    for example, value in values.items():
        text = text.replace(EXAMPLES[example], value)
    return text


# What the document's recipes say where a reader says their own.
EXAMPLES = {
    "issuer": "http://127.0.0.1:8080",
    "audience": "https://api.example.com",
    # Where jeton is reached by HTTPS, the service behind a proxy, the proxy, and the proxy's files.
    "tls": "https://127.0.0.1:8443",
    "service": "127.0.0.1:9000",
    "proxy": "127.0.0.1:8000",
    "public_key": "/etc/haproxy/jeton.pem",
    "revoked": "/etc/haproxy/jeton.revoked",
    "haproxy_socket": "/run/haproxy/admin.sock",
    "introspector": "INTROSPECTOR",
    "jti": "JTI",
}


def recipes(text: str) -> dict[str, Recipe]:
    """Every named block of a Markdown text, by its name."""
    blocks = re.findall(r"^```(\w+) ([\w-]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    named = {name: Recipe(name, language, body) for language, name, body in blocks}
    assert len(named) == len(blocks), "two recipes have one name"
    return named


RECIPES = recipes(DOCUMENT.read_text())
