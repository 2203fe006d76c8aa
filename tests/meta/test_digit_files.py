"""Does the reader of MNIST's containers read no more than MNIST has, and refuse every other file in one clear error?"""

import gzip
import io
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from cnnspec import digit_files
from cnnspec.errors import DataError

SHAPES = {"x_train": (3, 4, 4), "y_train": (3,), "x_test": (2, 4, 4), "y_test": (2,)}
ARRAYS = {name: np.arange(np.prod(shape)).reshape(shape).astype("uint8") for name, shape in SHAPES.items()}


def npy(array, **changed):
    """The bytes of an .npy; `changed` are other entries of its header, as Python writes them."""
    entries = {"descr": "'|u1'", "fortran_order": "False", "shape": str(array.shape), **changed}
    header = ("{" + ", ".join(f"'{key}': {value}" for key, value in entries.items()) + "}").encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + array.tobytes()


def npz(folder, x_train=None, method=zipfile.ZIP_DEFLATED):
    """An .npz of ARRAYS; `x_train` are other bytes of that member, `method` is how it is compressed."""
    with zipfile.ZipFile(folder / "mnist.npz", "w") as archive:
        for name, array in ARRAYS.items():
            content = npy(array) if x_train is None or name != "x_train" else x_train
            archive.writestr(f"{name}.npy", content, method if name == "x_train" else zipfile.ZIP_STORED)
    return folder / "mnist.npz"


def with_flag(folder):
    """An .npz whose first member says that it is encrypted, in both of zip's headers."""
    path = npz(folder)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    return path


def renamed(folder):
    """An .npz whose first array has, in its own header, a name of 600 characters."""
    path = npz(folder)
    content = bytearray(path.read_bytes())
    content[26:28] = struct.pack("<H", 600)
    path.write_bytes(content)
    return path


def idx(folder, x_train=None, axes=None, suffix=""):
    """A folder of IDX files; `x_train` are other bytes of that file's data, `axes` other lengths in its header."""
    for name, array in ARRAYS.items():
        lengths = axes if axes is not None and name == "x_train" else array.shape
        data = array.tobytes() if x_train is None or name != "x_train" else x_train
        content = struct.pack(f">4B{len(lengths)}I", 0, 0, 8, len(lengths), *lengths) + data
        path = folder / (digit_files.IDX_FILES[name] + suffix)
        path.write_bytes(gzip.compress(content) if suffix else content)
    return folder


def other(**changed):
    """Makes an .npz whose first array has another header."""
    return lambda folder: npz(folder, npy(ARRAYS["x_train"], **changed))


