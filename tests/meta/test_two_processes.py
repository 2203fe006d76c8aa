"""Do the two processes of the determinism tier end with the run that started them?"""

import subprocess
import sys
import time

from cnnspec.facts import reading

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
