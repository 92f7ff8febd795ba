"""Runs the recipes for libraries: programs that read a token and succeed only if it is valid."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from recipes import Recipe
from tokens import AUDIENCE, Authority, claims

NODE_MODULES = Path(__file__).with_name("node_modules")
PHP_LIBRARY = Path("/usr/share/php/Firebase/JWT")
# The autoloader that Composer would generate.
AUTOLOAD = f"""<?php
spl_autoload_register(function ($class) {{
    require '{PHP_LIBRARY}/' . substr($class, strlen('Firebase\\JWT\\')) . '.php';
}});
"""
ENDS_WITHIN_SECONDS = 60
# Debian installs Go libraries into a GOPATH.
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
SUFFIX = {"python": ".py", "js": ".mjs", "go": ".go", "ruby": ".rb", "perl": ".pl", "php": ".php", "sh": ".sh"}
# Debian's interpreter if the library is a Debian package.
INTERPRETER = {
    "python": sys.executable,
    "js": "node",
    "ruby": "/usr/bin/ruby",
    "perl": "/usr/bin/perl",
    "php": "/usr/bin/php",
    "sh": "/bin/sh",
}


@dataclass(frozen=True)
class Verdict:
    """A program's result for a token."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Program:
    """A recipe that is ready to run."""

    command: list[str]
    environment: dict[str, str]

    @classmethod
    def written(cls, recipe: Recipe, text: str, folder: Path, **environment: str) -> "Program":
        """Writes the recipe to a file, and compiles it if its language requires that."""
        source = folder / f"verify{SUFFIX[recipe.language]}"
        source.write_text(text)
        modules = folder / "node_modules"
        if recipe.language == "js" and not modules.exists():
            modules.symlink_to(NODE_MODULES)
        if recipe.language == "php":
            (folder / "vendor").mkdir(exist_ok=True)
            (folder / "vendor/autoload.php").write_text(AUTOLOAD)
        if recipe.language == "go":
            built = folder / "verify"
            subprocess.run(["go", "build", "-o", built, source], env=os.environ | GO, check=True)
            return cls([str(built)], environment)
        return cls([INTERPRETER[recipe.language], str(source)], environment)

    @classmethod
    def of(cls, recipe: Recipe, authority: Authority, folder: Path, **environment: str) -> "Program":
        """Returns the recipe with the URLs of a running server."""
        text = recipe.filled(issuer=authority.issuer, audience=AUDIENCE)
        return cls.written(recipe, text.replace("ES256", authority.algorithm), folder, **environment)

    def judge(self, token: str) -> Verdict:
        done = subprocess.run(
            self.command,
            cwd=Path(self.command[-1]).parent,
            env=os.environ | self.environment,
            input=token + "\n",
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_SECONDS,
        )
        return Verdict(done.returncode, done.stdout, done.stderr)

    def accepts(self, token: str) -> None:
        """Fails the test unless the program accepts the token and prints its subject."""
        verdict = self.judge(token)
        assert verdict.code == 0, verdict
        assert verdict.output == f"accepted {claims(token)['sub']}\n", verdict

    def refuses(self, token: str, reason: str) -> None:
        """Fails the test unless the program refuses the token for this reason."""
        verdict = self.judge(token)
        assert verdict.code != 0 and "accepted" not in verdict.output, verdict
        assert re.search(reason, verdict.errors), f"not for {reason!r}: {verdict.errors}"
