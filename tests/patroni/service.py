"""systemd's part in the commands of the document: what of a unit decides how a program runs."""

import os
import re
import signal
import subprocess
from pathlib import Path

from machines import Machine

# Where units are, the one of an administrator first.
FOLDERS = ("/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system")


def carry_out(machine: Machine, script: str) -> None:
    """Runs a script as root. Lines that begin with `systemctl` do here what systemd would do."""
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith("systemctl "):
            if lines:
                machine.run("\n".join(lines))
            lines.clear()
            systemctl(machine, *line.split()[1:])
        else:
            lines.append(line)
    if lines:
        machine.run("\n".join(lines))


def systemctl(machine: Machine, command: str, *arguments: str) -> None:
    units = [unit.removesuffix(".service") for unit in arguments if not unit.startswith("--")]
    if command == "poweroff":
        machine.switch_off()
    if command == "enable":
        machine.enabled += units
    if command in ("stop", "restart"):
        for unit in units:
            stop(machine, unit)
    if command in ("enable", "start", "restart"):
        for unit in units:
            start(machine, unit)
    # The other two change nothing here: units are read at each start, and no socket listens for a service.
    assert command in ("poweroff", "enable", "start", "stop", "restart", "daemon-reload", "disable"), command


def boot(machine: Machine) -> None:
    """Switches a machine on, and starts what is enabled."""
    machine.switch_on()
    for unit in machine.enabled:
        start(machine, unit)


def start(machine: Machine, name: str) -> None:
    """Starts a service. What a unit restricts is not restricted."""
    found = machine.run(f"for f in {' '.join(FOLDERS)}; do cat $f/{name}.service 2>/dev/null && break; done || true")
    unit = dict(re.findall(r"^(\w+)=(.*)$", found, re.MULTILINE))
    assert "ExecStart" in unit, f"{machine.name} has no service {name}"
    lines = ["set +u; set -a"]
    lines += [f"{key}={value}" for key, value in re.findall(r"^Environment=(\w+)=(\S*)$", found, re.MULTILINE)]
    if file := unit.get("EnvironmentFile"):
        file = file.lstrip("-").replace("%p", name)
        lines.append(f"[ ! -e {file} ] || . {file}")
    user = unit.get("User", "root")
    lines.append(f"HOME=$(getent passwd {user} | cut -d: -f6)")
    if folder := unit.get("StateDirectory"):
        lines.append(f"install -d -m 0700 -o {user} -g {user} /var/lib/{folder}")
    lines.append(f"cd {unit.get('WorkingDirectory', '/')}")
    lines.append(f"exec setpriv --reuid={user} --regid={user} --init-groups {unit['ExecStart']}")
    machine.services[name] = machine.start(name, "\n".join(lines))


def stop(machine: Machine, name: str) -> None:
    """Ends the main process of a service as systemd does, and waits for its end."""
    end(machine.services.pop(name))


def end(process: subprocess.Popen) -> None:
    """Ends a program that was started on a machine."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)
    process.wait(60)
