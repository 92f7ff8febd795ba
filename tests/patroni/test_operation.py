"""The chapters of docs/cluster.md on upgrades and on recovery, with clients at work."""

import time
from pathlib import Path

from conftest import check, copy, durability, eventually, issued_again
from load import Client
from machines import BLOCKS
from service import carry_out

RECOVERY = Path("/var/lib/postgresql/recovery")
BACKUPS = Path("/var/backups/jeton")


def test_servers_restart_one_after_the_other(deployment, load, figure):
    for server in deployment.servers.values():
        carry_out(server, BLOCKS["upgrade-server"])
        issued_again(deployment, load)
    figure(f"servers restarted: nothing issued for {load.longest_pause():.1f} s; {check(deployment, load)}")


def test_databases_restart_one_after_the_other(deployment, load, figure):
    leader = deployment.leader()
    for name in sorted(deployment.databases, key=lambda name: name == leader):
        if name == leader:
            deployment.databases[name].run(BLOCKS["drill-switchover"])
            assert deployment.leader(other_than=leader) != leader
            eventually(60, lambda: len(deployment.roles()) == 3)
        deployment.databases[name].run(BLOCKS["upgrade-database"])
        eventually(60, lambda: len(deployment.roles()) == 3)
        deployment.leader()
    issued_again(deployment, load)
    figure(f"databases restarted: nothing issued for {load.longest_pause():.1f} s; {check(deployment, load)}")


def test_a_database_is_recovered_from_its_copy_and_log(deployment, load, figure):
    databases, servers = deployment.databases, deployment.servers
    deployment.backup.run(BLOCKS["backup"])
    # What is acknowledged from here on is in the log only.
    active, revoked = len(load.active), len(load.revoked)
    eventually(60, lambda: len(load.active) > active + 20 and len(load.revoked) > revoked + 20)
    load.stop()
    begun = time.monotonic()
    for server in servers.values():
        carry_out(server, BLOCKS["recovery-servers"])
    leader = deployment.leader()
    for name in sorted(databases, key=lambda name: name == leader):
        carry_out(databases[name], BLOCKS["recovery-databases"])
    databases["db2"].run(BLOCKS["recovery-etcd"])
    first = databases["db1"]
    (base,) = sorted((deployment.backup.layers.root / BACKUPS.relative_to("/")).glob("base-*"))[-1:]
    copy(deployment.backup, BACKUPS / base.name, first, RECOVERY / "base")
    copy(deployment.backup, BACKUPS / "wal", first, RECOVERY / "wal")
    carry_out(first, BLOCKS["recovery-begin"])
    eventually(60, lambda: deployment.roles().get("db1") == "Leader")
    for name in ("db2", "db3"):
        carry_out(databases[name], BLOCKS["recovery-standbys"])
    assert deployment.leader() == "db1"
    for server in servers.values():
        carry_out(server, BLOCKS["recovery-end"])
        eventually(60, lambda server=server: Client(server.reached_at).is_ready())
    took = time.monotonic() - begun
    assert durability(servers["auth1"]) == "synchronous"
    figure(f"recovered from a copy and the log: in {took:.0f} s; {check(deployment, load)}")
    carry_out(deployment.backup, BLOCKS["recovery-backup"])
    deployment.backup.run(BLOCKS["backup"])
    eventually(30, lambda: list((deployment.backup.layers.root / BACKUPS.relative_to("/") / "wal").glob("*.partial")))


def test_all_commands_of_the_document_are_run(deployment):
    here = Path(__file__).parent
    source = "".join(path.read_text() for path in here.glob("*.py"))
    assert [name for name in BLOCKS if f'BLOCKS["{name}"]' not in source and f"BLOCKS['{name}']" not in source] == []
