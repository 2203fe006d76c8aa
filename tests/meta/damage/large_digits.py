"""Reads digits of one megabyte that promise much more: prints [name, how it ended, seconds of the processor, MiB] of each.

`python -m tests.meta.damage.large_digits FOLDER`, on Linux.
"""

from __future__ import annotations

import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from cnnspec import digit_files, mnist
from cnnspec.errors import DataError
from tests.meta.damage import digits

SIZE = 10**6  # bytes of each file, at most
FIRST = digit_files.IDX_FILES["x_train"] + ".gz"
IMAGES = mnist.SHAPES["x_train"]


def gzipped(data: bytes, times: int, head: bytes = b"") -> bytes:
    """A beginning and `times` times the same data, in one gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(head) + b"".join(packer.compress(data) for _ in range(times)) + packer.flush()


def full_size() -> list[digits.Member]:
    """Four arrays of MNIST's sizes, of zeros, which pack to 55 KB."""
    return [
        member._replace(entries={**member.entries, "shape": str(shape)}, data=bytes(size_of(shape)), method=8)
        for member, shape in zip(digits.members(), mnist.SHAPES.values(), strict=True)
    ]


def size_of(shape: tuple[int, ...]) -> int:
    """Bytes of an array of this shape."""
    size = 1
    for length in shape:
        size *= length
    return size


def files() -> Iterator[tuple[str, dict[str, bytes]]]:
    """(what it is, the files)."""
    first, *others = full_size()
    huge = first._replace(data=bytes(9 * 10**8))
    yield "npz, zeros of MNIST's size", {"mnist.npz": digits.npz([first, *others])}
    yield "npz, 900 MB of zeros", {"mnist.npz": digits.npz([huge, *others])}
    del huge
    yield "npz, noise", {"mnist.npz": b"PK" + bytes(range(256)) * (SIZE // 256)}
    yield "npz, marks of an archive's end", {"mnist.npz": b"PK\5\6" * (SIZE // 4)}
    yield "npz, a single array", {"mnist.npz": first._replace(data=bytes(SIZE - 200)).npy()}
    yield "npz, one array", {"mnist.npz": digits.npz([first._replace(data=bytes(SIZE - 200), method=0)])}
    yield (
        "npz, thousands of arrays",
        {"mnist.npz": digits.npz([first._replace(name=f"a{n}", data=b"") for n in range(4200)])},
    )
    yield (
        "npz, long names",
        {"mnist.npz": digits.npz([first._replace(name=f"{n}" * 30000, data=b"") for n in range(10, 18)])},
    )
    for name, header in (("open brackets", "[" * 9900), ("minus signs", "-" * 9900 + "1"), ("one number", "9" * 9900)):
        yield f"npz, a header of {name}", {"mnist.npz": digits.npz([first._replace(header=header), *others])}
    sound = digits.idx(compressed=True)
    head = struct.pack(">4B3I", 0, 0, 8, 3, *IMAGES)
    yield "IDX, noise", {**digits.idx(), FIRST[:-3]: head + bytes(range(256)) * (SIZE // 256)}
    yield "gzip, 900 MB of zeros", {**sound, FIRST: gzipped(bytes(10**6), 900, head)}
    yield "gzip, zeros behind a header", {**sound, FIRST: digits.packed(head) + gzipped(bytes(10**6), 900)}
    yield "gzip, thousands of parts", {**sound, FIRST: digits.packed(b"") * (SIZE // 20)}
    yield "gzip, a long name", {**sound, FIRST: b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * SIZE}


def memory(which: str) -> float:
    """MiB of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024


def main(folder: Path) -> None:
    """Read every file, and print what it cost."""
    for name, content in files():
        path = digits.put(folder, content)
        assert sum(map(len, content.values())) <= 1.1 * SIZE, name
        content.clear()
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
        before, began = memory("VmRSS"), time.process_time()
        try:
            mnist.read_mnist(path)
            ended = "read"
        except DataError:
            ended = "refused"
        print(json.dumps((name, ended, time.process_time() - began, memory("VmHWM") - before)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "digits")
