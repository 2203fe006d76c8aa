"""Is there a line for each device, is the odd one out named with the check, and is nothing unknown a pass?

Made-up runs write the reports, but for the last test: there one core of this machine errs.
"""

import json
import os
import subprocess
import sys

import pytest

from cnnspec.devices import asked
from cnnspec.each import command, run
from cnnspec.facts import reading
from cnnspec.reports import verdicts
from tests.meta.reports.made_reports import COUNTS, LAYERS, made

REASON = "layer 1: relative error 0.1"
FAILED = {"failed": [{"test": LAYERS, "reason": REASON}], "verdict": "fail"}
TIERS = {tier: dict(COUNTS) for tier in verdicts.SHARP}
WRITES = """
import json, os, sys
from pathlib import Path

device, report = sys.argv[1:]
told = json.loads(Path({told!r}).read_text())[device]
print("output of", device)
if "kill" in told:
    os.kill(os.getpid(), told["kill"])
if "report" in told:
    Path(report).write_text(told["report"])
sys.exit(told.get("code", 0))
"""


def device(code=0, digest="a1", **changes):
    """What a made-up run of a device does."""
    fields = {"tiers": {tier: dict(count) for tier, count in TIERS.items()}, "digests": {"a case": digest * 32}}
    report = made(None, **{"verdict": "no verdict", **fields, **changes})
    return report, code


def ran(folder, lines, due=verdicts.SHARP, **devices):
    """The verdict on made-up devices; `lines` collects what is said."""
    told = {}
    for name, does in devices.items():
        if isinstance(does, tuple):
            report, code = does
            path = folder / "made.json"
            report.to_json(path)
            does = {"report": path.read_text(), "code": code}
        told[name.replace("_", ":")] = does
    (folder / "told.json").write_text(json.dumps(told))
    words = [sys.executable, "-c", WRITES.format(told=str(folder / "told.json"))]
    return run.run(list(told), lambda name, report: [*words, name, str(report)], folder / "each", due, lines.append)


def test_all_agree(tmp_path):
    """A line for each device, the digests that are the same, and a pass."""
    lines = []
    found = ran(tmp_path, lines, core_0=device(), core_1=device())
    assert (found.word, found.reason) == ("pass", "")
    tests = 3 * len(verdicts.SHARP)
    assert [line.split(",")[:2] for line in lines[1:3]] == [
        [f"core:{core}  right     CPU", f" {tests} passed"] for core in (0, 1)
    ]
    assert lines[-1].endswith("PASS, before any training: 2 devices computed what they should, 1 digest the same on all")
    assert found.stack == "tensorflow 2.21.0, Keras 3.15.1, NumPy 2.4.6, Python 3.12.1"
    assert (tmp_path / "each" / "core-1.log").read_text() == "output of core:1\n"


def test_the_odd_one_fails(tmp_path):
    """One device whose check fails is named, with the check; the others are right."""
    lines = []
    found = ran(tmp_path, lines, gpu_0=device(), gpu_1=device(code=1, digest="b2", **FAILED), gpu_2=device())
    assert found.word == "fail"
    assert found.reason == f"wrong on gpu:1; right on gpu:0, gpu:2; gpu:1: {LAYERS}: {REASON}"
    assert "gpu:1 is the odd one out of 3: 2 differences" in found.lines
    assert f"  `{LAYERS}` fails here and on no other: {REASON}" in found.lines
    assert "  a case: digest b2b2b2b2b2b2b2b2, 2 of 3 have a1a1a1a1a1a1a1a1" in found.lines
    assert found.lines[-1] == "FAIL: wrong on gpu:1; right on gpu:0, gpu:2"


def test_a_digest_that_differs(tmp_path):
    """All checks pass, and one device has other bits: a failure, and of three the one is named."""
    found = ran(tmp_path, [], core_0=device(), core_1=device(), core_2=device(digest="b2"))
    assert (found.word, found.reason) == ("fail", "digests differ on core:2")
    found = ran(tmp_path, [], core_0=device(), core_1=device(digest="b2"))
    assert (found.word, found.reason) == ("fail", "digests differ")
    assert any("a third equal one would tell which is wrong" in line for line in found.lines)


def test_all_fail_alike(tmp_path):
    """Then it is the stack, not a device."""
    found = ran(tmp_path, [], core_0=device(code=1, **FAILED), core_1=device(code=1, **FAILED))
    assert found.lines[-1] == "FAIL: all devices fail alike: wrong on core:0, core:1"
    assert "it is the stack" in found.lines[-2]


