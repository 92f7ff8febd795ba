"""Machines: each a file system over this one's, a network and processes of its own, all of which end at once."""

import os
import re
import signal
import subprocess
import textwrap
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs/cluster.md"
BLOCKS = {
    name: textwrap.dedent(text)
    for name, text in re.findall(r"^ *```sh ([\w-]+)\n(.*?)^ *```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
}

# The network of the servers and the databases, and the one of the clients, which no test cuts.
SERVERS, CLIENTS = "data", "front"
# The network of machines that are cut off together.
APART = "apart"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The first process of a machine: bash adopts the orphans of the machine (PostgreSQL is one of Patroni) and reaps them.
INIT = "mount -t proc proc /proc && hostname {name} && echo on && while :; do sleep infinity & wait; done"


def run(*command: str | Path, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def networks() -> None:
    """Makes the networks. This process must have a network namespace of its own."""
    run("ip", "link", "set", "lo", "up")
    for bridge in (SERVERS, CLIENTS):
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "link", "set", bridge, "up")
    run("ip", "address", "add", "10.78.0.1/24", "dev", CLIENTS)


class Layers:
    """A file system over another one. What is written goes into a folder."""

    def __init__(self, folder: Path, lower: Path):
        self.root = folder / "root"
        upper, work = folder / "upper", folder / "work"
        for part in (upper, work, self.root):
            part.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self.root)
        run("mount", "--rbind", "/dev", self.root / "dev")


class Machine:
    """A machine with an address in the network of the servers."""

    def __init__(self, folder: Path, name: str, host: int, installed: Layers):
        self.name, self.host = name, host
        self.address = f"10.77.0.{host}"
        self.reached_at = f"10.78.0.{host}"
        self.folder = folder / name
        self.layers = Layers(self.folder, installed.root)
        self.init: subprocess.Popen | None = None
        # Services that run, and those that start with the machine.
        self.services: dict[str, subprocess.Popen] = {}
        self.enabled: list[str] = []

    def switch_on(self) -> None:
        """Starts the machine: its name and its networks, and none of its services."""
        self.init = subprocess.Popen(
            ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "chroot", self.layers.root]
            + ["bash", "-c", INIT.format(name=self.name)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.init.stdout.readline() == "on\n", f"{self.name} does not start"
        self.pid = Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text().split()[0]
        for bridge, address in ((SERVERS, self.address), (CLIENTS, self.reached_at)):
            port = f"{bridge}{self.host}"
            run("ip", "link", "add", port, "type", "veth", "peer", "name", bridge, "netns", self.pid)
            run("ip", "link", "set", port, "master", bridge, "up")
            self.run(f"ip address add {address}/24 dev {bridge}; ip link set {bridge} up")
        self.run("ip link set lo up")

    def switch_off(self) -> None:
        """Ends all processes at once, as a power failure does."""
        os.kill(int(self.pid), signal.SIGKILL)
        for process in self.services.values():
            # One whose program was stopped has stopped too.
            process.send_signal(signal.SIGCONT)
        for process in [self.init, *self.services.values()]:
            process.wait(30)
        self.services.clear()
        self.init.stdout.close()
        self.init = None
        for bridge in (SERVERS, CLIENTS):
            # The end of the network namespace removes its links too, but some time later.
            subprocess.run(["ip", "link", "delete", f"{bridge}{self.host}"], stderr=subprocess.DEVNULL, check=False)

    def cut_off(self) -> None:
        """Takes the machine out of the network of the servers. Clients still reach it."""
        run("ip", "link", "set", f"{SERVERS}{self.host}", "down")

    def connect(self) -> None:
        run("ip", "link", "set", f"{SERVERS}{self.host}", "up")

    def separate(self, *others: "Machine") -> None:
        """Puts this machine and others into a network of their own, apart from all other machines."""
        run("ip", "link", "add", APART, "type", "bridge")
        run("ip", "link", "set", APART, "up")
        for machine in (self, *others):
            run("ip", "link", "set", f"{SERVERS}{machine.host}", "master", APART)

    def rejoin(self, *others: "Machine") -> None:
        for machine in (self, *others):
            run("ip", "link", "set", f"{SERVERS}{machine.host}", "master", SERVERS)
        run("ip", "link", "delete", APART)

    def _enter(self, *command: str) -> list[str]:
        return ["nsenter", "--target", self.pid, "--net", "--pid", "--mount", "--uts", "--root", "--wd"] + [
            *("env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8"),
            *command,
        ]

    def run(self, script: str) -> str:
        """Runs a script as root, and returns what it prints."""
        return run(*self._enter("bash", "-euo", "pipefail", "-c", script), timeout=120)

    def start(self, name: str, script: str) -> subprocess.Popen:
        """Starts a service, which appends to a log of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                self._enter("bash", "-euo", "pipefail", "-c", script),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()
