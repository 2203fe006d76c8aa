"""A stack in words: two lines of what `cnnspec.stack.current()` found. No framework is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What the description of a stack tells of its device, in this order, where it is known; SAID has words for some.
TOLD = (
    *("api", "slice", "capability", "driver", "runtime", "cuda", "cudnn", "rocm"),
    *("onednn", "xla", "tf32", "products", "unused"),
)
SAID = {"api": "by", "slice": "MIG slice", "capability": "compute capability", "xla": "XLA", "unused": "not used:"}


def describe(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Two lines of text about a stack: versions, then hardware and precision."""
    package = f" ({facts['keras_package']})" if "keras_package" in facts else ""
    cores = "1 core" if facts["cores"] == 1 else f"{facts['cores']} cores"
    return (
        f"{facts['framework']}, Keras {facts['keras']}{package}, NumPy {facts['numpy']}, Python {facts['python']} "
        f"on {facts['platform']}",
        f"{facts['device']} ({facts['cpu']}, {cores}, {facts['memory_gib']} GiB), {facts['precision']}{of_device(facts)}",
    )


def of_device(facts: Mapping[str, Any]) -> str:
    """What a stack's description says beside the device's name: api, versions, TF32, and what is there and not used."""
    return "".join(f", {SAID.get(key, key)} {facts[key]}" for key in TOLD if key in facts)
