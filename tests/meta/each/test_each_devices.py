"""Which devices does --device each stand for, and is a process pinned to the core that it is given?"""

import os
import subprocess
import sys

import pytest

from cnnspec import stack
from cnnspec.devices import asked
from cnnspec.each import devices
from cnnspec.errors import DeviceMissing
from tests.plugin import devices as plugin

CORES = asked.cores()
MACHINES = {  # what the framework tells, variables -> devices
    "a CPU": ({"api": None, "gpus": []}, {}, [f"core:{core}" for core in CORES]),
    "two GPUs": ({"api": "CUDA", "gpus": ["H100", "H100"]}, {"CUDA_VISIBLE_DEVICES": "4,7"}, ["gpu:0", "gpu:1"]),
    "one that is visible": ({"api": "CUDA", "gpus": ["H100"]}, {"CUDA_VISIBLE_DEVICES": "7"}, ["gpu:0"]),
    "three MIG slices": (
        {"api": "CUDA", "gpus": ["A100 MIG 1g.5gb"]},
        {"CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b,MIG-c"},
        ["gpu:0", "gpu:1", "gpu:2"],
    ),
    "AMD's": ({"api": "ROCm", "gpus": ["MI300X", "MI300X"]}, {"HIP_VISIBLE_DEVICES": "2,3"}, ["gpu:0", "gpu:1"]),
    "Apple's": ({"api": "MPS", "gpus": ["Apple GPU"]}, {}, ["gpu:0"]),
}
pinning = pytest.mark.skipif(not CORES, reason="this system pins no process to a core")


@pinning
@pytest.mark.parametrize(("told", "variables", "expected"), MACHINES.values(), ids=MACHINES)
def test_devices_of_a_machine(monkeypatch, told, variables, expected):
    """Every GPU that is visible, a divided one by its slices; on a CPU every core that this process may use."""
    monkeypatch.setattr(devices, "probed", lambda given: told)
    assert devices.found(variables) == expected


def test_what_cannot_be_asked_for(monkeypatch):
    """A TPU is no GPU that could be chosen; a system that pins no process has no cores to be chosen."""
    monkeypatch.setattr(devices, "probed", lambda given: {"api": "TPU", "gpus": []})
    with pytest.raises(DeviceMissing, match="computes on TPU, which is no GPU; use --device auto"):
        devices.found({})
    monkeypatch.setattr(devices, "probed", lambda given: {"api": None, "gpus": []})
    monkeypatch.setattr(asked, "cores", list)
    with pytest.raises(DeviceMissing, match="this system pins no process to a core; use --device cpu"):
        devices.found({})


def test_a_framework_that_does_not_start(monkeypatch):
    """What it says last is the reason."""
    monkeypatch.setattr(devices, "PROBE", "raise RuntimeError('no driver')")
    with pytest.raises(DeviceMissing, match="the framework does not start: RuntimeError: no driver"):
        devices.found({})


def test_variables_of_a_core():
    """One thread, no GPU, and the processes that are started hear of it."""
    environment = {}
    asked.choose("core:3", environment)
    assert environment == {**asked.HIDDEN, **asked.ONE_THREAD, asked.VARIABLE: "core:3"}
    assert asked.index("core:3") == 3
    for text in ("core", "core:", "core:x", "core:1,2", "each"):
        with pytest.raises(Exception, match="is no device; give auto, cpu, gpu, gpu:N or core:N"):
            asked.device(text)
    assert asked.device_or_each("each") == "each"


@pinning
def test_a_process_is_pinned():
    """All its threads, before the framework is imported, and `stack.require` finds it where it was asked to be."""
    core = CORES[-1]
    lines = [
        "import os, threading, time",
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "from cnnspec.devices import asked",
        f"asked.pin('core:{core}')",
        "print([sorted(os.sched_getaffinity(int(thread))) for thread in os.listdir('/proc/self/task')])",
    ]
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == str([[core]] * 2)


def test_a_process_that_is_not_pinned_fails(monkeypatch):
    """A core that the process may not use is refused; so is a process that runs on others as well."""
    monkeypatch.setattr(asked, "cores", lambda: [0, 1])
    assert stack.misplaced("core:7", None, []) == (
        "this process runs on cores 0, 1, not on that one alone; `taskset -p $$` says which it may use"
    )
    monkeypatch.setattr(asked, "cores", lambda: [7])
    assert stack.misplaced("core:7", None, []) is None
    monkeypatch.setattr(asked, "cores", list)
    assert stack.misplaced("core:7", None, []) == "this system pins no process to a core; use --device cpu"


@pinning
def test_each_pins_nothing_here(monkeypatch):
    """The process that starts the others keeps all its cores and variables."""
    before = asked.cores(), dict(os.environ)
    plugin.grant("each")
    assert (asked.cores(), dict(os.environ)) == before
