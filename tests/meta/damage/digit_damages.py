"""What can happen to files of digits: to an array, to the zip around the arrays, to an IDX file or to its gzip."""

from __future__ import annotations

import gzip
import struct
import zipfile
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.meta.damage.damages import EITHER, EQUAL, REFUSED
from tests.meta.damage.digits import SHAPES, idx, members, npz, packed

SAME_TYPE = ("'u1'", "'<u1'", "'uint8'", "'B'", "b'u1'")  # other names of '|u1'
OTHER_TYPES = (
    *("'|i1'", "'<u2'", "'|O'", "'|V1'", "'|S1'", "'a1'", "'?'", "'m8'", "'|u1 '", "''", "None", "5", "'(2,)u1'"),
    *(
        "[('a', '|u1')]",
        "{'names': ['a'], 'formats': ['O']}",
        f"'{'u1,' * 2000}'",
        f"'{'x' * 5000}'",
        "'\\d'",
        "'|V9999999999'",
    ),
)
OTHER_SHAPES = (
    *("()", "(4,)", "[5, 4, 4]", "5", "None", "(4, 5, 4)", "(80,)", "(5, 4, 4, 1)", "(-5, -4, 4)", "(5.0, 4, 4)", "(True,)"),
    *(f"({'1, ' * 3000})", f"(0x{'f' * 9000},)", f"({'9' * 9000},)", "(1,)" * 9, "(0, 4, 4)", "'(5, 4, 4)'"),
)
OTHER_HEADERS = (
    "",
    "{}",
    "[]",
    "()",
    "None",
    "'descr'",
    "{1: 2}",
    "[" * 5000,
    "0x",
    "1if",
    "print(1)",
    "\0",
    "{'descr'",
    "\xff",
)
METHODS = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class Damage(NamedTuple):
    """What was done, {name of a file: its bytes}, and what the reader must do. A single file is an .npz."""

    what: str
    files: dict[str, bytes]
    fate: str


@st.composite
def of_npz(draw: Any) -> Damage:
    """A damage of an .npz: of one array in it, of the list of arrays, or of the archive."""
    way = draw(st.sampled_from(("array", "array", "array", "list", "archive", "archive")))
    what, data, fate = draw({"array": of_array(), "list": of_list(), "archive": of_archive()}[way])
    return Damage(what, {"mnist.npz": data}, fate)


@st.composite
def of_array(draw: Any) -> tuple[str, bytes, str]:
    """A damage of one member's header or data."""
    arrays = members()
    place = draw(st.integers(0, 3))
    member = arrays[place]
    entry = draw(st.sampled_from(sorted(member.entries)))
    ways = ("type", "same type", "shape", "order", "header", "length", "version", "entry lost", "entry more", "data")
    what, fate = draw(st.sampled_from((*ways, "method", "deflated"))), REFUSED
    changed: dict[str, Any] = {}
    if what == "type":
        changed["entries"] = {**member.entries, "descr": draw(st.sampled_from(OTHER_TYPES))}
    elif what == "same type":
        changed["entries"], fate = {**member.entries, "descr": draw(st.sampled_from(SAME_TYPE))}, EQUAL
    elif what == "shape":
        other = draw(st.sampled_from([each for each in OTHER_SHAPES if each != str(SHAPES[member.name])]))
        changed["entries"] = {**member.entries, "shape": other}
    elif what == "order":
        other = draw(st.sampled_from(("True", "None", "0", "'False'", "[]")))
        changed["entries"] = {**member.entries, "fortran_order": other}
        fate = EQUAL if other == "True" and member.name[0] == "y" else REFUSED  # labels have one axis
    elif what == "header":
        changed["header"] = draw(st.sampled_from(OTHER_HEADERS) | st.text(st.characters(max_codepoint=255), max_size=50))
    elif what == "length":
        changed["longer"] = draw(st.sampled_from((-200, -21, -1, 1, 3, 2000, 9000)))
    elif what == "version":
        changed["version"] = draw(st.sampled_from((0, 2, 3, 4, 255)))
        fate = EQUAL if changed["version"] in (2, 3) else REFUSED
    elif what == "entry lost":
        changed["entries"] = {key: value for key, value in member.entries.items() if key != entry}
    elif what == "entry more":
        changed["entries"] = {**member.entries, draw(st.text("abc'\\{}\n", max_size=5)): "1"}
        fate = EITHER  # some of these names do not end where they should
    elif what == "data":
        changed["data"] = draw(changed_data(member.data))
    else:
        changed["method"] = zipfile.ZIP_DEFLATED if what == "deflated" else draw(st.sampled_from(METHODS))
        fate = EQUAL if what == "deflated" else REFUSED
    arrays[place] = member._replace(**changed)
    return f"{what} of {member.name}: {str(changed)[:200]}", npz(arrays), fate


@st.composite
def changed_data(draw: Any, data: bytes) -> bytes:
    """Some bytes fewer, more or other."""
    place = draw(st.integers(0, len(data) - 1))
    more = draw(st.binary(min_size=1, max_size=9))
    other = bytes([data[place] ^ draw(st.integers(1, 255))])
    return draw(st.sampled_from((b"", data[:place], data + more, data + data, data[:place] + other + data[place + 1 :])))


