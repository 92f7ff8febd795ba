"""A PostgreSQL server for the tests with `DATABASE=postgres`, which ends with them."""

import atexit
import base64
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

STARTS_WITHIN_SECONDS = 60
# PostgreSQL refuses to run as root.
NOBODY = 65_534


@functools.cache
def cluster() -> tuple[Path, Path]:
    """Starts the server. Returns the folder of PostgreSQL's programs, and that of the server's socket."""
    versions = Path("/usr/lib/postgresql").iterdir()
    programs = max(versions, key=lambda version: int(version.name)) / "bin"
    # In memory if possible: tests need no disk to be true.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="jeton-python-", dir=memory))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unprivileged = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        unprivileged += ["--clear-groups", "--reuid", str(NOBODY), "--regid", str(NOBODY)]
    data = folder / "data"
    initdb = [programs / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=jeton", "--no-sync"]
    subprocess.run([*unprivileged, *initdb, "-D", data], cwd="/", capture_output=True, check=True)
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
    with (folder / "log").open("wb") as log:
        command = [*unprivileged, programs / "postgres", "-D", data, *settings]
        server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    # Before its folder is removed.
    atexit.register(server.wait)
    atexit.register(server.send_signal, signal.SIGINT)
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while subprocess.run([programs / "pg_isready", "--quiet", "--host", folder]).returncode != 0:
        assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    return programs, folder


@functools.cache
def arguments(folder: Path) -> list[str]:
    """Returns the arguments of `jeton serve` for a database of this folder's own, which it creates at first."""
    programs, socket = cluster()
    name = f"test_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    create = [programs / "createdb", "--host", socket, "--username", "jeton", name]
    subprocess.run(create, capture_output=True, check=True)
    key = folder / "key-encryption-key"
    key.touch(mode=0o600)
    key.write_bytes(base64.b64encode(os.urandom(32)))
    url = f"postgres://jeton@{quote(str(socket), safe='')}/{name}"
    return ["--database", url, "--key-encryption-key", str(key)]
