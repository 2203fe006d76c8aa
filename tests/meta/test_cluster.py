"""Does `calibrate --dask` store every run exactly once when a worker dies during a run? (`pytest tests -m cluster`)"""

import time

import pytest

from cnnspec.ensembles import store
from tests.benchmarks import cluster

SEEDS = 5


@pytest.mark.cluster
def test_a_worker_dies(tmp_path):
    """One of two workers is killed during a run, after the first run was stored: every seed is stored exactly once."""
    command = ["cnnspec", "calibrate", "--models", "model2", "--epochs", "1", "--runs", str(SEEDS), "--out", str(tmp_path)]
    path = tmp_path / "model2.csv"
    with cluster.running(tmp_path, workers=2) as (processes, address, workers):
        calibrating = processes.start("calibrate", *command, "--dask", address)
        cluster.wait_for(path.exists, 200, "first run")
        time.sleep(3)  # both workers are in the middle of their next runs
        cluster.kill(workers[0])
        assert calibrating.wait(timeout=300) == 0, (tmp_path / "calibrate.log").read_text()
    assert sorted(store.read(path).seed) == list(range(SEEDS))
    report = (tmp_path / "calibrate.log").read_text()
    assert f"[{SEEDS}/{SEEDS}]" in report
