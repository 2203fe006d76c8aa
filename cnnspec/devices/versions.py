"""Versions of driver and libraries as they run in this process, not those that the framework was built with.

The libraries are asked themselves: those that the process has loaded, found in the list of its memory (Linux).
"""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
from collections.abc import Callable

LOADED = "/proc/self/maps"
NVIDIA, AMD = "/proc/driver/nvidia/version", "/sys/module/amdgpu/version"


def of(api: str) -> dict[str, str]:
    """{driver, cuda, cudnn, rocm: version} as far as the system tells them, for accelerators of `api`."""
    found: dict[str, str | None] = {}
    if api == "CUDA":
        found = {"driver": nvidia_driver(), "cuda": cuda(), "cudnn": cudnn()}
    elif api == "ROCm":
        found = {"driver": text_of(AMD), "rocm": rocm()}
    elif api in ("Metal", "MPS"):
        found = {"driver": f"macOS {platform.mac_ver()[0]}" if platform.mac_ver()[0] else None}
    return {name: version for name, version in found.items() if version}


def nvidia_driver() -> str | None:
    """Version of NVIDIA's driver, from the kernel, else from nvidia-smi (WSL has no such file)."""
    told = re.search(r"Kernel Module.*?(\d+\.\d+(\.\d+)?)", text_of(NVIDIA) or "")
    if told:
        return told.group(1)
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.split()[0] if ended.returncode == 0 and ended.stdout.split() else None


def cuda() -> str | None:
    """Version of the CUDA runtime that is loaded: 12050 is 12.5."""
    number = asked("libcudart.so", lambda library: by_pointer(library.cudaRuntimeGetVersion))
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def cudnn() -> str | None:
    """Version of cuDNN that is loaded."""
    number = asked("libcudnn.so", lambda library: int(library.cudnnGetVersion()))
    return dotted_cudnn(number) if number else None


def dotted_cudnn(number: int) -> str:
    """cuDNN's version from the number that it gives: 90300 is 9.3.0, and before version 9, 8907 is 8.9.7."""
    major = 10000 if number >= 90000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def rocm() -> str | None:
    """Version of the HIP runtime that is loaded: 60241134 is 6.2.41134."""
    number = asked("libamdhip64.so", lambda library: by_pointer(library.hipRuntimeGetVersion))
    return f"{number // 10**7}.{number % 10**7 // 10**5}.{number % 10**5}" if number else None


def by_pointer(function: Callable[[object], int]) -> int:
    """The whole number that a function of a library writes to its argument; 0 where it reports an error."""
    number = ctypes.c_int()
    return number.value if function(ctypes.byref(number)) == 0 else 0


def asked(stem: str, ask: Callable[[ctypes.CDLL], int]) -> int:
    """The answer of a library that this process has loaded; 0 where it is not loaded, or cannot be asked."""
    path = loaded(stem, text_of(LOADED) or "")
    try:
        return ask(ctypes.CDLL(path)) if path else 0
    except (OSError, AttributeError):
        return 0


def loaded(stem: str, maps: str) -> str | None:
    """Path of the library whose file name begins with `stem`, from the text of a list of a process' memory."""
    found = re.search(rf"(/\S*/{re.escape(stem)}\S*)$", maps, flags=re.MULTILINE)
    return found.group(1) if found else None


def text_of(path: str) -> str | None:
    """The text of a file of the system, without the end of its line; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
