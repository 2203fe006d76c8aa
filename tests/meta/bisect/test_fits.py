"""Does each release stand beside what the matrix has found to fit, the same for all where that is possible?"""

import pytest

from cnnspec.bisect import fits
from cnnspec.errors import BisectError, CnnspecError

ROWS = [
    fits.Row("tf215", "3.11", {"tensorflow-cpu": "2.15.1", "keras": "2.15.0", "numpy": "1.26.4"}),
    fits.Row("tf216", "3.11", {"tensorflow-cpu": "2.16.2", "keras": "3.3.3", "numpy": "1.26.4"}),
    fits.Row("tf219", "3.12", {"tensorflow-cpu": "2.19.1", "keras": "3.9.2", "numpy": "2.1.3"}),
    fits.Row("tf221", "3.13", {"tensorflow-cpu": "2.21.0", "keras": "3.13.2", "numpy": "2.4.6"}),
    fits.Row("keras-oldest", "3.11", {"tensorflow-cpu": "2.16.2", "keras": "3.0.0", "numpy": "1.26.4"}),
    fits.Row("tfkeras", "3.13", {"tensorflow-cpu": "2.21.0", "tf-keras": "2.21.0", "keras": "3.9.0", "numpy": "2.9"}),
    fits.Row("keras-newest", "3.11", {"tensorflow-cpu": "2.16.2", "numpy": "1.26.4"}),
    fits.Row("jax", "3.12", {}),
    fits.Row("torch", "3.11", {"torch": "2.13.0"}),
]
CASES = {  # package, release, the range, backend -> requirements, Python
    "Keras 3: one TensorFlow that takes the oldest of the range": (
        ("keras", "3.15.1", ["3.9.2", "3.10.0", "3.15.1"], "tensorflow"),
        ("tensorflow-cpu==2.19.1", "numpy==2.1.3"),
        "3.12",
    ),
    "the oldest Keras 3": (
        ("keras", "3.0.2", ["3.0.0", "3.0.2"], "tensorflow"),
        ("tensorflow-cpu==2.16.2", "numpy==1.26.4"),
        "3.11",
    ),
    "a pre-release of it": (
        ("keras", "3.0.0rc1", ["3.0.0rc1", "3.0.2"], "tensorflow"),
        ("tensorflow-cpu==2.16.2", "numpy==1.26.4"),
        "3.11",
    ),
    "Keras 2: its own TensorFlow": (
        ("keras", "2.15.0", ["2.15.0", "3.9.2"], "tensorflow"),
        ("tensorflow-cpu==2.15.1", "numpy==1.26.4"),
        "3.11",
    ),
    "Keras 3 of a range that begins with Keras 2": (
        ("keras", "3.9.2", ["2.15.0", "3.3.3", "3.9.2"], "tensorflow"),
        ("tensorflow-cpu==2.16.2", "numpy==1.26.4"),
        "3.11",
    ),
    "TensorFlow: its own NumPy, one Keras that all take": (
        ("tensorflow-cpu", "2.16.1", ["2.16.1", "2.19.0"], "tensorflow"),
        ("numpy==1.26.4", "keras==3.9.2"),
        "3.11",
    ),
    "TensorFlow by its other name": (
        ("tensorflow", "2.19.0", ["2.16.1", "2.19.0"], "tensorflow"),
        ("numpy==2.1.3", "keras==3.9.2"),
        "3.12",
    ),
    "TensorFlow before 2.16: its own Keras": (
        ("tensorflow-cpu", "2.15.0", ["2.15.0", "2.19.0"], "tensorflow"),
        ("numpy==1.26.4", "keras==2.15.0"),
        "3.11",
    ),
    "TensorFlow newer than the matrix": (
        ("tensorflow", "2.25.0", ["2.21.0", "2.25.0"], "tensorflow"),
        ("keras==3.13.2",),
        "3.13",
    ),
    "another package: the newest row that had it when it was that old": (
        ("numpy", "2.3.0", ["2.2.0", "2.3.0"], "tensorflow"),
        ("tensorflow-cpu==2.19.1", "keras==3.9.2"),
        fits.THIS_PYTHON,
    ),
    "a package of no row": (
        ("h5py", "3.11.0", ["3.10.0", "3.11.0"], "tensorflow"),
        ("tensorflow-cpu==2.21.0", "keras==3.13.2", "numpy==2.4.6"),
        fits.THIS_PYTHON,
    ),
    "a nightly Keras": (
        ("keras-nightly", "3.16.0.dev1", ["3.16.0.dev1"], "tensorflow"),
        ("tf-nightly-cpu",),
        fits.THIS_PYTHON,
    ),
    "a nightly TensorFlow": (
        ("tf-nightly", "2.22.0.dev1", ["2.22.0.dev1"], "tensorflow"),
        ("keras-nightly",),
        fits.THIS_PYTHON,
    ),
    "Keras on JAX": (("keras", "3.9.2", ["3.9.2"], "jax"), ("jax",), "3.12"),
    "JAX": (("jax", "0.6.0", ["0.6.0"], "jax"), ("keras==3.13.2",), "3.12"),
    "Keras on PyTorch": (("keras", "3.9.2", ["3.9.2"], "torch"), ("torch==2.13.0",), "3.11"),
}


