"""An accelerator as a framework tells of it, and what follows from its kind and its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

TF32_FROM = (8, 0)  # NVIDIA's compute capability from which on tensor cores have TF32 (Ampere; CUDA programming guide)
ONE_AT_MOST = ("Metal", "MPS")  # Apple's machines have one GPU, and no variable that hides it
NO_GPU = ("TPU",)


class Accelerator(NamedTuple):
    """A device beside the CPU.

    `place` is the backend's own name of it, as its tensors tell it: GPU:0, cuda:0, gpu:0. `api` is CUDA, ROCm, Metal, MPS,
    XPU, TPU, or the backend's own word for another. `capability` is NVIDIA's compute capability; other makers have none.
    """

    place: str
    api: str
    name: str
    capability: tuple[int, ...] | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether this is a GPU, which --device gpu asks for; a TPU is none."""
        return self.api not in NO_GPU

    @property
    def has_tf32(self) -> bool:
        """Whether the hardware is known to have TF32."""
        return self.api == "CUDA" and self.capability is not None and self.capability >= TF32_FROM

    @property
    def no_tf32(self) -> dict[str, str]:
        """What is said of TF32 where the hardware is not known to have it; of other makers' GPUs nothing is said."""
        if self.api != "CUDA":
            return {}
        return {"tf32": "not known" if self.capability is None else "not in hardware"}

    @property
    def slice(self) -> str:
        """The MIG slice that this is, such as 1g.10gb, which the driver appends to the name; empty for a whole GPU."""
        found = re.search(r"\bMIG (\S+)", self.name)
        return found.group(1) if found else ""


def capability(told: object) -> tuple[int, ...] | None:
    """A compute capability from (9, 0) or "9.0"; None for what is none, such as AMD's gfx942."""
    if isinstance(told, (tuple, list)):
        return tuple(int(part) for part in told)
    found = re.match(r"(\d+)\.(\d+)$", str(told))
    return (int(found.group(1)), int(found.group(2))) if found else None


def listed(devices: Sequence[Accelerator]) -> str:
    """Accelerators in words: `2 × NVIDIA H100 (CUDA), Intel Max (XPU)`."""
    words = [f"{device.name} ({device.api})" for device in devices]
    return ", ".join(f"{words.count(word)} × {word}" if words.count(word) > 1 else word for word in dict.fromkeys(words))
