"""A Dask cluster on this machine's loopback: a scheduler and workers, each a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from cnnspec.facts import reading

SCHEDULER = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
WORKER = ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]


class Processes:
    """Processes started in a folder, where what they print is kept in a file each."""

    def __init__(self, folder):
        self.folder, self.all = folder, []

    def start(self, name, *command):
        """Start `python -m` with a command; its output goes to <name>.log."""
        with (self.folder / f"{name}.log").open("w") as log:
            command = [sys.executable, "-m", *command]
            process = subprocess.Popen(
                command, cwd=reading.PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.all.append(process)
        return process


def kill(process):
    """End a process and all that it started, at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition, seconds, what):
    """Wait until condition() is true, and return what it returned."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.2)
    return value


@contextlib.contextmanager
def running(folder, workers):
    """(Processes, address of the scheduler, processes of the workers) of a cluster that ends with the block."""
    processes = Processes(folder)
    try:
        address_file = folder / "scheduler.json"
        processes.start("scheduler", *SCHEDULER, "--scheduler-file", str(address_file))
        wait_for(address_file.exists, 30, "scheduler")
        options = ["--scheduler-file", str(address_file), "--local-directory", str(folder)]
        started = [processes.start(f"worker{number}", *WORKER, *options) for number in range(1, workers + 1)]
        yield processes, json.loads(address_file.read_text())["address"], started
    finally:
        for process in processes.all:
            kill(process)
