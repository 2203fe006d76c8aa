"""Does the reader of MNIST's containers read to the last value that it allows, and quote what it refuses?"""

import gzip
import struct
import zipfile
import zlib

import numpy as np
import pytest

from cnnspec import digit_files
from cnnspec.errors import DataError
from tests.meta.test_digit_files import ARRAYS, SHAPES, idx, npy, npz

FIRST, LAST = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
IMAGES = ARRAYS["x_train"]


def refusal(path):
    """The message with which a path is refused, without the folder."""
    folder = path if path.is_dir() else path.parent
    with pytest.raises(DataError) as error:
        digit_files.read(path, SHAPES)
    return str(error.value).replace(f"{folder}/", "").replace(str(folder), "the folder")


def with_version(major, length, header=None):
    """The bytes of an .npy with another version of its header, whose length is packed by `length`."""
    begin, text = npy(IMAGES)[:6], npy(IMAGES)[10:128]
    text = header or text
    return begin + bytes([major, 0]) + struct.pack(length, len(text)) + text + IMAGES.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        with_version(1, "<H"),
        with_version(2, "<I"),
        with_version(3, "<I"),
        with_version(1, "<H", npy(IMAGES)[10:128].ljust(10_000)),
    ],
    ids=["version 1", "version 2", "version 3", "10,000 bytes"],
)
def test_headers_that_are_read(tmp_path, content):
    """Three versions, and one of the largest size."""
    np.testing.assert_array_equal(digit_files.read(npz(tmp_path, content), SHAPES)["x_train"], IMAGES)


def not_plain(why):
    """The refusal of an .npz for a reason."""
    return f"mnist.npz is not an .npz of plain arrays ({why}); name Keras' mnist.npz: pickles are never loaded"


def other_shape(shape):
    """The refusal of another shape of the first array."""
    return f"mnist.npz: x_train has shape {digit_files.brief(shape)}, MNIST's is (3, 4, 4); {digit_files.ORIGINAL}"


def of_no_array(**changed):
    """The refusal of a header with other entries; its first 60 characters are quoted."""
    return not_plain(f"the header of x_train is not that of an array: {npy(IMAGES, **changed)[10:70].decode()!r}")


def unreadable(**changed):
    """The same of a header that Python cannot read."""
    return not_plain(f"the header of x_train cannot be read: {npy(IMAGES, **changed)[10:70].decode()!r}")


HEADERS = {  # what is changed -> the message
    "no tuple": ({"shape": "[3, 4, 4]"}, of_no_array),
    "a length of -1": ({"shape": "(-1,)"}, of_no_array),
    "a length of 0": ({"shape": "(0, 4, 4)"}, other_shape),
    "the largest length": ({"shape": f"({2**63 - 1},)"}, other_shape),
    "a larger one": ({"shape": f"({2**63},)"}, of_no_array),
    "64 axes": ({"shape": str((1,) * 64)}, other_shape),
    "65 axes": ({"shape": str((1,) * 65)}, of_no_array),
    "an order that is no flag": ({"fortran_order": "1"}, of_no_array),
    "code": ({"shape": "(print(1),)"}, unreadable),
}


@pytest.mark.parametrize(("changed", "words"), HEADERS.values(), ids=HEADERS)
def test_entries_of_a_header(tmp_path, changed, words):
    """What NumPy could read is compared with MNIST; of anything else 60 characters are quoted."""
    assert refusal(npz(tmp_path, npy(IMAGES, **changed))) == words(**changed)


@pytest.mark.parametrize(
    "kind", [ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError, DeprecationWarning]
)
def test_a_header_that_python_cannot_read(tmp_path, monkeypatch, kind):
    """Whatever Python raises for it."""

    def raising(text):
        raise kind("no")

    monkeypatch.setattr(digit_files.ast, "literal_eval", raising)
    assert refusal(npz(tmp_path)) == unreadable()


MEMBERS = {
    "seven bytes": (b"\x93NUMPY\x01", "x_train has no header of an array, it begins with b'\\x93NUMPY\\x01'"),
    "nearly a header": (
        b"\x93NUMPX\x01\x00" + bytes(20),
        "x_train has no header of an array, it begins with b'\\x93NUMPX\\x01\\x00'",
    ),
    "version 0": (with_version(0, "<H"), "x_train has version 0 of the header of an array, NumPy writes 1 to 3"),
    "a header of 10,001 bytes": (
        with_version(1, "<H", b" " * 10_001),
        "the header of x_train has 10001 bytes, NumPy's at most 10000",
    ),
}


@pytest.mark.parametrize(("content", "why"), MEMBERS.values(), ids=MEMBERS)
def test_a_member_that_is_no_array(tmp_path, content, why):
    """Its first eight bytes are quoted."""
    assert refusal(npz(tmp_path, content)) == not_plain(why)


DAMAGED = (OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, ValueError, OverflowError)


@pytest.mark.parametrize("kind", [*DAMAGED, NotImplementedError, RuntimeError], ids=str)
def test_an_archive_that_python_cannot_open(tmp_path, monkeypatch, kind):
    """What is damaged is downloaded again; a feature that Python lacks is not that of a plain file."""

    def raising(*arguments):
        raise kind("no")

    path = npz(tmp_path)
    monkeypatch.setattr(digit_files.zipfile, "ZipFile", raising)
    damaged = "mnist.npz is truncated or damaged (no); download it again"
    assert refusal(path) == (damaged if kind in DAMAGED else not_plain("no"))