@pytest.mark.parametrize(("asked", "requirements", "python"), CASES.values(), ids=CASES)
def test_what_stands_beside_a_release(asked, requirements, python):
    """The pins of the right row of the matrix, without that of the package itself, and the row's Python."""
    package, release, found, backend = asked
    fit = fits.fit(package, release, found, ROWS, backend)
    assert sorted(fit.requirements) == sorted(requirements)
    assert fit.python == python


@pytest.mark.parametrize(
    ("package", "release", "first"), [("keras", "2.4.0", r"2\.15\.0"), ("tensorflow", "2.9.0", r"2\.15\.1")]
)
def test_older_than_the_matrix(package, release, first):
    """A release that no environment has is refused, with the first that one has."""
    with pytest.raises(BisectError, match=f"no environment of the matrix has .*; begin with {first}"):
        fits.fit(package, release, [release], ROWS)


def test_the_matrix_is_that_of_tox_ini():
    """Every environment but `legacy` with its Python; each pin once on this machine; every row is usable."""
    rows = {each.environment: each for each in fits.matrix()}
    assert {"tf212", "tf221", "keras-oldest", "jax", "torch"} <= set(rows)
    assert "legacy" not in rows
    assert rows["tf219"].python == "3.12"
    assert len({"tensorflow", "tensorflow-cpu"} & set(rows["tf219"].pins)) == 1
    assert rows["tf219"].of("tensorflow").release[:2] == (2, 19)
    assert rows["tf219"].has("keras", "numpy", "protobuf", "ml_dtypes")
    for release in ("2.12.0", "2.15.0", "3.0.0", "3.9.2", "3.15.1"):
        assert fits.fit("keras", release, [release], list(rows.values())).requirements


@pytest.mark.parametrize("text", ["", "[tox]\nlabels =\n  quick = a\n", "no ini file"])
def test_a_damaged_matrix_is_named(tmp_path, text):
    """A tox.ini that is not the project's, or none at all, is one message with the file and how to restore it."""
    (tmp_path / "tox.ini").write_text(text, encoding="utf-8")
    for path in (tmp_path / "tox.ini", tmp_path / "none.ini"):
        with pytest.raises(CnnspecError, match=r"is not the project's .*; restore it"):
            fits.matrix(path)


def test_requirements_of_ones_own_take_the_place():
    """--with replaces its namesake, TensorFlow under any name, and otherwise joins."""
    pins = ("tensorflow-cpu==2.19.1", "numpy==2.1.3")
    assert fits.replaced(pins, ["tensorflow[and-cuda]==2.20.0"]) == ("numpy==2.1.3", "tensorflow[and-cuda]==2.20.0")
    assert fits.replaced(pins, ["h5py<4", "NumPy==2.0.2"]) == ("tensorflow-cpu==2.19.1", "h5py<4", "NumPy==2.0.2")
    assert fits.replaced(pins, []) == pins
