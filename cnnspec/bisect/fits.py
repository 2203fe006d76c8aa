"""What fits what: the pins of the matrix, read from the tox.ini that a clone has and a wheel carries."""

from __future__ import annotations

import configparser
import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cnnspec.errors import BisectError
from cnnspec.facts.reading import PROJECT, restore

TENSORFLOW = ("tensorflow", "tensorflow-cpu")
NIGHTLY = ("tf-nightly", "tf-nightly-cpu")
LEGACY_KERAS = "tf-keras"  # where it is pinned, the Keras beside it is not the one that is imported
BACKENDS = ("jax", "torch")
ANY_KERAS = Version("2.16")  # from this TensorFlow on, a newer Keras than that of its time is taken
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # for packages whose releases the matrix does not name
KERAS_3 = Version("3.0.dev0")


@dataclasses.dataclass(frozen=True)
class Row:
    """An environment of the matrix: its Python, such as 3.11, and its exact pins, {package: version}."""

    environment: str
    python: str
    pins: Mapping[str, str]

    def of(self, package: str) -> Version:
        """The version that it pins of a package; of TensorFlow under any of its names."""
        (found,) = (pin for name, pin in self.pins.items() if same(name, package))
        return Version(found)

    def has(self, *packages: str) -> bool:
        """Whether it pins each of the packages."""
        return all(any(same(name, package) for name in self.pins) for package in packages)


@dataclasses.dataclass(frozen=True)
class Fit:
    """What stands beside a release: requirements, and the Python of the matrix that has them."""

    requirements: tuple[str, ...]
    python: str


def same(one: str, other: str) -> bool:
    """Whether two names are those of one package; tensorflow-cpu is TensorFlow, and so is tf-nightly."""
    names = {canonicalize_name(name) for name in (one, other)}
    return len(names) == 1 or names <= {*TENSORFLOW, *NIGHTLY}


def matrix(path: Path = PROJECT / "tox.ini") -> list[Row]:
    """The environments of the label `matrix`, in its order. Raises BisectError."""
    tox = configparser.ConfigParser(interpolation=None)
    try:
        tox.read_string(path.read_text(encoding="utf-8"))
        (names,) = re.findall(r"^matrix = (.*)$", tox["tox"]["labels"], re.MULTILINE)
        return [
            row(name, tox) for name in names.replace(" ", "").split(",") if tox.has_option(f"testenv:{name}", "base_python")
        ]
    except (OSError, ValueError, KeyError, configparser.Error) as error:
        words = " ".join(str(error).split())
        raise BisectError(f"{path} is not the project's ({words}); {restore('tox.ini')}") from error


def row(name: str, tox: configparser.ConfigParser) -> Row:
    """One environment with the pins that hold on this machine."""
    section = tox[f"testenv:{name}"]
    pins = {}
    for line in section.get("deps", "").splitlines():
        line = re.sub(r"\{\[(\w+)\](\w+)\}", lambda found: tox[found.group(1)][found.group(2)], line.strip())
        if not re.match(r"[\w-]+==", line):
            continue
        wanted = Requirement(line)
        if not wanted.marker or wanted.marker.evaluate():
            pins[wanted.name] = str(wanted.specifier).removeprefix("==")
    return Row(name, section["base_python"].removeprefix("python"), pins)


def fit(package: str, release: str, releases: Sequence[str], rows: Sequence[Row], backend: str = "tensorflow") -> Fit:
    """What is installed beside one of `releases`, the whole range: as far as can be the same for all of them.

    Raises BisectError where no environment of the matrix has it.
    """
    if backend in BACKENDS:
        return beside_backend(package, backend, rows)
    stacks = [each for each in rows if each.has("tensorflow", "keras") and not each.has(LEGACY_KERAS)]
    stacks.sort(key=lambda each: each.of("tensorflow"))
    if canonicalize_name(package) == "keras":
        chosen = for_keras(Version(release), releases, stacks)
    elif canonicalize_name(package) in TENSORFLOW:
        return for_tensorflow(package, Version(release), releases, stacks)
    elif canonicalize_name(package) in ("keras-nightly", *NIGHTLY):
        name = NIGHTLY["tensorflow-cpu" in stacks[-1].pins] if package == "keras-nightly" else "keras-nightly"
        return Fit((name,), THIS_PYTHON)
    else:
        oldest = Version(releases[0])
        chosen = [each for each in stacks if not each.has(package) or each.of(package) <= oldest] or stacks
        return Fit(without(chosen[-1], package), THIS_PYTHON)
    return Fit(without(chosen[-1], package), chosen[-1].python)


def for_keras(release: Version, releases: Sequence[str], stacks: Sequence[Row]) -> list[Row]:
    """Rows whose TensorFlow takes a Keras, the best one last: the same row for all Keras 3 of a range."""
    if release < KERAS_3:
        chosen = [each for each in stacks if each.of("keras").release[:2] == release.release[:2]]
    else:
        third = [each for each in stacks if each.of("keras") >= KERAS_3]
        oldest = min(each for each in map(Version, releases) if each >= KERAS_3)
        chosen = [each for each in third if each.of("keras") <= oldest]
        chosen = chosen or [min(third, key=lambda each: each.of("keras"))]
    if not chosen:
        raise BisectError(
            f"no environment of the matrix has a TensorFlow for Keras {release}; begin with {begin(stacks, 'keras')}"
        )
    return chosen


def for_tensorflow(package: str, release: Version, releases: Sequence[str], stacks: Sequence[Row]) -> Fit:
    """Its own row's NumPy and protobuf; Keras is one for all TensorFlow that take any, else its row's."""
    if release.release[:2] < stacks[0].of("tensorflow").release[:2]:
        first = begin(stacks, "tensorflow")
        raise BisectError(f"no environment of the matrix has TensorFlow {release}; begin with {first}")
    newest = Version(releases[-1])
    own = [each for each in stacks if each.of("tensorflow").release[:2] == release.release[:2]]
    due = [each for each in stacks if each.of("tensorflow").release[:2] <= newest.release[:2]]
    keras = max(each.of("keras") for each in (own if release < ANY_KERAS else due))
    beside = without(own[-1], package) if own else ()  # newer than the matrix: what fits is left to the installer
    return Fit((*(pin for pin in beside if not pin.startswith("keras==")), f"keras=={keras}"), (own or stacks)[-1].python)


def beside_backend(package: str, backend: str, rows: Sequence[Row]) -> Fit:
    """JAX or PyTorch as its environment has it, and Keras of the newest row; their NumPy is left to the installer."""
    (own,) = (each for each in rows if each.environment == backend)
    keras = max(each.of("keras") for each in rows if each.has("keras"))
    pins = [*without(own, package), *([] if own.has(backend) or same(package, backend) else [backend])]
    return Fit((*pins, *([] if same(package, "keras") else [f"keras=={keras}"])), own.python)


def without(chosen: Row, package: str) -> tuple[str, ...]:
    """Pins of a row as requirements, without that of a package."""
    return tuple(f"{name}=={pin}" for name, pin in chosen.pins.items() if not same(name, package))


def begin(stacks: Sequence[Row], package: str) -> str:
    """The oldest version of a package in the matrix."""
    return str(min(each.of(package) for each in stacks))


def replaced(requirements: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Requirements, with those of `wanted` in the place of their namesakes or behind them."""
    names = [Requirement(each).name for each in wanted]
    return (*(each for each in requirements if not any(same(Requirement(each).name, name) for name in names)), *wanted)
