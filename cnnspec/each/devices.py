"""Which devices `--device each` stands for: every GPU that Keras could use or, where it uses the CPU, every core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from cnnspec.devices import asked
from cnnspec.errors import DeviceMissing
from cnnspec.facts.reading import PROJECT
from cnnspec.verify import environment

PROBE = """
import json, sys
told = sys.stdout
sys.stdout = sys.stderr
from cnnspec import stack
used = stack.used()
print(json.dumps({"api": used and used.api, "gpus": stack.gpus()}), file=told)
"""


def found(variables: Mapping[str, str] = os.environ) -> list[str]:
    """The devices, as --device names them: gpu:0, gpu:1, … or core:0, core:1, … Raises DeviceMissing.

    The framework is asked in a process of its own, so that this one stays without it. GPUs of NVIDIA are those of
    CUDA_VISIBLE_DEVICES or nvidia-smi, a divided one by its MIG slices, of which CUDA shows a process one only. Of others
    the framework tells how many it sees, and HIP_VISIBLE_DEVICES and ZE_AFFINITY_MASK have been obeyed.
    """
    told = probed(variables)
    if told["api"] is None:
        return [f"core:{core}" for core in pinnable()]
    if not told["gpus"]:
        raise DeviceMissing(f"--device each: Keras computes on {told['api']}, which is no GPU; use --device auto")
    listed = asked.visible_gpus(variables) if told["api"] == "CUDA" else []
    return [f"gpu:{place}" for place in range(max(len(listed), len(told["gpus"])))]


def pinnable() -> list[int]:
    """The cores to which a process can be pinned. Raises DeviceMissing where there are none."""
    cores = asked.cores()
    if not cores:
        raise DeviceMissing("--device each: this system pins no process to a core; use --device cpu")
    return cores


def probed(variables: Mapping[str, str]) -> dict[str, Any]:
    """{api of the accelerator that Keras uses, or None; gpus: names of the GPUs of that kind}. Raises DeviceMissing."""
    command = [sys.executable, "-B", "-c", PROBE]
    ended = subprocess.run(command, env=importing(variables), capture_output=True, text=True)
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        raise DeviceMissing(f"--device each: the framework does not start: {lines[-1] if lines else 'it said nothing'}")
    return dict(json.loads(ended.stdout))


def importing(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables of a process that can import the package and the suite, wherever it starts."""
    given = environment(variables)
    given["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *filter(None, [given.get("PYTHONPATH")])])
    return given
