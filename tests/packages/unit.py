"""Runs the commands of a systemd unit by hand, where no systemd is."""

import os
import re
import select
import shlex
import subprocess
import time

from chroot import Chroot


class Unit:
    def __init__(self, chroot: Chroot, name: str):
        self.chroot = chroot
        text = chroot.path(f"/usr/lib/systemd/system/{name}").read_text()
        self.settings = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.settings if key == name]

    def environment(self) -> dict[str, str]:
        words = [word for line in self.all("Environment") for word in shlex.split(line)]
        for path in self.all("EnvironmentFile"):
            path = self.chroot.path(path.removeprefix("-"))
            lines = path.read_text().splitlines() if path.exists() else []
            words += [line for line in lines if line and not line.startswith("#")]
        return dict(word.split("=", 1) for word in words)

    def words(self, command: str) -> list[str]:
        user, folder = self.all("User")[0], self.all("WorkingDirectory")[0]
        variables = [f"{name}={value}" for name, value in self.environment().items()]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        return ["env", "--chdir", folder, *variables, *become, *shlex.split(command)]

    def run(self, command: str, **options) -> subprocess.CompletedProcess:
        """Runs a command as the unit's user, in its folder and with its environment."""
        return self.chroot.run(*self.words(command), **options)

    def start(self) -> "Running":
        for command in self.all("ExecStartPre"):
            self.run(command)
        return Running(self.chroot.command(*self.words(self.all("ExecStart")[0])))


class Running:
    def __init__(self, command: list[str], env: dict[str, str] | None = None, pass_fds: list[int] = ()):
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, pass_fds=pass_fds)
        self.output = ""
        self.address = self.wait_for(r"listening on (\S+)")[1]

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match:
        """Waits until the output contains a pattern."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.output)):
            left = end - time.monotonic()
            assert left > 0, f"no {pattern} in {self.output}"
            if select.select([self.process.stdout], [], [], left)[0]:
                read = os.read(self.process.stdout.fileno(), 65536)
                assert read, f"it ended: {self.output}"
                self.output += read.decode()
        return found

    def stop(self) -> None:
        # The process of unshare waits for the server, and its death would kill it.
        server = subprocess.run(["pgrep", "--parent", str(self.process.pid)], text=True, stdout=subprocess.PIPE)
        for pid in server.stdout.split():
            os.kill(int(pid), 15)
        try:
            assert self.process.wait(timeout=30) == 0, self.output
        finally:
            self.process.kill()
            self.process.stdout.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.stop()
