"""Runs a command with a terminal as its standard input."""

import os
import pty
import subprocess
import threading
import time

SECONDS = 60


def typed(command, line, folder, prompt="assword: "):
    """Types a line when the command asks for it. Returns the completed process, and what the terminal showed."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def watch():
        while True:
            try:
                shown.extend(os.read(ours, 1024))
            except OSError:
                return

    process = subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    threading.Thread(target=watch, daemon=True).start()
    try:
        asked = b""
        while not asked.endswith(prompt.encode()):
            byte = process.stderr.read(1)
            assert byte, (asked, process.stdout.read())
            asked += byte
        # The prompt comes before the echo ends.
        time.sleep(0.5)
        os.write(ours, line.encode() + b"\n")
        output, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        os.close(theirs)
    done = subprocess.CompletedProcess(command, process.returncode, output.decode(), (asked + errors).decode())
    time.sleep(0.1)
    os.close(ours)
    return done, shown.decode()
