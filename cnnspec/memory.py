"""Memory that a process keeps for its next step, rather than handing it back to the system.

The C library of most Linux systems (glibc) hands every large block back when it is freed, and asks for a new one, whose
pages the system fills with zeros one by one. A training step frees and takes hundreds of megabytes. On 2 cores of an AMD
EPYC in a virtual machine, the trainings of model3 in a default run took 64 processor seconds with the library's default and
39 with memory kept, the whole run 549 and 452 (`pytest -n 2`, TensorFlow 2.21.0, one run each).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping

# Of mallopt(3), as in glibc's malloc.h: no block is a mapping of its own, and 1 GiB that is free at the heap's end stays.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**30}


def keep(environment: Mapping[str, str] = os.environ) -> bool:
    """Keep freed memory in this process from now on; returns whether it is so. Call it before the framework is imported.

    Nothing is done where it is not `possible`.
    """
    mallopt = _mallopt(environment)
    return mallopt is not None and all([mallopt(parameter, value) for parameter, value in KEPT.items()])


def possible(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether memory can be kept: not where the C library has no such settings, or the user's are in the environment."""
    return _mallopt(environment) is not None


def _mallopt(environment: Mapping[str, str]) -> Callable[[int, int], int] | None:
    """glibc's function; None elsewhere, and where the user has settings of malloc, in MALLOC_… or GLIBC_TUNABLES."""
    own = [name for name in environment if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]
    if own or not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
