"""Files of digits, that are sound: an .npz of four arrays, a folder of four IDX files, gzipped or not.

The digits are made up and few. They are read by `mnist.read_mnist`, which then knows their shapes and digests as MNIST's.
"""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import zipfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from cnnspec import digit_files, mnist

SHAPES = {"x_train": (5, 4, 4), "y_train": (5,), "x_test": (3, 4, 4), "y_test": (3,)}
ARRAYS = {
    name: np.random.RandomState(place).randint(1, 251 if shape[1:] else 10, shape).astype("uint8")
    for place, (name, shape) in enumerate(SHAPES.items())
}
DIGESTS = {name: mnist.sha256(array) for name, array in ARRAYS.items()}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into an emptied folder; the path that the reader is given."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / "mnist.npz" if "mnist.npz" in files else folder


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays at a path, as full MNIST is read. Raises DataError."""
    with mock.patch.object(mnist, "SHAPES", SHAPES), mock.patch.object(mnist, "MNIST_SHA256", DIGESTS):
        return mnist.read_mnist(path)


class Member(NamedTuple):
    """One array in an .npz. `entries` are the values of its header, as Python writes them; `header` stands for all of it."""

    name: str
    entries: dict[str, str]
    data: bytes
    version: int = 1
    header: str | None = None
    longer: int = 0  # bytes that the header's length is too large
    method: int = zipfile.ZIP_STORED

    def npy(self) -> bytes:
        """The bytes of its .npy."""
        text = "{" + ", ".join(f"'{key}': {value}" for key, value in self.entries.items()) + "}"
        header = (text if self.header is None else self.header).encode("latin-1") + b" " * 20 + b"\n"
        length = struct.pack("<H" if self.version == 1 else "<I", max(len(header) + self.longer, 0))
        return b"\x93NUMPY" + bytes([self.version, 0]) + length + header + self.data


def members() -> list[Member]:
    """The four arrays."""
    return [
        Member(name, {"descr": "'|u1'", "fortran_order": "False", "shape": str(array.shape)}, array.tobytes())
        for name, array in ARRAYS.items()
    ]


def npz(arrays: list[Member]) -> bytes:
    """An .npz of some members; of several of one name all are in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member in arrays:
            name = f"{member.name}.npy"
            info = zipfile.ZipInfo(name)
            info.compress_type = member.method
            archive.NameToInfo.pop(name, None)  # else it warns of a second one
            archive.writestr(info, member.npy())
    return out.getvalue()


def idx(compressed: bool = False) -> dict[str, bytes]:
    """The four IDX files."""
    files = {}
    for name, array in ARRAYS.items():
        data = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        files[digit_files.IDX_FILES[name] + ".gz" * compressed] = packed(data) if compressed else data
    return files


def packed(data: bytes) -> bytes:
    """Gzipped, at no time."""
    return gzip.compress(data, mtime=0)
