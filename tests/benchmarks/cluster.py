"""A Dask cluster on this machine: a scheduler and workers, each in a separate process, on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cnnspec.facts import reading

SCHEDULER = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
WORKER = ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]

Found = TypeVar("Found")


class Processes:
    """Processes whose output is written to files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start `python -m` with a command; its output goes to <name>.log."""
        with (self.folder / f"{name}.log").open("w") as log:
            words = [sys.executable, "-m", *command]
            process = subprocess.Popen(
                words, cwd=reading.PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.all.append(process)
        return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all processes that it started, at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], Found], seconds: float, what: str) -> Found:
    """Wait until condition() is true; returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.2)
    return value


@contextlib.contextmanager
def running(folder: Path, workers: int) -> Iterator[tuple[Processes, str, list[subprocess.Popen[bytes]]]]:
    """A cluster that ends with the `with` block: (all Processes, address of the scheduler, processes of the workers)."""
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
