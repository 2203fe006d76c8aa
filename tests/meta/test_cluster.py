"""Does `calibrate --dask` lose nothing and count nothing twice when a worker dies in mid-run? (asked for: -m cluster)"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cnnspec import baselines, ensembles

PROJECT = baselines.BASELINES.parent
SEEDS = 5


@pytest.fixture
def start(tmp_path):
    """start(name, *command) -> a process whose output goes to a file; all are ended with the test."""
    processes = []

    def begin(name, *command):
        command = [sys.executable, "-m", *command]
        with (tmp_path / f"{name}.log").open("w") as log:
            process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        kill(process)


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


@pytest.mark.cluster
def test_a_worker_dies(tmp_path, start):
    """One of two workers is killed with a run under way, after the first was stored: every seed is stored, once."""
    address_file = tmp_path / "scheduler.json"
    start("scheduler", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
          "--scheduler-file", str(address_file))  # fmt: skip
    wait_for(address_file.exists, 30, "scheduler")
    worker = ["distributed.cli.dask_worker", "--scheduler-file", str(address_file), "--nthreads", "1", "--no-nanny",
              "--no-dashboard", "--local-directory", str(tmp_path)]  # fmt: skip
    workers = [start(f"worker{number}", *worker) for number in (1, 2)]
    address = json.loads(address_file.read_text())["address"]
    calibrating = start("calibrate", "cnnspec", "calibrate", "--models", "model2", "--epochs", "1", "--runs", str(SEEDS),
                        "--out", str(tmp_path), "--dask", address)  # fmt: skip
    path = tmp_path / "model2.csv"
    wait_for(path.exists, 200, "first run")
    time.sleep(3)  # both workers are in the middle of their next runs
    kill(workers[0])
    assert calibrating.wait(timeout=300) == 0, (tmp_path / "calibrate.log").read_text()
    assert sorted(ensembles.read(path).seed) == list(range(SEEDS))
    report = (tmp_path / "calibrate.log").read_text()
    assert f"[{SEEDS}/{SEEDS}]" in report
