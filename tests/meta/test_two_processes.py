"""Do the two processes of the determinism tier give way to the tests, and end with the run that started them?"""

import os
import subprocess
import sys
import time

import pytest

from cnnspec.facts import reading
from tests.support import two_processes

STARTER = '''
import os, subprocess, sys
code = """
import sys, time
from tests.support import two_processes
two_processes.end_with(int(sys.argv[1]))
print("started", flush=True)
time.sleep(300)
"""
process = subprocess.Popen([sys.executable, "-c", code, str(os.getpid())], stdout=subprocess.PIPE, text=True)
process.stdout.readline()
print(process.pid, flush=True)
os.kill(os.getpid(), 9)
'''


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="this system has no niceness")
@pytest.mark.parametrize(("own", "asked"), [(0, two_processes.BESIDE), (10, 10)])
def test_niceness(monkeypatch, own, asked):
    """A process gets the niceness of those beside; of a nicer run it keeps the run's, as only root could take some of it."""
    given = []
    monkeypatch.setattr(os, "getpriority", lambda *_: own)
    monkeypatch.setattr(os, "setpriority", lambda *arguments: given.append(arguments))
    two_processes.give_way(123)
    assert given == [(os.PRIO_PROCESS, 123, asked)]


def test_no_niceness(monkeypatch):
    """Where the system forbids it, or has none, the run goes on without."""

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", forbidden, raising=False)
    two_processes.give_way(os.getpid())
    monkeypatch.delattr(os, "setpriority")
    two_processes.give_way(os.getpid())


def test_a_killed_run_leaves_no_process():
    """A process whose parent was killed, which could not end it, is gone within seconds."""
    command = [sys.executable, "-c", STARTER]
    output = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, timeout=120).stdout
    pid = int(output)
    for _ in range(100):
        if not alive(pid):
            return
        time.sleep(0.2)
    raise AssertionError(f"process {pid} still runs")


def alive(pid):
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    words = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(words) and not words.startswith("Z")
