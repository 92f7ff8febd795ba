"""The image of Dockerfile, on a machine without a container engine.

buildah makes it in a chroot, from binaries that are built already and on a base of Debian's own packages. It runs
as the engines would run it: as user 65532, on a read-only file system, with a volume.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_debian import PROFILE, TARGET, ask
from unit import Running

from chroot import ROOT

# What distroless/cc holds, for the parts that jeton needs.
BASE = ["libc6", "libgcc-s1", "ca-certificates"]

# Mounts the image read-only, with a volume and /proc, and becomes its user.
ENTER = """
set -e
mount --bind "$0" "$0"
mount --bind "$1" "$0/var/lib/jeton"
mount -t proc proc "$0/proc"
mount -o remount,ro,bind "$0"
shift
exec unshare --root="$0" --wd=/var/lib/jeton --setgid=65532 --setuid=65532 "$@"
"""


class Buildah:
    def __init__(self, folder: Path):
        self.command = ["buildah", "--storage-driver=vfs", f"--root={folder}/storage", f"--runroot={folder}/run"]

    def __call__(self, *words) -> str:
        done = subprocess.run([*self.command, *map(str, words)], text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Builds the image; returns its configuration and its file system."""
    folder = tmp_path_factory.mktemp("image")
    buildah = Buildah(folder)
    base = folder / "base"
    base.mkdir()
    subprocess.run(["apt-get", "download", "--quiet", *BASE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, base], check=True)
    for directory in ["proc", "tmp", "var/lib"]:
        (base / directory).mkdir(parents=True, exist_ok=True)
    container = buildah("from", "scratch")
    buildah("copy", container, base, "/")
    buildah("commit", "--quiet", container, "localhost/base")

    # In place of the stage that builds, which needs an image with Rust.
    built = folder / "built"
    (built / "source").mkdir(parents=True)
    (built / "out/bin").mkdir(parents=True)
    (built / "out/state/jeton").mkdir(parents=True)
    (built / "out/state/jeton").chmod(0o700)
    for name in ["jeton", "jeton-guard"]:
        subprocess.run(["install", "--strip", TARGET / PROFILE / name, built / "out/bin"], check=True)
    for name in ["LICENSE-MIT", "LICENSE-APACHE"]:
        shutil.copy(ROOT / name, built / "source")
    (built / "out/THIRD-PARTY").write_text("licences")
    # Engines other than podman know HEALTHCHECK in this format only.
    buildah("build", "--isolation=chroot", "--format=docker", "--pull-never", f"--build-context=build={built}",
            "--build-arg=BASE=localhost/base", "--tag=localhost/jeton", ROOT)
    about = json.loads(buildah("inspect", "--type=image", "localhost/jeton"))["Docker"]["config"]
    mounted = buildah("mount", buildah("from", "--pull-never", "localhost/jeton"))
    return about, Path(mounted)


def command(root: Path, volume: Path, *words: str) -> list[str]:
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]
    return [*enter, str(root), str(volume), *words]


def test_the_image_says_how_it_runs(image):
    about, _ = image
    assert about["User"] == "65532:65532"
    assert about["Entrypoint"] == ["/usr/bin/jeton"] and about["Cmd"] == ["serve"]
    assert about["WorkingDir"] == "/var/lib/jeton" and list(about["Volumes"]) == ["/var/lib/jeton"]
    assert about["Healthcheck"]["Test"] == ["CMD", "/usr/bin/jeton", "health"]


def test_the_volume_belongs_to_the_user_alone(image):
    _, root = image
    status = (root / "var/lib/jeton").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65532, 65532, 0o700)


def test_the_image_has_the_licences_and_no_sources(image):
    _, root = image
    assert {path.name for path in (root / "usr/share/doc/jeton").iterdir()} == {
        "LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY"}
    assert not (root / "source").exists() and not (root / "out").exists()


def test_it_serves_as_a_user_without_rights_on_a_read_only_file_system(image, tmp_path):
    about, root = image
    volume = tmp_path / "volume"
    shutil.copytree(root / "var/lib/jeton", volume)
    os.chown(volume, 65532, 65532)
    variables = [variable for variable in about["Env"] if not variable.startswith("JETON_LISTEN=")]
    environment = os.environ | dict(variable.split("=", 1) for variable in variables) | {
        "JETON_LISTEN": "127.0.0.1:0", "JETON_ISSUER": "https://tokens.example.com"}
    server = Running(command(root, volume, *about["Entrypoint"], *about["Cmd"]), env=environment)
    with server:
        code = server.wait_for(r"the code, for one use: (\S+)")[1]
        status, session = ask(server.address, "/api/v1/setup", code=code, email="admin@example.com",
                              password="correct horse battery staple", organization="default")
        assert status == 200, session
        health = environment | {"JETON_LISTEN": server.address.removeprefix("http://")}
        asked = subprocess.run(command(root, volume, *about["Healthcheck"]["Test"][1:]), env=health, text=True,
                               capture_output=True, timeout=60)
        assert asked.returncode == 0, asked.stderr
    assert (volume / "jeton.db").stat().st_uid == 65532
    asked = subprocess.run(command(root, volume, *about["Healthcheck"]["Test"][1:]), env=health, text=True,
                           capture_output=True, timeout=60)
    assert asked.returncode == 1, "a server that is gone is not healthy"


def test_a_first_start_without_an_issuer_is_refused(image, tmp_path):
    about, root = image
    volume = tmp_path / "volume"
    shutil.copytree(root / "var/lib/jeton", volume)
    os.chown(volume, 65532, 65532)
    environment = os.environ | dict(variable.split("=", 1) for variable in about["Env"])
    done = subprocess.run(command(root, volume, *about["Entrypoint"], *about["Cmd"]), env=environment, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 1 and "--issuer" in done.stderr, done.stderr


def test_the_context_of_the_build_has_all_that_it_needs_and_no_secrets(tmp_path):
    buildah = Buildah(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /source\n")
    buildah("build", "--isolation=chroot", f"--file={tmp_path / 'Dockerfile'}",
            f"--ignorefile={ROOT / '.dockerignore'}", "--tag=localhost/context", ROOT)
    source = Path(buildah("mount", buildah("from", "--pull-never", "localhost/context"))) / "source"
    assert {path.name for path in source.iterdir()}.isdisjoint({".git", "keys", "target", "jeton.db", ".venv"})
    listed = subprocess.run(["cargo", "metadata", "--format-version=1", "--locked", "--offline"], cwd=source,
                            capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    # All files that the sources include are there too.
    checked = subprocess.run(
        ["cargo", "check", "--quiet", "--locked", "--offline", "--package=jeton", "--package=jeton-guard"],
        cwd=source, env=os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL)
    assert checked.returncode == 0, checked.stderr
