"""Does `cnnspec soak` give a bound, the right exit code and one line of JSON, also when it is stopped or a process dies?

A made-up process takes the place of the one that computes.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cnnspec.soak import bound, command, processes, readings, tally

# What a made-up process does with an order; `tell` and `order` are there.
FINE = "pass"
WRONG = """
if order["core"] == max(CORES):
    lines = ["product: 1 of 4 elements differ"]
    tell({"mismatch": {"place": order["place"], "operation": "matrix product", "call": 8, "before": 7, "lines": lines,
          "again": 1, "tries": 5}})
    wrong = 1
"""
DIES = "if order['core'] is not None: os.kill(os.getpid(), 9)"
NO_STEPS = "if order['core'] == max(CORES): counts.pop('exact steps')"
MADE_UP = """
import json, os, sys, time

CORES = os.sched_getaffinity(0)
def tell(message):
    print(json.dumps(message), flush=True)

{before}
tell({{"ready": {{"device": "CPU", "threads": 2, "stack": ["a stack", "a CPU"], "gpu": False}}}})
for line in sys.stdin:
    order, wrong = json.loads(line), 0
    time.sleep(min(order["seconds"], 0.2))
    counts = {{"products": [10, 0, 1e10], "exact steps": [2, 0, 2], "repeated steps": [3, 0, 3], "masks": [4, 0, 4]}}
    {does}
    counts["products"][1] = wrong
    tell({{"counts": {{"place": order["place"], "seconds": 0.2, "kinds": counts, "bare": 6e10}}}})
    tell({{"done": order["place"]}})
"""
# The process that computes, on this stack; one core errs in the lowest bit of one element of every tenth product.
ONE_CORE_ERRS = """
import os, sys
import numpy as np
from tests.soak import products, worker

made, calls = products.on_stack, [0]

def on_stack(gpu):
    found = made(gpu)
    multiply, core = found.multiply, max(os.sched_getaffinity(os.getppid()))

    def erring(a, b):
        result = np.array(multiply(a, b))
        if os.sched_getaffinity(0) == {core}:
            calls[0] += 1
            result.view(np.uint32)[17, 19] ^= calls[0] % 10 == 0
        return result

    found.multiply = erring
    return found

products.on_stack = on_stack
sys.exit(worker.main(sys.argv[1:]))
"""
RUN = """
import sys
from cnnspec import __main__ as command_line
from cnnspec.each import devices
from cnnspec.soak import processes

devices.found = lambda: ["gpu:0", "gpu:1"]

processes.MODULE = "made_up_worker"
sys.exit(command_line.main(sys.argv[1:]))
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process to a core")


def started(folder, does=FINE, before="", minutes="0.02", device="auto"):
    """A running `cnnspec soak --json` whose processes are made up."""
    indented = does.strip().replace("\n", "\n    ")
    return started_as(folder, MADE_UP.format(does=indented, before=before), minutes, device)


def started_as(folder, worker, minutes, device="auto"):
    """A running `cnnspec soak --json` whose processes run a module of their own; of --device each two GPUs are found."""
    (folder / "made_up_worker.py").write_text(worker, encoding="utf-8")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", ""), *sys.path])
    words = [sys.executable, "-c", RUN, "soak", "--json", "--minutes", minutes, "--device", device]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}, stdout=pipe, stderr=pipe, text=True)


def ended(process):
    """(exit code, the line of JSON, the rest) of a soak."""
    out, rest = process.communicate(timeout=240)
    (line,) = out.splitlines()
    assert json.loads(line)["exit_code"] == process.returncode
    return process.returncode, json.loads(line), rest


def test_a_soak_that_passes(tmp_path):
    """Exit code 0, a line for each place, the bound, and the circumstances."""
    code, facts, rest = ended(started(tmp_path))
    assert code == 0
    cores = [command.core_name(core) for core in command.cores()]
    assert list(facts["places"]) == ["CPU, 2 threads", *cores]
    calls = sum(place["products"] for place in facts["places"].values())
    assert facts["bounds"]["products"] == pytest.approx(2.9957 / calls, rel=1e-4)
    assert f"0 of {bound.number(calls)} products wrong: below {bound.number(2.9957 / calls)} a product at 95 %" in rest
    assert "5.0·10^10 products a second, 83 % of the bare matrix product's 6.0·10^10" in rest
    assert rest.endswith("no mismatch (exit code 0)\n")
    assert ("MHz" in rest) or ("clock unknown" in rest)


