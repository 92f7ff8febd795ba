"""Runs the request samples of other systems' documents unchanged except for the host and the token."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENDS_WITHIN_SECONDS = 60
# Prints the response, which the samples do not.
NODE_SAYS = """
console.log(JSON.stringify([response.status, Object.fromEntries(response.headers), JSON.stringify(data)]));
"""
PYTHON_SAYS = """
import json
print(json.dumps([response.status_code, dict(response.headers), json.dumps(data)]))
"""


@dataclass(frozen=True)
class Answered:
    """The response to a sample's request."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self):
        return json.loads(self.text)


def filled(sample: str, replaced: dict[str, str]) -> str:
    """Replaces example values in a sample, each of which must occur in it."""
    for example, value in replaced.items():
        assert example in sample, f"the sample does not name {example}"
        sample = sample.replace(example, value)
    return sample


def curl(sample: str, replaced: dict[str, str], folder: Path) -> Answered:
    """Runs a command in a shell. curl's configuration file makes it print status and headers, so that the
    command is unchanged."""
    headers = folder / "headers"
    (folder / ".curlrc").write_text(f'silent\nshow-error\ndump-header = "{headers}"\n')
    text = run(["sh"], filled(sample, replaced), {"CURL_HOME": str(folder)})
    if text.startswith("HTTP/"):
        # The command prints the headers too.
        text = text.partition("\n\n")[2]
    # Of several responses to one command (such as a redirect) the last.
    head = headers.read_text().replace("\r\n", "\n").rstrip("\n").split("\n\n")[-1]
    first, *lines = head.split("\n")
    pairs = (line.partition(":") for line in lines)
    return Answered(int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}, text)


def node(sample: str, replaced: dict[str, str], folder: Path) -> Answered:
    """Runs a program that leaves `response` and `data`."""
    program = folder / "sample.mjs"
    program.write_text(filled(sample, replaced) + NODE_SAYS)
    return Answered(*json.loads(run(["node", str(program)])))


def python(sample: str, replaced: dict[str, str], folder: Path) -> Answered:
    """Runs a program that leaves `response` and `data`."""
    program = folder / "sample.py"
    program.write_text(filled(sample, replaced) + PYTHON_SAYS)
    return Answered(*json.loads(run([sys.executable, str(program)])))


def run(command: list[str], text: str = "", environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        input=text,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