UNKNOWN = {
    "killed": ({"kill": 9}, "the run wrote no report: ended by SIGKILL"),
    "without a report": ({"code": 3}, "the run wrote no report: exit code 3"),
    "a bad end": (device(code=3), "the run ended with exit code 3"),
    "a tier that did not run": (
        device(tiers=TIERS | {"exact": {**dict.fromkeys(COUNTS, 0), "skipped": 3}}),
        "nothing passed in exact",
    ),
    "tests that were not reached": (
        device(not_run=[{"test": LAYERS, "reason": run.UNREACHED}]),
        f"{LAYERS}: {run.UNREACHED}",
    ),
}


@pytest.mark.parametrize(("does", "why"), UNKNOWN.values(), ids=UNKNOWN)
def test_nothing_unknown_passes(tmp_path, does, why):
    """A device that crashed, or did not run every tier, is not known; the other is right."""
    found = ran(tmp_path, [], core_0=device(), core_1=does)
    assert found.word == "no verdict"
    assert found.reason.startswith(f"core:1 not known; core:1: {why}")


def test_a_run_that_is_stopped(tmp_path):
    """SIGTERM ends the device that is at work, and the rest is not known."""
    found = ran(tmp_path, [], core_0={"kill": 15}, core_1=device(), core_2=device())
    assert found.word == "no verdict"
    assert found.reason.startswith("core:0, core:1, core:2 not known")


def test_an_old_report_is_not_taken(tmp_path):
    """A report of an earlier run in the same folder does not stand for a run that wrote none."""
    ran(tmp_path, [], core_0=device())
    assert ran(tmp_path, [], core_0={"code": 3}).word == "no verdict"


def test_a_part_of_the_tiers(tmp_path):
    """Tests that the user chose: no pass, and it says so; none that ran is not known."""
    found = ran(tmp_path, [], due=(), core_0=device(), core_1=device())
    assert (found.word, found.reason) == ("no verdict", run.IN_PART)
    nothing = device(tiers={"exact": dict.fromkeys(COUNTS, 0)})
    assert "no check ran" in ran(tmp_path, [], due=(), core_0=device(), core_1=nothing).reason


def test_words_of_the_runs():
    """Options that every device has its own value of are left out, in both ways of writing them."""
    given = [
        "--device",
        "each",
        "-k",
        "exact",
        "--report=here",
        "--outcome",
        "there",
        "tests/test_exact.py",
        "--device=each",
    ]
    assert command.without(given, command.OURS) == ["-k", "exact", "tests/test_exact.py"]
    assert command.tiers("quick") == verdicts.QUICK
    assert verdicts.SHARP[-1] == "trajectory"
    assert not {"saving", "determinism", "paired", "training", "results"} & set(verdicts.SHARP)


FAULTY = """
import os
import keras

healthy = keras.layers.Dense.call

def call(self, inputs, training=None):
    result = healthy(self, inputs, training) if training is not None else healthy(self, inputs)
    return result * 1.001 if os.sched_getaffinity(0) == {{{core}}} else result

keras.layers.Dense.call = call
"""


@pytest.mark.faults
@pytest.mark.skipif(len(asked.cores()) < 2, reason="one core alone: none is left that is right")
def test_one_core_of_this_machine_errs(tmp_path, monkeypatch):
    """Dense is off by 1e-3 on one core alone: `cnnspec verify --device each` names the core and the check."""
    cores = asked.cores()
    (tmp_path / "faulty_core.py").write_text(FAULTY.format(core=cores[-1]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(reading.PROJECT)]))
    words = [sys.executable, "-m", "cnnspec", "verify", "--device", "each", "--json", "--out", str(tmp_path), "--"]
    words += ["-p", "faulty_core", "tests/test_exact.py", "-k", "dense_2 and compiled"]
    ended = subprocess.run(words, capture_output=True, text=True)
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["verdict"]) == (1, "fail"), ended.stderr
    wrong, right = f"core:{cores[-1]}", ", ".join(f"core:{core}" for core in cores[:-1])
    assert told["reason"].startswith(f"wrong on {wrong}; right on {right}; {wrong}: tests/test_exact.py::test_every_bit[")
    assert f"{wrong} is the odd one out of {len(cores)}: " in ended.stderr
