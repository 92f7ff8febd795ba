"""Generators of clients. Each generates a client, compiles it with a program that uses it, and runs the program."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NODE_MODULES = HERE / "node_modules"
NODE = NODE_MODULES / ".bin"
# Debian installs Go libraries into a GOPATH.
GO_LIBRARIES = "/usr/share/gocode"
ENDS_WITHIN_SECONDS = 300


class Failed(Exception):
    """A command failed. The text is what it printed."""


def run(*command, folder, environment=None):
    """Runs a command and returns its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ENDS_WITHIN_SECONDS,
    )
    if done.returncode:
        raise Failed(f"{command}\n{done.stdout[-6000:]}")
    return done.stdout


@dataclass(frozen=True)
class Language:
    """How to compile a client with the program `program.SUFFIX`, if there is one, and how to run that."""

    suffix: str
    compile: Callable
    run: Callable


@dataclass(frozen=True)
class Generator:
    """Generates a client from the URL or the path of a document, as the package `client` in a folder."""

    generate: Callable
    language: Language
    program: str

    def build(self, document, folder, with_program=False):
        """Generates and compiles a client."""
        self.generate(document, folder)
        if with_program:
            program = (HERE / "programs" / self.program).read_text()
            (folder / f"program{self.language.suffix}").write_text(program)
        self.language.compile(folder, with_program)

    def use(self, folder, *arguments):
        """Runs the program and returns its output."""
        return self.language.run(folder, *arguments)


def compile_typescript(folder, with_program):
    (folder / "node_modules").symlink_to(NODE_MODULES)
    sources = ["program.ts"] if with_program else sorted((folder / "client").glob("*.ts"))
    run(
        *(NODE / "tsc", "--strict", "--target", "es2022", "--module", "node16", "--moduleResolution", "node16"),
        *("--lib", "es2022,dom,dom.iterable", "--skipLibCheck", "--outDir", "compiled", *sources),
        folder=folder,
    )


def compile_python(folder, with_program):
    program = ["-m", "program"] if with_program else []
    run(sys.executable, "-m", "mypy", "--config-file", HERE / "mypy.ini", "-p", "client", *program, folder=folder)


def go(*command, folder):
    environment = {
        "GO111MODULE": "off",
        "GOPATH": f"{folder}:{GO_LIBRARIES}",
        "GOCACHE": str(folder / "cache"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    return run("go", *command, folder=folder, environment=environment)


def compile_go(folder, with_program):
    go("vet", "client", folder=folder)
    if with_program:
        go("vet", "program.go", folder=folder)


TYPESCRIPT = Language(
    ".ts", compile_typescript, lambda folder, *arguments: run("node", "compiled/program.js", *arguments, folder=folder)
)
PYTHON = Language(
    ".py", compile_python, lambda folder, *arguments: run(sys.executable, "program.py", *arguments, folder=folder)
)
GO = Language(".go", compile_go, lambda folder, *arguments: go("run", "program.go", *arguments, folder=folder))


def openapi_generator(name, output, **properties):
    def generate(document, folder):
        given = [f"--additional-properties={key}={value}" for key, value in properties.items()]
        command = [BIN / "openapi-generator-cli", "generate", "-i", document, "-g", name, "-o", folder / output]
        run(*command, *given, folder=folder)

    return generate


def openapi_python_client(document, folder):
    run(
        *(BIN / "openapi-python-client", "generate", "--meta", "none", "--fail-on-warning"),
        *("--config", HERE / "openapi-python-client.yaml", "--output-path", folder / "client"),
        *("--url" if str(document).startswith("http") else "--path", document),
        folder=folder,
        # It formats with ruff.
        environment={"PATH": f"{BIN}:/usr/bin:/bin"},
    )


def openapi_typescript(document, folder):
    run(NODE / "openapi-typescript", document, "--output", folder / "client/schema.ts", folder=folder)


def orval(document, folder):
    client = {"target": "client/client.ts", "schemas": "client/model", "client": "fetch"}
    projects = {"client": {"input": str(document), "output": client}}
    config = folder / "orval.config.js"
    config.write_text(f"module.exports = {json.dumps(projects)};\n")
    run(NODE / "orval", "--config", config, folder=folder)


GENERATORS = {
    "openapi-typescript": Generator(openapi_typescript, TYPESCRIPT, "openapi_fetch.ts"),
    "orval": Generator(orval, TYPESCRIPT, "orval.ts"),
    "openapi-generator-typescript": Generator(
        openapi_generator("typescript-fetch", "client"), TYPESCRIPT, "typescript_fetch.ts"
    ),
    "openapi-generator-python": Generator(
        openapi_generator("python", ".", packageName="client"), PYTHON, "openapi_generator.py"
    ),
    "openapi-python-client": Generator(openapi_python_client, PYTHON, "openapi_python_client.py"),
    # Without the prefix, words of two choices have one name.
    "openapi-generator-go": Generator(
        openapi_generator("go", "src/client", packageName="client", enumClassPrefix="true"), GO, "go.go"
    ),
}