def test_a_soak_that_finds_something(tmp_path):
    """Exit code 1; the mismatch is told when it is found and kept, and no bound is given for what was wrong."""
    code, facts, rest = ended(started(tmp_path, WRONG))
    core = command.core_name(command.cores()[-1])
    assert code == 1
    assert f"MISMATCH on {core}: matrix product, call 8 there (7 right before it)\n  product: 1 of 4" in rest
    assert facts["mismatches"][0]["place"] == core
    assert facts["bounds"]["products"] is None
    assert facts["bounds"]["exact_steps"] > 0
    assert f"wrong on {core}; right on CPU, 2 threads" in rest
    assert "next: run it again, and alone; if one place stays" in rest


# Two GPUs and the cores; the process of a GPU finds its own chosen, and the second one errs.
TWO_GPUS = """
import os
from cnnspec import stack
chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
GPU = {"device": "H100", "threads": 2, "stack": ["a stack", "two GPUs"], "gpu": True}
whole = sys.argv[2] == "all"
if whole:
    assert (chosen, os.environ["CNNSPEC_DEVICE"]) == (sys.argv[3][-1], sys.argv[3]), chosen
    tell({"ready": GPU})
else:
    assert (chosen, os.environ["OMP_NUM_THREADS"]) == ("-1", "1"), chosen
"""
SECOND_ERRS = """
if order["place"] == "gpu:1 H100":
    lines = ["product: 1 of 4 elements differ"]
    tell({"mismatch": {"place": order["place"], "operation": "matrix product", "call": 8, "before": 7, "lines": lines,
          "again": 5, "tries": 5}})
    wrong = 1
"""


