"""Six machines as docs/cluster.md sets them up: three with PostgreSQL, etcd and Patroni, two with jeton, one
with backups."""

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from load import EMAIL, PASSWORD, Client, Load, wrong
from machines import BLOCKS, Layers, Machine, networks
from service import boot, carry_out

ROOT = Path(__file__).parents[2]
LAYER = Path(os.environ["PATRONI_LAYER"]).resolve()
FILES = Path("/root/jeton")

FIGURES = pytest.StashKey[list]()


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)


@pytest.fixture
def figure(request):
    """Prints a line at the end of the run."""
    return request.config.stash.setdefault(FIGURES, []).append


def eventually(seconds: float, what):
    """Returns the first true answer, and how long it took."""
    begun = time.monotonic()
    while True:
        if answer := what():
            return answer, time.monotonic() - begun
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what.__doc__ or what}"
        time.sleep(0.1)


@dataclass
class Deployment:
    databases: dict[str, Machine]
    servers: dict[str, Machine]
    backup: Machine

    def machines(self) -> list[Machine]:
        return [*self.databases.values(), *self.servers.values(), self.backup]

    def roles(self, not_asked: str = "") -> dict[str, str]:
        """Returns the roles of the databases that run, as Patroni says."""
        for machine in self.databases.values():
            if machine.init is None or machine.name == not_asked:
                continue
            try:
                listed = json.loads(machine.run(BLOCKS["database-state"].strip() + " --format json"))
            except (AssertionError, ValueError):
                continue
            return {each["Member"]: each["Role"] for each in listed if each["State"] in ("running", "streaming")}
        return {}

    def leader(self, other_than: str = "") -> str:
        """Waits for a leader with a synchronous standby, and returns its name."""

        def found():
            roles = self.roles(not_asked=other_than)
            leaders = [name for name, role in roles.items() if role == "Leader" and name != other_than]
            return "Sync Standby" in roles.values() and leaders and leaders[0]

        return eventually(90, found)[0]

    def logs(self) -> str:
        texts = []
        for machine in self.machines():
            for log in sorted(machine.folder.glob("*.log")):
                texts.append(f"== {machine.name} {log.name}\n{log.read_text()[-9000:]}")
        return "\n".join(texts)


def copy(source: Machine, path: Path, target: Machine, to: Path) -> None:
    """Copies a folder from one machine to another."""
    shutil.copytree(source.layers.root / path.relative_to("/"), target.layers.root / to.relative_to("/"), dirs_exist_ok=True)


def filled(text: str, machine: Machine) -> str:
    """Returns a block for a machine, whose name and address are examples in it."""
    return text.replace("NAME=db1 ADDRESS=10.77.0.11", f"NAME={machine.name} ADDRESS={machine.address}")


def install_jeton(machine: Machine) -> None:
    """Does what the package does, and what an operator without a terminal gives to the first start."""
    root = machine.layers.root
    shutil.copy(os.environ["JETON_BINARY"], root / "usr/bin/jeton")
    shutil.copy(ROOT / "packaging/jeton.service", root / "lib/systemd/system/jeton.service")
    machine.run("useradd --system --user-group jeton; install -d -o root -g jeton -m 0750 /etc/jeton")
    machine.run(f"printf '%s\n' JETON_ADMIN_EMAIL={EMAIL} 'JETON_ADMIN_PASSWORD=\"{PASSWORD}\"' > /etc/default/jeton")


@pytest.fixture(scope="session")
def deployment():
    assert os.geteuid() == 0, "these tests make networks and file systems, which needs root"
    networks()
    installed = Layers(LAYER, Path("/"))
    folder = Path("/mnt")
    databases = {f"db{n}": Machine(folder, f"db{n}", 10 + n, installed) for n in (1, 2, 3)}
    servers = {f"auth{n}": Machine(folder, f"auth{n}", 20 + n, installed) for n in (1, 2)}
    made = Deployment(databases, servers, Machine(folder, "backup", 31, installed))
    try:
        for machine in made.machines():
            machine.switch_on()
            machine.run(f"mkdir -p {FILES}")
        first = databases["db1"]
        first.run(f"cd {FILES}\n{BLOCKS['certificates']}{BLOCKS['server-key']}")
        for machine in made.machines():
            if machine is not first:
                copy(first, FILES, machine, FILES)
        for machine in databases.values():
            machine.run(f"cd {FILES}; {filled(BLOCKS['database-configuration'], machine)}")
            carry_out(machine, BLOCKS["database-start"])
        databases[made.leader()].run(BLOCKS["database-role"])
        for machine in servers.values():
            install_jeton(machine)
            machine.run(f"cd {FILES}; {BLOCKS['server-configuration']}")
            carry_out(machine, BLOCKS["server-start"])
            eventually(60, lambda machine=machine: Client(machine.reached_at).is_ready())
        made.backup.run(f"cd {FILES}; {BLOCKS['backup-configuration']}")
        carry_out(made.backup, BLOCKS["backup-start"])
        yield made
    except BaseException:
        print(made.logs())
        raise
    finally:
        for machine in made.machines():
            if machine.init is not None:
                machine.switch_off()


@pytest.fixture(scope="session")
def session(deployment):
    return Client(deployment.servers["auth1"].reached_at).login()


@pytest.fixture
def load(deployment, session):
    """Clients at work for the time of a test, which have met both servers working."""
    addresses = [machine.reached_at for machine in deployment.servers.values()]
    for machine in deployment.machines():
        # A test that failed has left it off.
        if machine.init is None:
            boot(machine)
    deployment.leader()
    eventually(90, lambda: len(deployment.roles()) == len(deployment.databases))
    running = Load(addresses, session)
    try:
        eventually(60, lambda: len(running.active) > 20 and len(running.revoked) > 20)
        yield running
    finally:
        running.stop()
    print(deployment.logs())


def durability(server: Machine) -> str:
    nodes = server.run(BLOCKS["server-state"])
    return re.search(r"durability: (\w+)", nodes).group(1)


def issued_again(deployment, load, *servers: str) -> float:
    """Waits until the servers, or all, issue again, and returns for how long nothing was issued."""
    since = time.monotonic()
    addresses = {deployment.servers[name].reached_at for name in servers or deployment.servers}
    eventually(90, lambda: {address for at, address in load.issued_at if at > since} >= addresses)
    return load.longest_pause()


def check(deployment, load) -> str:
    """Compares all that was acknowledged with what each server says, and returns how much that was."""
    load.stop()
    active = dict(load.active)
    revoked = {identity: token for identity, (token, _) in load.revoked.items()}
    for server in deployment.servers.values():
        assert eventually(30, lambda: Client(server.reached_at).is_ready())
        assert wrong(server.reached_at, active, revoked) == []
    assert load.accepted == []
    return (
        f"{len(active)} active and {len(revoked)} revoked tokens kept, {len(load.unknown)} revocations without an answer, "
        f"revoked tokens refused {load.asked} times"
    )
