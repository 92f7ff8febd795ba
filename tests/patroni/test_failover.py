"""What docs/cluster.md promises, while machines fail in five ways and clients issue and revoke.

How they could pass wrongly: if nothing were acknowledged around a failure (each test waits until every server has
issued again), if the checks never failed (the first test tells them of a lost token and of one that is accepted), or
if the machines did not fail (each test sees another leader).
"""

import re
import signal
import time

from conftest import check, durability, eventually, issued_again
from load import Client, wrong
from machines import BLOCKS
from service import boot, carry_out, end


def failed(check) -> bool:
    try:
        check()
    except AssertionError:
        return True
    return False


def test_the_checks_fail_when_a_token_is_lost_or_accepted(deployment, load):
    identity, token = load.active.popitem()
    load.revoked[identity] = token, 0.0
    eventually(10, lambda: any(each.startswith(identity) for each in load.accepted))
    load.stop()
    address = deployment.servers["auth2"].reached_at
    assert wrong(address, {}, {identity: token}) == [f"{identity} is accepted"]
    assert failed(lambda: check(deployment, load))
    del load.revoked[identity]
    assert failed(lambda: check(deployment, load))
    load.accepted.clear()
    check(deployment, load)
    identity, (token, _) = load.revoked.popitem()
    load.active[identity] = token
    assert wrong(address, {identity: token}, {}) == [f"{identity} is lost"]
    assert failed(lambda: check(deployment, load))


def test_a_planned_switchover_loses_nothing(deployment, load, figure):
    leader = deployment.leader()
    deployment.databases[leader].run(BLOCKS["drill-switchover"])
    assert deployment.leader(other_than=leader) != leader
    pause = issued_again(deployment, load)
    figure(f"switchover: nothing issued for {pause:.1f} s; {check(deployment, load)}")


def test_a_primary_whose_machine_loses_power_loses_nothing(deployment, load, figure):
    server = deployment.servers["auth2"]
    watch = server.start("drill", BLOCKS["drill-watch"])
    leader = deployment.leader()
    eventually(10, lambda: " 200\n" in server.log("drill"))
    carry_out(deployment.databases[leader], BLOCKS["drill-failure"])
    assert deployment.leader(other_than=leader) != leader
    pause = issued_again(deployment, load)
    # The operator sees the failure and its end.
    eventually(10, lambda: re.search(r" 200\n(.* (503|000)\n)+.* 200\n", server.log("drill")))
    end(watch)
    eventually(30, lambda: durability(server) == "synchronous")
    boot(deployment.databases[leader])
    eventually(90, lambda: len(deployment.roles()) == 3)
    figure(f"power failure: nothing issued for {pause:.1f} s; {check(deployment, load)}")


def test_a_primary_that_is_cut_off_acknowledges_nothing(deployment, load, figure):
    leader = deployment.leader()
    machine = deployment.databases[leader]
    machine.cut_off()
    assert deployment.leader(other_than=leader) != leader
    pause = issued_again(deployment, load)
    machine.connect()
    eventually(90, lambda: len(deployment.roles()) == 3)
    figure(f"primary cut off: nothing issued for {pause:.1f} s; {check(deployment, load)}")


def test_a_primary_that_was_paused_acknowledges_nothing_when_it_goes_on(deployment, load, figure):
    leader = deployment.leader()
    machine = deployment.databases[leader]
    programs = "$(ps -eo pid=,comm= | awk '$2 ~ /^(postgres|patroni|etcd)$/ {print $1}')"
    machine.run(f"kill -STOP {programs}")
    assert deployment.leader(other_than=leader) != leader
    pause = issued_again(deployment, load)
    machine.run(f"kill -CONT {programs}")
    for process in machine.services.values():
        # What has started a service stops and goes on with it.
        process.send_signal(signal.SIGCONT)
    eventually(90, lambda: len(deployment.roles()) == 3)
    figure(f"primary paused: nothing issued for {pause:.1f} s; {check(deployment, load)}")


def test_a_server_that_is_cut_off_together_with_the_primary_answers_503_after_its_lease(deployment, load, figure):
    leader = deployment.leader()
    database, server = deployment.databases[leader], deployment.servers["auth1"]
    token = next(iter(load.active.values()))
    cut = Client(server.reached_at)
    assert cut.current(token) == 200
    # Both stay connected with each other: the server reaches a primary that has no standby any more.
    database.separate(server)
    _, lease = eventually(10, lambda: cut.current(token) == 503)
    assert lease < 7, f"it answered for {lease:.1f} s, longer than its lease"
    assert not cut.is_ready("?for=verify")
    deployment.leader(other_than=leader)
    pause = issued_again(deployment, load, "auth2")
    # The server that is cut off accepts nothing that is revoked elsewhere, however long this lasts: `watch` asks it.
    before = len(load.revoked)
    eventually(30, lambda: len(load.revoked) > before + 10)
    assert cut.current(token) == 503
    database.rejoin(server)
    eventually(90, lambda: len(deployment.roles()) == 3)
    issued_again(deployment, load)
    figure(
        f"primary and a server cut off: the server answers 503 after {lease:.1f} s, nothing issued for {pause:.1f} s; "
        f"{check(deployment, load)}"
    )
