"""Slowdowns that are planted in the harness, and unchanged runs between them: are they found by `slowdowns.compare`?

`python -m tests.benchmarks.planted --out baselines/benchmarks/planted.csv` measures an epoch of the harness of every model
on 1,000 images, UNCHANGED times as it is and once with each of PLANTED, in turns, and adds a row for each. It goes on with
what is missing. `tests/meta/stored/test_planted.py` judges the rows. It needs the whole machine.
"""

import argparse
import csv
import functools
import json
import math
import os
import sys
import time
import types
from pathlib import Path

import numpy as np

from cnnspec.benchmarks import timings, variants
from cnnspec.files import locked, with_row, write_whole
from cnnspec.names import MODELS, hardware
from cnnspec.training import batch_size
from tests.benchmarks import rounds
from tests.benchmarks.process import Measuring

UNCHANGED = 8  # runs
IMAGES = 1000
NONE = "unchanged"
COPIED = 16 * 2**20 // 4  # float32 numbers of 16 MiB
PLANTED = {  # name -> variables of the process
    "a sleep of 10 % in every step": {"SLEEP": "0.1"},
    "a sleep of 20 % in every step": {"SLEEP": "0.2"},
    "a sleep of 50 % in every step": {"SLEEP": "0.5"},
    "one thread fewer": {"TF_NUM_INTRAOP_THREADS": "1"},
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "a copy of 16 MiB in every step": {"COPY": "1"},
    "a new trace in every epoch": {"RETRACE": "1"},
}
COLUMNS = ("hardware", "framework", "keras", "date", "run", "slowdown", "model", "seconds", "fewest")
WORKER = "tests.benchmarks.planted"


def plant(model):
    """Slow this process down as its variables say; SLEEP_… are seconds in a step of each model."""
    import keras
    import tensorflow

    before = []
    if f"SLEEP_{model}" in os.environ:
        seconds = float(os.environ[f"SLEEP_{model}"])
        before.append(lambda: time.sleep(seconds))
    if "COPY" in os.environ:
        memory = np.zeros(COPIED, "float32")
        before.append(lambda: memory.copy().sum())

    if before:
        original = keras.Model.train_step

        def call():
            for each in before:
                each()
            return np.float32(0)

        @functools.wraps(original)
        def train_step(self, data):
            with tensorflow.control_dependencies([tensorflow.numpy_function(call, [], tensorflow.float32)]):
                data = tensorflow.nest.map_structure(tensorflow.identity, data)
            return original(self, data)

        keras.Model.train_step = train_step
    if "RETRACE" in os.environ:
        prepare = variants.prepare

        @functools.wraps(prepare)
        def retracing(*given):
            built, epoch = prepare(*given)

            def again():
                built.make_train_function(force=True)
                return epoch()

            return built, again

        variants.prepare = retracing


class Alone:
    """The part of pytest-benchmark's fixture that `rounds.repeat` uses."""

    def __init__(self):
        self.extra_info = {}

    def pedantic(self, function, setup, rounds, iterations):
        """Run the rounds."""
        for _ in range(rounds * iterations):
            setup()
            function()


def measured(model, environment):
    """(seconds of each round, fewest seconds of each, stack) of the harness of a model, with variables of its process."""
    settings = types.SimpleNamespace(dataset="mnist5k", mnist=None, seed=1000)
    process = Measuring(model, variants.VARIANTS["harness"], settings, environment=environment, images=IMAGES, worker=WORKER)
    try:
        seconds, fewest, _ = rounds.repeat(Alone(), process.epoch)
        return seconds, fewest, process.ready["stack"]
    finally:
        process.close()


def rows_of(path):
    """The rows of a file of runs as dictionaries; none if it does not exist."""
    if not Path(path).exists():
        return []
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def timing_of(row):
    """The Timing of a row."""
    seconds, fewest = ([float(each) for each in row[name].split()] for name in ("seconds", "fewest"))
    return timings.Timing(row["model"], "harness", seconds, fewest=fewest)


def plan():
    """[(number of the run, slowdown)]: an unchanged run, then in turns one with a slowdown and an unchanged one."""
    turns = [NONE]
    for name in PLANTED:
        turns += [name, NONE]
    turns += [NONE] * (UNCHANGED - turns.count(NONE))
    return list(enumerate(turns))


def variables(name, model, rows):
    """The variables of a process with a slowdown: a share of a step becomes seconds, by the first unchanged run."""
    found = dict(PLANTED.get(name, {}))
    if "SLEEP" in found:
        first = next(row for row in rows if row["run"] == "0" and row["model"] == model)
        step = timing_of(first).fastest / math.ceil(IMAGES / batch_size)
        found[f"SLEEP_{model}"] = f"{float(found.pop('SLEEP')) * step:.6f}"
    return found


def measure(out):
    """Measure what the file `out` lacks, and add each row as it is measured."""
    for number, name in plan():
        for model in MODELS:
            rows = rows_of(out)
            if any((row["run"], row["model"]) == (str(number), model) for row in rows):
                continue
            seconds, fewest, stack = measured(model, variables(name, model, rows))
            cells = (
                hardware(stack),
                stack["framework"],
                stack["keras"],
                time.strftime("%Y-%m-%dT%H:%M"),
                number,
                name,
                model,
                *(" ".join(f"{each:.5g}" for each in values) for values in (seconds, fewest)),
            )
            with locked(out):
                text = Path(out).read_text(encoding="utf-8") if Path(out).exists() else ""
                write_whole(out, with_row(text, dict(zip(COLUMNS, map(str, cells), strict=True))))
            print(f"run {number}, {name}, {model}: fastest {min(fewest):.4g} s", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].startswith("{"):
        from cnnspec.benchmarks import worker

        plant(json.loads(sys.argv[1])["model"])
        worker.main(sys.argv[1:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--out", required=True, type=Path, help="file of the rows; what it holds already is kept")
        measure(parser.parse_args().out)
