"""Is a stack other than the requested one detected, and does every environment of the matrix request what it installs?"""

import configparser
import os
import re
import subprocess
import sys

import keras
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from cnnspec.compat import backend
from cnnspec.facts import reading
from tests import test_stack as stack_checks

FRAMEWORK = stack_checks.imported(backend())
RIGHT = f"python=={stack_checks.imported('python')} {backend()}=={FRAMEWORK} keras=={keras.__version__} backend={backend()}"
WRONG = {  # words of CNNSPEC_EXPECT -> lines of the message
    "another framework": (f"{backend()}==1.0.*", f"{backend()}==1.0.*: requested, {FRAMEWORK} is imported"),
    "another Keras": ("keras<2", f"keras<2: requested, {keras.__version__} is imported"),
    "another Python": ("python<3", f"python<3: requested, {stack_checks.imported('python')} is imported"),
    "another backend": ("backend=theano", f"backend=theano: requested, {backend()} is imported"),
    "not installed": ("theano>=1", "theano>=1: requested, but No module named 'theano'"),
    "no version": ("keras", "keras: malformed; write NAME==VERSION or backend=NAME"),
    "no version to see": ("os==3", "os==3: requested, but module 'os' has no attribute '__version__'"),
    "no specifier": ("keras=3", "keras=3: malformed; write NAME==VERSION or backend=NAME"),
    "no name": ("==3", "==3: malformed; write NAME==VERSION or backend=NAME"),
}

# What pip calls a package -> the module that it brings; others are called like their module, or with -cpu behind.
NAMES = {"tf-nightly-cpu": "tensorflow", "tf-nightly": "tensorflow", "keras-nightly": "keras", "tf-keras": "keras"}


@pytest.mark.parametrize(("word", "line"), WRONG.values(), ids=WRONG)
def test_another_stack_is_named(word, line):
    """Each word that is not true here is named, with what is imported; words that are true are not named."""
    assert stack_checks.differences(f"{RIGHT} {word}") == [line]
    assert stack_checks.differences(RIGHT) == []


