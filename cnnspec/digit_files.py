"""The containers that full MNIST comes in: an .npz of Keras' layout, or a folder of four IDX files.

A file is not trusted: what its headers promise is compared with MNIST's sizes before anything is unpacked, and no more bytes
are read than an array of MNIST has. Pickles are never loaded.
"""

from __future__ import annotations

import ast
import gzip
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from cnnspec.errors import DataError

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
ORIGINAL = "name Keras' mnist.npz, or a folder of the four original IDX files"
LONGEST_HEADER = 10_000  # bytes of an .npy's header, NumPy's own limit
VERSIONS = (1, 2, 3)  # of an .npy
MOST_AXES, LARGEST = 64, 2**63 - 1  # of an array of NumPy
LONGEST = 200  # characters of a message that come from a file
ZIP, NPY = b"PK", b"\x93NUMPY"
NOT_UNPACKED = (OSError, EOFError, zlib.error)  # what Python raises for a packed file that is not whole
NOT_WHOLE = (*NOT_UNPACKED, zipfile.BadZipFile, struct.error, ValueError, OverflowError)  # and for an .npz
PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # how NumPy writes the members of an .npz


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The uint8 arrays of an .npz or of a folder of IDX files, each with its shape in `shapes`. Raises DataError."""
    if path.is_dir():
        return read_idx_folder(path, shapes)
    if not path.is_file():
        raise DataError(f"{path} is no file; {ORIGINAL}")
    return read_npz(path, shapes)


def check(source: object, name: str, dtype: object, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise DataError unless the array `name` of a source has MNIST's dtype and shape."""
    if dtype != np.uint8:
        raise DataError(f"{source}: {name} has dtype {brief(dtype)}, MNIST's is uint8; {ORIGINAL}")
    if shape != expected:
        raise DataError(f"{source}: {name} has shape {brief(shape)}, MNIST's is {expected}; {ORIGINAL}")


def read_npz(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The arrays of an .npz. Raises DataError."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(NPY))
            if not begin:
                raise EOFError("it is empty")
            if begin[: len(ZIP)] != ZIP:
                refused(path, "it is a single array" if begin == NPY else f"it begins with {begin!r}")
            with zipfile.ZipFile(file) as archive:
                members = set(archive.namelist())
                missing = sorted(name for name in shapes if f"{name}.npy" not in members)
                if missing:
                    raise DataError(
                        f"{path} lacks {', '.join(missing)}; name an .npz that holds {', '.join(shapes)}, as Keras' does"
                    )
                return {name: read_member(path, archive, name, shape) for name, shape in shapes.items()}
    except NOT_WHOLE as error:
        damaged(path, error)
    except RuntimeError as error:  # also NotImplementedError: a feature of zip that Python lacks, or a password
        refused(path, brief(error))


def read_member(path: Path, archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One array of an .npz. Raises DataError, and what zipfile raises for a damaged archive."""
    info = archive.getinfo(f"{name}.npy")
    if info.flag_bits & 1:
        refused(path, f"{name} is encrypted")
    if info.compress_type not in PLAIN:
        refused(path, f"{name} is compressed by method {info.compress_type}, NumPy uses 0 and 8")
    with archive.open(info) as member:
        dtype, found, by_columns = npy_header(path, name, member)
        check(path, name, dtype, found, shape)
        size = int(np.prod(shape))
        data = member.read(size + 1)
    if len(data) != size:
        damaged(path, EOFError(f"{name} holds {'more' if len(data) > size else 'fewer'} bytes than its shape {found} needs"))
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C")


def npy_header(path: Path, name: str, member: IO[bytes]) -> tuple[np.dtype, tuple[int, ...], bool]:
    """(dtype, shape, whether it is stored by columns) from the header of an .npy. Raises DataError."""
    begin = member.read(8)
    if begin[:6] != NPY or len(begin) < 8:
        refused(path, f"{name} has no header of an array, it begins with {begin!r}")
    if begin[6] not in VERSIONS:
        refused(path, f"{name} has version {begin[6]} of the header of an array, NumPy writes 1 to 3")
    form = "<H" if begin[6] == 1 else "<I"
    (length,) = struct.unpack(form, member.read(struct.calcsize(form)))
    if length > LONGEST_HEADER:
        refused(path, f"the header of {name} has {length} bytes, NumPy's at most {LONGEST_HEADER}")
    text = member.read(length).decode("latin-1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an outdated name of a type, of a number that runs into a word
            header = ast.literal_eval(text.strip())
            dtype, shape, by_columns = np.dtype(header["descr"]), header["shape"], header["fortran_order"]
        fits = isinstance(shape, tuple) and len(shape) <= MOST_AXES
        fits = fits and all(type(size) is int and 0 <= size <= LARGEST for size in shape)
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError, Warning) as error:
        refused(path, f"the header of {name} cannot be read: {text[:60]!r}", error)
    if not fits or not isinstance(by_columns, bool):
        refused(path, f"the header of {name} is not that of an array: {text[:60]!r}")
    if dtype.hasobject:
        refused(path, f"{name} holds Python objects")
    return dtype, shape, by_columns


def refused(path: Path, why: str, error: Exception | None = None) -> NoReturn:
    """Raise DataError for a file that is whole, and is no .npz of plain arrays."""
    raise DataError(
        f"{path} is not an .npz of plain arrays ({why}); name Keras' mnist.npz: pickles are never loaded"
    ) from error


def damaged(path: Path, error: Exception) -> NoReturn:
    """Raise DataError for a file that is not whole."""
    raise DataError(f"{path} is truncated or damaged ({brief(error)}); download it again") from error


def brief(found: object) -> str:
    """What a file holds, or an error that quotes it, as one short line of a message."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(found))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def read_idx_folder(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The arrays of a folder of the four IDX files, gzipped or not. Raises DataError."""
    arrays = {}
    for name, file in IDX_FILES.items():
        candidates = [folder / file, folder / (file + ".gz")]
        found = [candidate for candidate in candidates if candidate.is_file()]
        if not found:
            raise DataError(f"{folder} holds neither {candidates[0].name} nor {candidates[1].name}; {ORIGINAL}")
        arrays[name] = read_idx(found[0], name, shapes[name])
    for name, array in arrays.items():
        check(folder, name, array.dtype, array.shape, shapes[name])
    return arrays


def read_idx(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One IDX file: two zero bytes, 8 for uint8, the number of axes, each length as a big-endian uint32, the data."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(str(path), "rb") as file:
            begin = file.read(4)
            if len(begin) < 4 or begin[:3] != b"\x00\x00\x08":
                raise DataError(f"{path} is not an IDX file of bytes: it begins with {begin!r}; {ORIGINAL}")
            axes = begin[3]
            if axes != len(shape):
                raise DataError(f"{path} has {axes} axes, MNIST's {name} has {len(shape)}; {ORIGINAL}")
            header = file.read(4 * axes)
            if len(header) < 4 * axes:
                raise DataError(f"{path} is truncated inside its header; download it again")
            found = struct.unpack(f">{axes}I", header)
            size, most = 1, int(np.prod(shape))
            for length in found:
                size *= length  # without NumPy, whose integers overflow
            if size > most:
                check(path, name, np.dtype("uint8"), found, shape)
            data = file.read(size + 1)
    except NOT_UNPACKED as error:
        damaged(path, error)
    if len(data) != size:
        holds = f"more than {size}" if len(data) > size else str(len(data))
        raise DataError(f"{path} holds {holds} bytes of data where its header promises {found}; download it again")
    return np.frombuffer(data, np.uint8).reshape(found)