ZEROS = np.zeros(48, "uint8")
BAD = {
    "encrypted": (with_flag, "mnist.npz is not an .npz of plain arrays (x_train is encrypted); name Keras' mnist.npz"),
    "bzip2": (
        lambda folder: npz(folder, method=zipfile.ZIP_BZIP2),
        "(x_train is compressed by method 12, NumPy uses 0 and 8)",
    ),
    "LZMA": (
        lambda folder: npz(folder, method=zipfile.ZIP_LZMA),
        "(x_train is compressed by method 14, NumPy uses 0 and 8)",
    ),
    "no header": (lambda folder: npz(folder, b"x" * 99), "(x_train has no header of an array, it begins with b'xxxxxxxx')"),
    "an empty member": (lambda folder: npz(folder, b""), "(x_train has no header of an array, it begins with b'')"),
    "half a header": (lambda folder: npz(folder, npy(ZEROS)[:40]), "(the header of x_train cannot be read: "),
    "a header of 4 GiB": (
        lambda folder: npz(folder, b"\x93NUMPY\x02\x00" + b"\xff" * 4),
        "(the header of x_train has 4294967295 bytes, NumPy's at most 10000)",
    ),
    "code in the header": (other(shape="(print(1),)"), "(the header of x_train cannot be read: "),
    "an unknown dtype": (other(descr="'|x9'"), "(the header of x_train cannot be read: "),
    "a negative length": (other(shape="(-3, 4, 4)"), "(the header of x_train is not that of an array: "),
    "a length that is no number": (other(shape="(3, 4, True)"), "(the header of x_train is not that of an array: "),
    "objects": (other(descr="'|O'"), "(x_train holds Python objects); name Keras' mnist.npz: pickles are never loaded"),
    "gigabytes promised": (other(shape="(60000000, 28, 28)"), "x_train has shape (60000000, 28, 28), MNIST's is (3, 4, 4)"),
    "an axis of 2^64": (other(shape="(18446744073709551616,)"), "(the header of x_train is not that of an array: "),
    "a hundred axes": (other(shape=f"({'1, ' * 100})"), "(the header of x_train is not that of an array: "),
    "a hundred fields": (other(descr=repr("u1," * 100)), "…, MNIST's is uint8; name Keras' mnist.npz"),
    "version 4": (
        lambda folder: npz(folder, b"\x93NUMPY\x04\x00" + npy(ARRAYS["x_train"])[8:]),
        "(x_train has version 4 of the header of an array, NumPy writes 1 to 3); name Keras' mnist.npz",
    ),
    "an array of another name": (renamed, "npz is truncated or damaged (File name in directory 'x_train.npy' and header b"),
    "more than the shape": (lambda folder: npz(folder, npy(ARRAYS["x_train"]) + b"x"), "(x_train holds more bytes than its"),
    "less than the shape": (lambda folder: npz(folder, npy(ARRAYS["x_train"])[:-1]), "(x_train holds fewer bytes than its"),
    "IDX of 100 axes": (
        lambda folder: idx(folder, axes=[2] * 100),
        "ubyte has 100 axes, MNIST's x_train has 3; name Keras'",
    ),
    "IDX that overflows": (
        lambda folder: idx(folder, axes=[2**32 - 1] * 3),
        "x_train has shape (4294967295, 4294967295, 4294967295), MNIST's is (3, 4, 4)",
    ),
    "IDX that overflows to its size": (
        lambda folder: idx(folder, b"", axes=[2**32 - 2**31, 2**31, 4]),
        "x_train has shape (2147483648, 2147483648, 4), MNIST's is (3, 4, 4)",
    ),
    "IDX too long": (lambda folder: idx(folder, b"x" * 49), "holds more than 48 bytes of data where its header promises"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_clear_error(tmp_path, make, message):
    """The message names the file and what is wrong, and ends with what to do."""
    with pytest.raises(DataError) as error:
        digit_files.read(make(tmp_path), SHAPES)
    assert str(error.value).startswith(str(tmp_path))
    assert message in str(error.value)
    assert len(str(error.value)) < len(str(tmp_path)) + 400
    assert str(error.value).isprintable()
    assert any(remedy in str(error.value) for remedy in ("; name Keras' mnist.npz", "; download it again"))


@pytest.mark.parametrize("descr", [r"'|\d'", "1if 1 else 2"], ids=["an escape", "a number in a word"])
def test_the_error_is_all_that_is_told(tmp_path, descr):
    """A header of which Python would warn is refused, and Python's own line is not printed beside the error."""
    path = npz(tmp_path, npy(ARRAYS["x_train"], descr=descr))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match="the header of x_train cannot be read"):
            digit_files.read(path, SHAPES)
    assert told == []


def test_what_is_no_file_is_refused():
    """A device has no end."""
    with pytest.raises(DataError, match="/dev/zero is no file; name Keras' mnist"):
        digit_files.read(digit_files.Path("/dev/zero"), SHAPES)


LARGE = {
    "npz": lambda folder: npz(folder, npy(ARRAYS["x_train"]) + bytes(2**26)),
    "npz, shape": lambda folder: npz(folder, npy(np.zeros(2**26, "uint8"))),
    "npz, header": lambda folder: npz(folder, b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**26) + bytes(2**26)),
    "IDX": lambda folder: idx(folder, bytes(2**26)),
    "IDX, gzipped": lambda folder: idx(folder, bytes(2**26), suffix=".gz"),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_no_more_is_unpacked_than_mnist_has(tmp_path, make):
    """64 MiB, of 64 KiB packed, are refused within 1 MiB of memory."""
    path = make(tmp_path)
    tracemalloc.start()
    with pytest.raises(DataError):
        digit_files.read(path, SHAPES)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_read(tmp_path, save, order):
    """Packed or not, by rows or by columns."""
    save(tmp_path / "a.npz", **{name: np.asarray(array, order=order) for name, array in ARRAYS.items()}, more=np.zeros(3))
    found = digit_files.read(tmp_path / "a.npz", SHAPES)
    assert list(found) == list(SHAPES)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_any_damage_ends_in_one_error_or_in_arrays(tmp_path):
    """Every byte of a packed .npz and of a gzipped IDX changed, and every length: nothing else than DataError is raised."""
    generator = np.random.RandomState(0)
    members = io.BytesIO()
    np.savez_compressed(members, **ARRAYS)
    idx(tmp_path, suffix=".gz")
    single = tmp_path / "train-images-idx3-ubyte.gz"
    messages = []
    for path, content in ((tmp_path / "a.npz", members.getvalue()), (single, single.read_bytes())):
        where = path if path.suffix == ".npz" else tmp_path
        for place in range(len(content)):
            changed = bytes([content[place] ^ generator.randint(1, 256)])
            for spoiled in (content[:place] + changed + content[place + 1 :], content[:place]):
                path.write_bytes(spoiled)
                try:
                    digit_files.read(where, SHAPES)
                except DataError as error:
                    messages.append(str(error))
    assert len(messages) > 1000
    assert all(message.startswith(str(tmp_path)) for message in messages)
