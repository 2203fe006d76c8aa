"""The processor as the operating system tells it: its name and its widest vector instructions.

Two processors of one name may have other instructions, above all in virtual machines, so seconds do not compare:
an epoch of model2 (the harness, mnist5k) took 0.35 to 0.44 s on an "AMD EPYC" with AVX-512, 1.5 to 1.7 s on one with AVX2.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

CPUINFO = "/proc/cpuinfo"
# A flag there -> what it is called; the widest first.
INSTRUCTIONS = {
    "amx_tile": "AMX",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "sse4_2": "SSE4.2",
    "sve": "SVE",
    "asimd": "NEON",
}


def name() -> str:
    """The processor's name."""
    return next(_values("model name"), "") or platform.processor() or "unknown CPU"


def instructions() -> str | None:
    """The widest vector instructions that the processor has, such as AVX2; None where the system does not tell."""
    flags = set(next(_values("flags", "Features"), "").split())
    return next((said for flag, said in INSTRUCTIONS.items() if flag in flags), None)


def _values(*keys: str) -> Iterator[str]:
    """The values of some keys in CPUINFO, in order; none where there is no such file."""
    try:
        with open(CPUINFO, encoding="utf-8") as lines:
            pairs = [line.partition(":") for line in lines]
    except OSError:
        return
    for key, _, value in pairs:
        if key.strip() in keys:
            yield value.strip()
