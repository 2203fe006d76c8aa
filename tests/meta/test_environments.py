"""Is a stack other than the one asked for seen, and does every environment of the matrix ask for what it installs?"""

import configparser
import os
import re
import subprocess
import sys

import keras
import pytest
from packaging.specifiers import SpecifierSet

from cnnspec.compat import backend
from cnnspec.facts import reading
from tests import test_stack as stack_checks

FRAMEWORK = stack_checks.imported(backend())
RIGHT = f"python=={stack_checks.imported('python')} {backend()}=={FRAMEWORK} keras=={keras.__version__} backend={backend()}"
WRONG = {  # words of CNNSPEC_EXPECT -> what is said of them
    "another framework": (f"{backend()}==1.0.*", f"{backend()}==1.0.*: asked for, {FRAMEWORK} is imported"),
    "another Keras": ("keras<2", f"keras<2: asked for, {keras.__version__} is imported"),
    "another Python": ("python<3", f"python<3: asked for, {stack_checks.imported('python')} is imported"),
    "another backend": ("backend=theano", f"backend=theano: asked for, {backend()} is imported"),
    "not installed": ("theano>=1", "theano>=1: asked for, but No module named 'theano'"),
    "no version": ("keras", "keras: neither NAME==VERSION nor backend=NAME"),
    "no specifier": ("keras=3", "keras=3: neither NAME==VERSION nor backend=NAME"),
    "no name": ("==3", "==3: neither NAME==VERSION nor backend=NAME"),
}


@pytest.mark.parametrize(("word", "line"), WRONG.values(), ids=WRONG)
def test_another_stack_is_named(word, line):
    """Each word that does not hold is named, with what is imported instead; those that hold are not."""
    assert stack_checks.differences(f"{RIGHT} {word}") == [line]
    assert stack_checks.differences(RIGHT) == []


def test_another_stack_is_red(tmp_path):
    """A run in an environment that is not the one asked for ends red, and names the difference."""
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
    assert "the stack that CNNSPEC_EXPECT asks for\n  " + WRONG["another framework"][1] in ended.stdout
    assert "FAIL: 1 checks failed" in ended.stdout


def test_an_empty_wish_is_red(monkeypatch):
    """A variable that is set but asks for nothing fails."""
    monkeypatch.setenv(stack_checks.VARIABLE, " ")
    with pytest.raises(pytest.fail.Exception, match="nothing: it is set, but empty"):
        stack_checks.test_what_was_asked_for_is_imported()


def test_two_installations_are_seen(monkeypatch):
    """A second distribution of the same module, of another version, fails the check."""
    found = {"keras": ["keras", "keras-of-another-version"]}
    versions = {"keras": keras.__version__, "keras-of-another-version": "1.0"}
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: found)
    monkeypatch.setattr("importlib.metadata.version", versions.get)
    with pytest.raises(pytest.fail.Exception, match=r"'keras-of-another-version': '1\.0'"):
        stack_checks.test_installed_once("keras")


def matrix():
    """{environment: its section of tox.ini} of the label `matrix`, but 2019's, which runs no pytest."""
    tox = configparser.ConfigParser()
    tox.read(reading.PROJECT / "tox.ini")
    (names,) = re.findall(r"^matrix = (.*)$", tox["tox"]["labels"], re.MULTILINE)
    return {name: tox[f"testenv:{name}"] for name in names.split(", ") if name != "legacy"}


@pytest.mark.parametrize("name", matrix())
def test_environments_ask_for_what_they_install(name):
    """Each environment asks for a Python, framework, Keras and backend; its pins and its interpreter are within that."""
    section = matrix()[name]
    wish = re.search(r"CNNSPEC_EXPECT = (.*)", section["set_env"]).group(1).split()
    asked = {re.match(r"\w+", word).group(): re.sub(r"^\w+", "", word) for word in wish}
    framework = asked["backend"].removeprefix("=")
    assert asked.keys() == {"python", framework, "keras", "backend"}
    assert SpecifierSet(asked["python"]).contains(section["base_python"].removeprefix("python") + ".1")
    pins = re.findall(r"^([\w-]+)==([\d.]+)", section.get("deps", ""), re.MULTILINE)
    for package, version in pins:
        module = package.removesuffix("-cpu")
        if module in asked:
            assert SpecifierSet(asked[module]).contains(version), f"{package}=={version} against {asked[module]}"
    if not section.get("extras", "cpu"):
        assert {"tensorflow", "tensorflow-cpu"} <= {package for package, _ in pins}


def test_the_matrix_is_whole():
    """Every TensorFlow from 2.12 on has an environment, and asks for just that one."""
    minors = sorted(int(name.removeprefix("tf2")) for name in matrix() if re.fullmatch(r"tf2\d+", name))
    assert minors == list(range(12, minors[-1] + 1))
    for minor in minors:
        assert f" tensorflow==2.{minor}.* " in matrix()[f"tf2{minor}"]["set_env"]


def test_the_readme_lists_the_matrix():
    """The table of environments in baselines/matrix/README.md has their interpreters and pins, and no others."""
    table = {}
    for line in (reading.BASELINES / "matrix" / "README.md").read_text(encoding="utf-8").splitlines():
        if row := re.fullmatch(r"\| `([\w-]+)` \| ([\d.]+) \| (.*) \| (.*) \| (.*) \|", line):
            table[row.group(1)] = row.groups()[1:]
    due = {"legacy": ("3.7", "TensorFlow 1.13.1", "2.2.4", "below 1.17")}
    for name, section in matrix().items():
        pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", section.get("deps", ""), re.MULTILINE))
        framework = {"jax": "JAX", "torch": "PyTorch"}.get(name, "TensorFlow")
        version = pins.get({"PyTorch": "torch"}.get(framework, framework.lower()))
        due[name] = (
            section["base_python"].removeprefix("python"),
            f"{framework} {version}" if version else f"{framework}, newest",
            pins.get("keras", "newest"),
            pins.get("numpy", "newest"),
        )
    assert table == due