@st.composite
def of_list(draw: Any) -> tuple[str, bytes, str]:
    """An array lost, doubled, renamed, one in the place of another, or in another order."""
    arrays = members()
    place = draw(st.integers(0, 3))
    member = arrays[place]
    spoiled = member._replace(data=member.data[::-1] + b"\1")
    what, fate = draw(st.sampled_from(("lost", "twice", "another first", "another last", "renamed", "order", "more"))), EQUAL
    if what == "lost":
        del arrays[place]
        fate = REFUSED
    elif what == "twice":
        arrays.append(member)
    elif what == "another first":
        arrays.insert(0, spoiled)
    elif what == "another last":
        arrays.append(spoiled)
        fate = REFUSED
    elif what == "renamed":
        name = draw(
            st.sampled_from(("../x_train", "/x_train", "X_TRAIN", "x_train.npy", "x_train ", "\u0445_train", "a" * 60000))
        )
        arrays[place] = member._replace(name=name)
        fate = REFUSED
    elif what == "order":
        arrays.reverse()
    else:
        arrays.append(member._replace(name="more", header="print(1)"))
    return f"{what}: {member.name}", npz(arrays), fate


@st.composite
def of_archive(draw: Any) -> tuple[str, bytes, str]:
    """A damage of the zip around the arrays."""
    sound = npz(members())
    place = draw(st.integers(1, len(sound) - 1))
    directory = sound.index(b"PK\1\2")
    what = draw(
        st.sampled_from(("empty", "cut", "byte", "directory", "flag", "method", "name", "before", "behind", "alone"))
    )
    first, fate = sound.index(b"PK\3\4"), REFUSED
    data = bytearray(sound)
    if what in ("empty", "cut"):
        data = data[: place if what == "cut" else 0]
    elif what in ("byte", "directory"):
        place = place if what == "byte" else draw(st.integers(directory, len(sound) - 1))
        data[place] ^= draw(st.integers(1, 255))
        fate = EITHER
    elif what == "flag":
        data[first + 6] |= 1
        data[directory + 8] |= 1
    elif what == "method":
        for start in (first + 8, directory + 10):
            data[start : start + 2] = struct.pack("<H", draw(st.sampled_from((1, 6, 9, 93, 99, 65535))))
    elif what == "name":  # the header of the first array says that it has a longer name
        data[first + 26 : first + 28] = struct.pack("<H", draw(st.sampled_from((0, 1, 500, 1000))))
    elif what == "before":
        data = draw(st.sampled_from((b"x", b"\0" * 99, b"\x93NUMPY"))) + data
    elif what == "behind":
        data += draw(st.sampled_from((b"x", b"\0" * 99, b"x" * 70000, sound)))
        fate = EITHER
    else:
        data = draw(st.sampled_from((members()[0].npy(), packed(sound), b"PK", b"PK\5\6" + b"\0" * 18, b"PK\3\4" * 99)))
    return f"{what} at {place}", bytes(data), fate


@st.composite
def of_idx(draw: Any, compressed: bool = False) -> Damage:
    """A damage of one of the four IDX files, or of their folder."""
    files = idx(compressed)
    name = draw(st.sampled_from(sorted(files)))
    sound = gzip.decompress(files[name]) if compressed else files[name]
    axes, data = sound[3], sound[4 + 4 * sound[3] :]
    lengths = list(struct.unpack_from(f">{axes}I", sound, 4))
    ways = ("lost", "swapped", "magic", "axes", "length", "data", "cut", "little-endian", "both", "other form")
    what, fate = (
        draw(st.sampled_from((*ways, *(("gzip cut", "gzip byte", "gzip behind", "gzip name") * compressed)))),
        REFUSED,
    )
    head = sound[:4]
    if what == "lost":
        del files[name]
        return Damage(f"{what}: {name}", files, fate)
    if what == "swapped":
        other = draw(st.sampled_from([each for each in sorted(files) if each != name]))
        files[name], files[other] = files[other], files[name]
        return Damage(f"{what}: {name} and {other}", files, fate)
    if what == "both":  # gzipped or not, one beside the other
        files |= idx(not compressed)
        return Damage(what, files, EQUAL)
    if what == "magic":
        place = draw(st.integers(0, 3))
        head = head[:place] + bytes([head[place] ^ draw(st.integers(1, 255))]) + head[place + 1 :]
    elif what == "axes":
        lengths = draw(st.lists(st.integers(0, 2**32 - 1), max_size=255).filter(lambda each: len(each) != axes))
        head = bytes([0, 0, 8, len(lengths)])
    elif what == "length":
        place = draw(st.integers(0, axes - 1))
        others = (0, 1, lengths[place] - 1, lengths[place] + 1, 2**31, 2**32 - 1, 10**6)
        lengths[place] = draw(st.sampled_from(others))
    elif what == "data":
        data = draw(changed_data(data))
    order = "<" if what == "little-endian" else ">"
    content = head + struct.pack(f"{order}{len(lengths)}I", *lengths) + data
    content = content[: draw(st.integers(0, len(content) - 1))] if what == "cut" else content
    content = packed(content) if compressed == (what != "other form") else content
    place = draw(st.integers(0, len(content) - 1)) if content else 0
    if what == "gzip cut":
        content = content[:place]
    elif what == "gzip byte":
        content = content[:place] + bytes([content[place] ^ draw(st.integers(1, 255))]) + content[place + 1 :]
        fate = EITHER
    elif what == "gzip behind":
        more, fate = draw(
            st.sampled_from(((b"\0" * 9, EQUAL), (b"x" * 9, REFUSED), (packed(b""), EQUAL), (content, REFUSED)))
        )
        content += more
    elif what == "gzip name":
        content = content[:3] + b"\x08" + content[4:10] + b"x" * draw(st.integers(0, 5000)) + b"\0" + content[10:]
        fate = EQUAL
    files[name] = content
    return Damage(f"{what} of {name}: {content[:40]!r}", files, fate)


FORMS = {"npz": of_npz(), "IDX": of_idx(), "IDX, gzipped": of_idx(compressed=True)}
