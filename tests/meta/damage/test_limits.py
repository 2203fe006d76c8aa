"""Does a file of one megabyte cost at most fifty loops of the interpreter and 256 MiB, whatever it holds?"""

import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from cnnspec.ensembles import store
from cnnspec.facts import reading
from tests.meta.damage import kinds

LOOPS, MIB = 50, 256  # loops of a million steps, in processor time; 11 to 25 were seen (0.1 s each)
SIZE = 10**6  # bytes of each file
# In a process of its own, so that the memory of other tests does not count. Prints (kind, what, seconds, MiB) of each file.
CODE = """
import json, pathlib, sys, time
from tests.meta.damage import kinds

def memory(which):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024

folder, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for kind in kinds.KINDS:
    sound = kind.sound()
    head, *lines = sound.splitlines(keepends=True)
    body, some = "".join(lines) or head, range(size // 18)
    contents = {
        "json": [
            "[" * size,
            '{"a":' * (size // 5),
            '"' + "x" * size,
            "[" + "1," * (size // 2) + "1]",
            "9" * size,
            "{" + ",".join(f'"{number}": {number}' for number in some) + "}",
            sound.replace("{", "{" + " " * size, 1),
        ],
        "toml": [
            "a = " + "[" * size,
            "a = [" + "1," * (size // 2) + "1]",
            "a." * (size // 2) + "a = 1",
            "a = " + "9" * size,
            "".join(f"k{number} = {number}\\n" for number in some),
            sound + "#" * size,
        ],
        "csv": [
            head + body * (size // len(body)),
            "," * size,
            head + '"' + "x" * size,
            head * 9 + "\\n" * size,
            head + "9" * size,
            ",".join(f"c{number}" for number in some),
        ],
    }[kind.form]
    for number, text in enumerate(contents):
        path = folder / kind.file
        path.write_text(text[: 2 * size])
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, began = memory("VmRSS"), time.process_time()
        try:
            kind.read(path)
            ended = "read"
        except kind.error:
            ended = "refused"
        print(json.dumps((kind.name, number, ended, time.process_time() - began, memory("VmHWM") - before)), flush=True)
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """[(kind, number of its file, how it ended, seconds, MiB)]."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not tell the peak memory of a process: run it on Linux")
    command = [sys.executable, "-c", CODE, str(tmp_path_factory.mktemp("large")), str(SIZE)]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize(("place", "most", "unit"), [(3, LOOPS, "loops"), (4, MIB, "MiB")], ids=["seconds", "memory"])
def test_a_large_file_is_cheap(measured, place, most, unit):
    """Every kind of file: deeply nested, one long text, many fields, many rows, many columns, one long number."""
    assert len(measured) > 100
    worst = max(measured, key=lambda each: each[place])
    cost = worst[place] / (loop() if unit == "loops" else 1)
    assert cost <= most, f"{cost:.1f} {unit}: {worst}"


def loop():
    """Processor seconds of a loop of a million steps now: a file's cost is compared with it, as machines differ."""
    found = []
    for _ in range(5):
        began = time.process_time()
        sum(number * number for number in range(10**6))
        found.append(time.process_time() - began)
    return statistics.median(found)


def test_a_large_ensemble_is_read_fast(tmp_path):
    """A megabyte of sound runs, thousands of them."""
    header, run, *_ = kinds.ensemble().splitlines(keepends=True)
    place = header.split(",").index("seed")
    cells = run.split(",")
    rows = [",".join([*cells[:place], str(seed), *cells[place + 1 :]]) for seed in range(SIZE // len(run))]
    (tmp_path / "model1.csv").write_text(header + "".join(rows), encoding="utf-8")
    began = time.process_time()
    assert len(store.read(tmp_path / "model1.csv")) == len(rows) > 4000
    assert time.process_time() - began <= LOOPS * loop()