def test_another_stack_is_red(tmp_path):
    """A run in an environment other than the requested one fails and names the difference."""
    arguments = ["-q", "-p", "no:cacheprovider", "--report", str(tmp_path / "report.json"), "tests/test_stack.py"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=reading.PROJECT,
        env=os.environ | {stack_checks.VARIABLE: f"{RIGHT} {backend()}==1.0.*"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "the stack that CNNSPEC_EXPECT requests\n  " + WRONG["another framework"][1] in ended.stdout
    assert "FAIL: 1 check failed" in ended.stdout


def test_an_empty_wish_is_red(monkeypatch):
    """A variable that is set but requests nothing fails."""
    monkeypatch.setenv(stack_checks.VARIABLE, " ")
    with pytest.raises(pytest.fail.Exception, match="it is set, but empty"):
        stack_checks.test_what_was_asked_for_is_imported()


def test_two_installations_are_seen(monkeypatch):
    """A second distribution of the same module in another version fails."""
    found = {keras.__name__: ["keras", "keras-of-another-version"]}
    versions = {"keras": keras.__version__, "keras-of-another-version": "1.0"}
    monkeypatch.setattr(stack_checks, "providers", lambda: found)
    monkeypatch.setattr("importlib.metadata.version", versions.get)
    with pytest.raises(pytest.fail.Exception, match=r"'keras-of-another-version': '1\.0'"):
        stack_checks.test_installed_once("keras")


@pytest.mark.skipif(backend() != "tensorflow", reason="tf.keras is TensorFlow's")
def test_another_keras_in_tensorflow_is_seen(monkeypatch):
    """A tf.keras of another package than the one imported as keras fails, and both are named."""
    monkeypatch.setattr(keras, "Sequential", type("Sequential", (), {"__module__": "another_keras.models"}))
    with pytest.raises(pytest.fail.Exception, match=r"(?s)expected  another_keras .*obtained  (tf_)?keras\n"):
        stack_checks.test_tensorflow_has_this_keras()


def labelled(label):
    """{environment: its section of tox.ini} of a label, without those of Python 3.7, whose stacks do not run pytest."""
    tox = configparser.ConfigParser()
    tox.read(reading.PROJECT / "tox.ini")
    (names,) = re.findall(rf"^{label} = (.*)$", tox["tox"]["labels"], re.MULTILINE)
    return {name: tox[f"testenv:{name}"] for name in names.split(", ") if not name.startswith("legacy")}


def asked_of(name, section):
    """The stack that an environment requests."""
    found = re.search(r"CNNSPEC_EXPECT = (.*)", section.get("set_env", ""))
    assert found, f"environment {name} requests no stack: add CNNSPEC_EXPECT to its set_env in tox.ini"
    return found.group(1)


def test_an_environment_without_a_request_is_named():
    """An environment of the matrix without set_env, or without the variable there."""
    for section in ({}, {"set_env": "KERAS_BACKEND = jax"}):
        with pytest.raises(AssertionError, match="environment tf999 requests no stack: add CNNSPEC_EXPECT to its set_env"):
            asked_of("tf999", section)


def matrix():
    """The environments of the label `matrix`."""
    return labelled("matrix")


EVERY = matrix() | labelled("nightly")


@pytest.mark.parametrize("name", EVERY)
def test_environments_ask_for_what_they_install(name):
    """Each environment requests a Python, framework, Keras and backend, and its interpreter and pins agree with them."""
    section = EVERY[name]
    wish = asked_of(name, section).split()
    asked = {re.match(r"\w+", word).group(): re.sub(r"^\w+", "", word) for word in wish}
    framework = asked["backend"].removeprefix("=")
    assert asked.keys() == {"python", framework, "keras", "backend"}
    assert SpecifierSet(asked["python"]).contains(section["base_python"].removeprefix("python") + ".1")
    pins = re.findall(r"^([\w-]+)(==|>=)([\w.]+)", section.get("deps", ""), re.MULTILINE)
    named = {NAMES.get(package, package.removesuffix("-cpu")) for package, _, _ in pins}
    for package, _, version in pins:
        module = NAMES.get(package, package.removesuffix("-cpu"))
        if module in asked and not (module == package == "keras" and "tf-keras" in section["deps"]):
            assert SpecifierSet(asked[module]).contains(version, prereleases=True), f"{package}: {version}, {asked[module]}"
    if not section.get("extras", "cpu"):
        assert "tensorflow" in named
        assert len([package for package, _, _ in pins if NAMES.get(package, package).startswith("tensorflow")]) == 2


def test_previews_are_asked_for_as_previews():
    """`nightly` takes previews of TensorFlow and Keras and of nothing else, and is not part of the matrix."""
    section = labelled("nightly")["nightly"]
    bounds = re.findall(r"^([\w-]+)>=([\w.]+)", section["deps"], re.MULTILINE)
    assert [package for package, version in bounds if Version(version).is_prerelease] == [
        "tf-nightly-cpu",
        "tf-nightly",
        "keras-nightly",
    ]
    assert len(bounds) == len(section["deps"].split("\n")) - 1
    assert "nightly" not in matrix()


def test_the_matrix_is_whole():
    """Every TensorFlow from 2.12 on has an environment that requests exactly this version."""
    minors = sorted(int(name.removeprefix("tf2")) for name in matrix() if re.fullmatch(r"tf2\d+", name))
    assert minors == list(range(12, minors[-1] + 1))
    for minor in minors:
        assert f" tensorflow==2.{minor}.* " in asked_of(f"tf2{minor}", matrix()[f"tf2{minor}"]) + " "


def test_the_readme_lists_the_matrix():
    """The table of environments in baselines/matrix/README.md has exactly their interpreters and pins."""
    table = {}
    for line in (reading.BASELINES / "matrix" / "README.md").read_text(encoding="utf-8").splitlines():
        if row := re.fullmatch(r"\| `([\w-]+)` \| ([\d.]+) \| (.*) \| (.*) \| (.*) \|", line):
            table[row.group(1)] = row.groups()[1:]
    due = {
        "legacy": ("3.7", "TensorFlow 1.13.1", "2.2.4", "below 1.17"),
        "legacy115": ("3.7", "TensorFlow 1.15.5", "2.3.1", "below 1.17"),
        "nightly": ("3.12", "TensorFlow, preview", "preview", "newest"),
    }
    for name, section in matrix().items():
        pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", section.get("deps", ""), re.MULTILINE))
        framework = {"jax": "JAX", "torch": "PyTorch"}.get(name, "TensorFlow")
        version = pins.get({"PyTorch": "torch"}.get(framework, framework.lower()))
        due[name] = (
            section["base_python"].removeprefix("python"),
            f"{framework} {version}" if version else f"{framework}, newest",
            f"tf_keras {pins['tf-keras']}" if "tf-keras" in pins else pins.get("keras", "newest"),
            pins.get("numpy", "newest"),
        )
    assert table == due
