"""Temperature and clock while a soak runs, as far as the system tells them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

SYSTEM = Path("/")
SENSORS = ("sys/class/thermal/thermal_zone*/temp", "sys/class/hwmon/hwmon*/temp*_input")  # thousandths of a degree
NVIDIA = ("nvidia-smi", "--query-gpu=temperature.gpu,clocks.sm", "--format=csv,noheader,nounits")


def now(system: Path = SYSTEM, gpu: bool = False) -> str:
    """The hottest sensor and the clocks of the cores, and of GPUs; what the system does not tell is named as unknown."""
    told = [temperature(system), clock(system)]
    if gpu:
        told += gpus()
    return ", ".join(told)


def temperature(system: Path = SYSTEM) -> str:
    """The hottest sensor."""
    found = [degrees for pattern in SENSORS for path in system.glob(pattern) if (degrees := celsius(path)) is not None]
    return f"{max(found):.0f} °C" if found else "temperature unknown"


def celsius(path: Path) -> float | None:
    """The reading of a sensor; None for one that cannot be read or is not connected, as a virtual machine has them."""
    try:
        degrees = int(path.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None
    return degrees if 0 < degrees < 150 else None


def clock(system: Path = SYSTEM) -> str:
    """The lowest and the highest clock of the cores."""
    try:
        text = (system / "proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    if not found:
        return "clock unknown"
    return f"{min(found):.0f} to {max(found):.0f} MHz" if round(min(found)) != round(max(found)) else f"{found[0]:.0f} MHz"


def gpus() -> list[str]:
    """Temperature and clock of each GPU, by nvidia-smi; empty where it does not answer."""
    if not shutil.which(NVIDIA[0]):
        return []
    try:
        ended = subprocess.run(NVIDIA, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [line.split(",") for line in ended.stdout.splitlines() if line.count(",") == 1]
    return [f"GPU {place}: {row[0].strip()} °C, {row[1].strip()} MHz" for place, row in enumerate(rows)]