NO_ARCHIVE = {
    "empty": (b"", "mnist.npz is truncated or damaged (it is empty); download it again"),
    "a single array": (npy(IMAGES), not_plain("it is a single array")),
    "a pickle": (b"\x80\x04abcdefgh", not_plain("it begins with b'\\x80\\x04abcd'")),
    "cut": (b"PK\x03\x04", "mnist.npz is truncated or damaged (File is not a zip file); download it again"),
}


@pytest.mark.parametrize(("content", "words"), NO_ARCHIVE.values(), ids=NO_ARCHIVE)
def test_a_file_that_is_no_archive(tmp_path, content, words):
    """Told from one that is damaged by its first bytes."""
    (tmp_path / "mnist.npz").write_bytes(content)
    assert refusal(tmp_path / "mnist.npz") == words


def test_arrays_that_are_missing_are_named(tmp_path):
    """With all that are due."""
    np.savez(tmp_path / "a.npz", x_train=IMAGES)
    assert refusal(tmp_path / "a.npz") == (
        "a.npz lacks x_test, y_test, y_train; name an .npz that holds x_train, y_train, x_test, y_test, as Keras' does"
    )


def test_another_dtype_is_refused(tmp_path):
    """Before its shape is looked at."""
    path = npz(tmp_path, npy(np.zeros((1, 2)), descr="'<f8'"))
    assert refusal(path) == f"mnist.npz: x_train has dtype float64, MNIST's is uint8; {digit_files.ORIGINAL}"


IDX = {  # content of the first file -> the whole message
    "three bytes": (
        b"\x00\x00\x08",
        f"{FIRST} is not an IDX file of bytes: it begins with b'\\x00\\x00\\x08'; {digit_files.ORIGINAL}",
    ),
    "integers": (
        b"\x00\x00\x0c\x03",
        f"{FIRST} is not an IDX file of bytes: it begins with b'\\x00\\x00\\x0c\\x03'; {digit_files.ORIGINAL}",
    ),
    "two axes": (b"\x00\x00\x08\x02", f"{FIRST} has 2 axes, MNIST's x_train has 3; {digit_files.ORIGINAL}"),
    "half a header": (b"\x00\x00\x08\x03" + bytes(11), f"{FIRST} is truncated inside its header; download it again"),
}


@pytest.mark.parametrize(("content", "words"), IDX.values(), ids=IDX)
def test_the_header_of_an_idx_file(tmp_path, content, words):
    """Two zero bytes, the kind, the number of axes, and their lengths."""
    (idx(tmp_path) / FIRST).write_bytes(content)
    assert refusal(tmp_path) == words


LENGTHS = {  # lengths in the header, bytes of data -> message
    "fewer images": (
        [2, 4, 4],
        bytes(32),
        f"the folder: x_train has shape (2, 4, 4), MNIST's is (3, 4, 4); {digit_files.ORIGINAL}",
    ),
    "turned": (
        [4, 4, 3],
        bytes(48),
        f"the folder: x_train has shape (4, 4, 3), MNIST's is (3, 4, 4); {digit_files.ORIGINAL}",
    ),
    "turned and cut": (
        [4, 4, 3],
        bytes(5),
        f"{FIRST} holds 5 bytes of data where its header promises (4, 4, 3); download it again",
    ),
    "cut": ([3, 4, 4], bytes(47), f"{FIRST} holds 47 bytes of data where its header promises (3, 4, 4); download it again"),
    "a byte more": (
        [3, 4, 4],
        bytes(49),
        f"{FIRST} holds more than 48 bytes of data where its header promises (3, 4, 4); download it again",
    ),
}


@pytest.mark.parametrize(("axes", "data", "words"), LENGTHS.values(), ids=LENGTHS)
def test_the_shape_of_an_idx_file(tmp_path, axes, data, words):
    """That of its header, which the data fills, and MNIST's."""
    assert refusal(idx(tmp_path, data, axes)) == words


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_folder_is_read(tmp_path, suffix):
    """Where a file is there packed and unpacked, the unpacked one."""
    idx(tmp_path, suffix=suffix)
    if not suffix:
        (tmp_path / f"{FIRST}.gz").write_bytes(b"no gzip")
    for name, array in digit_files.read(tmp_path, SHAPES).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_a_folder_without_a_file_is_refused(tmp_path):
    """Both names that it could have are told."""
    (idx(tmp_path) / LAST).unlink()
    assert refusal(tmp_path) == f"the folder holds neither {LAST} nor {LAST}.gz; {digit_files.ORIGINAL}"


@pytest.mark.parametrize("kind", [OSError, EOFError, zlib.error])
def test_a_packed_file_that_cannot_be_unpacked(tmp_path, monkeypatch, kind):
    """Whatever Python raises for it."""

    def raising(*arguments):
        raise kind("no")

    idx(tmp_path, suffix=".gz")
    monkeypatch.setattr(gzip, "open", raising)
    assert refusal(tmp_path) == f"{FIRST}.gz is truncated or damaged (no); download it again"


@pytest.mark.parametrize(
    ("found", "words"),
    [("a\nb", "a\\nb"), ("x" * 200, "x" * 200), ("x" * 201, "x" * 200 + "…")],
    ids=["a line end", "200 characters", "201 characters"],
)
def test_what_a_file_holds_in_a_message(found, words):
    """On one line, and no more than 200 characters of it."""
    assert digit_files.brief(found) == words
