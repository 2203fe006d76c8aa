"""The healthy variants: nothing is wrong in any of them, and a whole run of the suite must pass in each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

HERE = ""  # the interpreter that runs the command
ORDERED = "tests.meta.faults.healthy.order"
IMITATED = "tests.meta.faults.healthy.imitations"
BUILT = "tests.meta.faults.healthy.building"
CLONE, READ_ONLY, WITH_SPACES = "the clone", "a copy that cannot be written", "a path with spaces"


class Variant(NamedTuple):
    """A healthy variant of a run. An `environment` value of None removes the variable.

    `interpreter` is the name of one that `--python NAME=PATH` gives; empty for the one that runs the command.
    """

    story: str
    environment: Mapping[str, str | None] = MappingProxyType({})
    options: tuple[str, ...] = ()  # of pytest
    of_python: tuple[str, ...] = ()
    plugin: str = ""
    place: str = CLONE
    interpreter: str = HERE
    network: bool = True
    throttled: bool = False
    niceness: int = 0


def threads(number: int) -> dict[str, str | None]:
    """Settings of TensorFlow's and OpenMP's threads."""
    return dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), str(number))


def imitation(name: str, story: str) -> Variant:
    """A variant with imitated hardware."""
    return Variant(story, {"IMITATED": name}, plugin=IMITATED)


VARIANTS = {
    "as it is": Variant("Nothing is changed; the seed is another than the default, as in every variant."),
    "another seed": Variant("As it is, with one more seed."),
    "a third seed": Variant("As it is, with a third seed."),
    "1 thread": Variant("The framework has one thread.", threads(1)),
    "2 threads": Variant("The framework has two threads.", threads(2)),
    "4 threads": Variant("The framework has four threads, more than many machines have cores.", threads(4)),
    "oneDNN off": Variant("TensorFlow computes without oneDNN.", {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "oneDNN off, 1 thread": Variant("Both.", {"TF_ENABLE_ONEDNN_OPTS": "0", **threads(1)}),
    "XLA on": Variant("XLA compiles every step it can.", {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}),
    "deterministic operations": Variant("TensorFlow takes deterministic kernels only.", {"TF_DETERMINISTIC_OPS": "1"}),
    "2 processes": Variant("pytest-xdist shares the tests among two processes.", options=("-n", "2")),
    "random order within tiers": Variant(
        "The tests of each tier run in a random order.", {"ORDER": "tiers"}, plugin=ORDERED
    ),
    "random order": Variant("All tests run in a random order.", {"ORDER": "all"}, plugin=ORDERED),
    "channels_first before": Variant(
        "The models are built channels first before the run, in the same process.", {"BUILT": "channels_first"}, plugin=BUILT
    ),
    "layers with other names": Variant(
        "The framework names layers at random, as after many others.", {"BUILT": "other names"}, plugin=BUILT
    ),
    "ASCII locale": Variant(
        "The locale is C, without UTF-8.", {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ),
    "another time zone": Variant("A time zone 12 hours and 45 minutes from UTC.", {"TZ": "Pacific/Chatham"}),
    "no HOME": Variant(
        "There is no HOME.", dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "KERAS_HOME", "MPLCONFIGDIR"))
    ),
    "read-only clone": Variant("The files of the clone cannot be written.", place=READ_ONLY),
    "a path with spaces": Variant("The clone lies in a folder with spaces in its path.", place=WITH_SPACES),
    "no network": Variant("There is no network, not even a loopback.", network=False),
    "python -W error": Variant("Every warning is an error.", of_python=("-W", "error")),
    "hash seed 0": Variant("Python's hashes are fixed.", {"PYTHONHASHSEED": "0"}),
    "a throttled CPU": Variant("The process is stopped half of the time.", throttled=True),
    "imitated TF32": imitation("tf32", "An Ampere GPU as shipped: products in TF32, and TensorFlow says so."),
    "imitated TF32 by batch": imitation("tf32 by batch", "A GPU whose library takes TF32 for large batches alone."),
    "imitated steps by XLA": imitation("XLA", "A GPU, on which Keras 3 compiles every step and call by XLA."),
    "imitated autotuning": imitation("autotuning", "A GPU that sums a kernel's gradient by another algorithm at first."),
    "imitated atomics": imitation("atomics", "A GPU that sums a kernel's gradient in another order each time."),
    "JAX": Variant("Keras on JAX.", {"KERAS_BACKEND": "jax"}, interpreter="jax"),
    "PyTorch": Variant("Keras on PyTorch.", {"KERAS_BACKEND": "torch"}, interpreter="torch"),
    "tf_keras": Variant("Keras 2 on the newest TensorFlow.", {"TF_USE_LEGACY_KERAS": "1"}, interpreter="tf_keras"),
    "another NumPy": Variant("An older NumPy.", interpreter="numpy"),
    "a low priority": Variant("The run is nice to others, and no superuser, who alone may be less so.", niceness=10),
}
FIRST_SEED = 2000  # the seed of the first variant; each has its own


def seed_of(name: str) -> int:
    """The seed of a variant's trainings: its own, and none of those of the ensembles."""
    return FIRST_SEED + list(VARIANTS).index(name)
