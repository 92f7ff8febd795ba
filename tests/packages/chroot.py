"""A fresh Debian in a folder, where packages are installed and their programs run."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# debootstrap takes minutes, so that its result is kept.
BASE = ROOT / "target/packaging/bookworm"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")

# Mounts and processes of a command end with it. /dev, /sys and /run are those of the folder: nothing changes the
# machine's, no systemd runs here, and maintainer scripts see that.
ENTER = """
set -e
mount -t proc proc "$0/proc"
exec chroot "$0" "$@"
"""


def base() -> Path:
    if not BASE.exists():
        unfinished = BASE.with_name("bookworm.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", unfinished, MIRROR], check=True)
        unfinished.rename(BASE)
    return BASE


class Chroot:
    def __init__(self, folder: Path):
        self.folder = folder
        subprocess.run(["cp", "--archive", "--reflink=auto", base(), folder], check=True)
        (folder / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (folder / "usr/sbin/policy-rc.d").chmod(0o755)
        shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")

    def command(self, *words: str) -> list[str]:
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]
        return [*enter, str(self.folder), *map(str, words)]

    def run(self, *words: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Runs a command and returns it with its output and errors in one text."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
                       "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_LOG_TARGET": "console"} | options.pop("environment", {})
        options = {"input": "", "timeout": 300} | options
        done = subprocess.run(self.command(*words), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=environment, check=False, **options)
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}"
        return done

    def install(self, package: Path) -> str:
        """Installs a package with all that it depends on."""
        shutil.copy(package, self.folder / "root")
        self.run("apt-get", "update", "--quiet")
        return self.run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends",
                        "--option=Dpkg::Options::=--force-confold", f"/root/{package.name}").stdout

    def path(self, path: str) -> Path:
        return self.folder / path.removeprefix("/")