def test_each_of_two_gpus(tmp_path, monkeypatch):
    """A process for each GPU, and one for the cores; the GPU that errs is named, the other and the cores are right."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    before = TWO_GPUS.replace("{", "{{").replace("}", "}}").format()
    worker = MADE_UP.format(does=SECOND_ERRS.strip().replace("\n", "\n    "), before=before)
    worker = worker.replace('tell({"ready": {"device": "CPU"', 'whole or tell({"ready": {"device": "CPU"')
    code, facts, rest = ended(started_as(tmp_path, worker, "0.06", "each"))
    cores = [command.core_name(core) for core in command.cores()]
    assert code == 1, rest
    assert list(facts["places"]) == ["gpu:0 H100", "gpu:1 H100", *cores]
    assert "starting: 2 processes, one for each device, one for single cores" in rest
    assert f"wrong on gpu:1 H100; right on gpu:0 H100, {', '.join(cores)}" in rest


def test_each_without_a_gpu(monkeypatch):
    """On a CPU --device each is the device and every core, as without it."""
    monkeypatch.setattr(command.devices, "found", lambda: ["core:0", "core:1"])
    run = command.Run("each", 60, print)
    assert (run.devices, run.cores) == (["auto"], command.cores())


def test_a_place_without_steps(tmp_path):
    """Nothing was wrong, but one core took no exact step: exit code 2, and the core is named."""
    code, _, rest = ended(started(tmp_path, NO_STEPS))
    core = command.core_name(command.cores()[-1])
    assert code == 2
    assert rest.endswith(f"not everything was checked: never all kinds on {core}; give more --minutes (exit code 2)\n")


def test_a_process_that_dies(tmp_path):
    """Exit code 2, with its signal and its place."""
    code, facts, rest = ended(started(tmp_path, DIES))
    assert code == 2
    core = command.core_name(command.cores()[0])
    assert facts["reason"] == f"the process on {core} ended: it was ended by SIGKILL; its output above says more"
    assert "products wrong: below" in rest


def test_a_stack_that_cannot_be_soaked(tmp_path):
    """What the process says is the reason: exit code 2, nothing ran."""
    before = 'tell({"refused": "Keras\' policy is mixed_float16"})'
    code, facts, rest = ended(started(tmp_path, before=before))
    assert (code, facts["reason"]) == (2, "Keras' policy is mixed_float16")
    assert rest.endswith("nothing ran (exit code 2)\n")


def test_expected_results_that_are_wrong(tmp_path):
    """A processor that cannot compute what is expected: told before the process is ready, and exit code 1."""
    lines = ["this processor errs"]
    mismatch = {"place": "device", "operation": "expected results", "call": 1, "before": 0, "lines": lines}
    before = f"tell({{'mismatch': {mismatch!r}}}); tell({{'refused': 'this processor errs'}})"
    code, _, rest = ended(started(tmp_path, before=before))
    assert code == 1
    assert "MISMATCH on device: expected results" in rest


@pytest.mark.skipif(len(command.cores()) < 2, reason="one core alone: none is left that is right")
def test_one_core_of_this_machine_that_errs(tmp_path):
    """The whole command on this stack: the core is named, and the device and the other cores are right."""
    code, facts, rest = ended(started_as(tmp_path, ONE_CORE_ERRS, "0.15"))
    core = command.core_name(command.cores()[-1])
    assert code == 1, rest
    assert {mismatch["place"] for mismatch in facts["mismatches"]} == {core}
    assert f"MISMATCH on {core}: matrix product of 1024 × 1024, call " in rest
    assert "1 of 1,048,576 elements differ, first [17, 19]" in rest
    assert "bits that differ: 0x00000001 (fraction 0)" in rest
    assert f"wrong on {core}; right on CPU, " in rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_soak_that_is_stopped(tmp_path, number):
    """SIGTERM and Ctrl-C end it with the bound so far; no process is left."""
    before = f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')"
    # A process that was started in the background ignores SIGINT; a terminal's does not.
    waiting = f"open({str(tmp_path / 'turns')!r}, 'a').write(order['place'] + '\\n')"
    process = started(tmp_path, waiting, before, minutes="5")
    deadline = time.monotonic() + 30
    turns = tmp_path / "turns"
    while not turns.exists() or len(turns.read_text().splitlines()) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    code, facts, rest = ended(process)
    assert code == 0
    assert facts["reason"].startswith(f"stopped by {number.name} after 0.")
    assert "products wrong: below" in rest
    for pid in (tmp_path / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_a_process_that_hangs(tmp_path, monkeypatch):
    """A process that says nothing is given up."""
    (tmp_path / "silent.py").write_text("import time; time.sleep(60)", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(processes, "MODULE", "silent")
    monkeypatch.setattr(processes, "HANGS", 0.2)
    process = processes.Process("core 0", 0, "cpu")
    try:
        with pytest.raises(processes.Gone, match="the process on core 0 has said nothing for 0 seconds: it hangs"):
            process.told()
    finally:
        process.end()


def test_the_rule_of_three():
    """At the bound the chance to see no error is 5 %; an imitation of 20,000 soaks agrees."""
    import numpy as np

    for checked in (100, 10**4, 10**6):
        assert (1 - bound.upper(checked)) ** checked == pytest.approx(0.05, rel=0.05)
    none = np.random.RandomState(0).binomial(300_000, bound.upper(300_000), 20_000) == 0
    assert none.mean() == pytest.approx(0.05, abs=0.006)
    assert np.exp(-300_000 * 1e-5) < 0.05  # so many steps find a bit that is flipped with p = 1e-5
    assert bound.upper(0) == bound.upper(1) == 1.0


def test_bounds_in_words():
    """The issue's own sentence; a count without a bound where something was wrong; nothing where nothing ran."""
    assert bound.words(0, 4.1e12, "product") == (
        "0 of 4.1·10^12 products wrong: below 7.3·10^-13 a product at 95 %, if errors are independent"
    )
    assert bound.words(0, 1234, "exact step") == (
        "0 of 1,234 exact steps wrong: below 0.0024 a step at 95 %, if errors are independent"
    )
    assert bound.words(2, 1234, "exact step") == "2 of 1,234 exact steps wrong"
    assert bound.words(0, 0, "product") == "no product was checked"


def test_a_slow_soak_says_so():
    """Below half of the bare product a line asks why."""
    place = tally.Place(seconds=10)
    place.checked["products"], place.bare = 1e11, [1.5e10, 2.5e10, 3e10]
    assert tally.speed(place) == (
        "1.0·10^10 products a second, 40 % of the bare matrix product's 2.5·10^10, below 50 %: is the machine busy?"
    )
    place.checked["products"] = 2e11
    assert "busy" not in tally.speed(place)


def test_turns_reach_every_core():
    """Several rounds over all cores, each beside a turn of the device, where the time allows it."""
    assert command.length(600, 2) == command.LONGEST
    assert command.length(600, 64) == pytest.approx(600 / (command.ROUNDS * 128))
    assert command.length(10, 64) == command.SHORTEST


def test_readings(tmp_path):
    """The hottest sensor and the range of the clocks; sensors that are not connected do not count."""
    for place, text in enumerate(("45000", "61500", "-273000", "nothing")):
        zone = tmp_path / "sys" / "class" / "thermal" / f"thermal_zone{place}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
    assert readings.now(tmp_path) == "62 °C, clock unknown"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("cpu MHz\t\t: 2596.1\nmodel name : x\ncpu MHz\t\t: 3100.0\n")
    assert readings.now(tmp_path) == "62 °C, 2596 to 3100 MHz"
    assert readings.now(tmp_path / "proc") == "temperature unknown, clock unknown"
