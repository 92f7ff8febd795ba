"""Installs what the machines have in common, with the document's commands, into a layer of a file system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from machines import BLOCKS, PATH, Layers

folder = Path(sys.argv[1]).resolve()
installed = folder / "installed"
commands = BLOCKS["database-packages"] + BLOCKS["backup-packages"]
if not installed.exists() or installed.read_text() != commands:
    shutil.rmtree(folder, ignore_errors=True)
    layers = Layers(folder, Path("/"))
    # No service of this machine is meant.
    policy = layers.root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    script = f"export DEBIAN_FRONTEND=noninteractive; apt-get update --quiet\n{commands}"
    # What is set for the registries applies, but not this user's own programs, which other users cannot run.
    subprocess.run(
        ["chroot", layers.root, "bash", "-euo", "pipefail", "-c", script],
        check=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PATH": PATH},
    )
    installed.write_text(commands)
