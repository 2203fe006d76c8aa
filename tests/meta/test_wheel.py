"""Does the wheel carry the whole suite, and does `cnnspec verify` run from it: read-only, without HOME, without the clone?

The wheel is built from a copy, and installed into an environment of its own whose folder has a space in its name. That
environment sees the packages of the one that runs this test, which would take minutes to install again.
"""

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

from cnnspec.bisect import environments, fits
from cnnspec.facts import reading
from tests.meta.copies import POWERLESS, copy_project
from tests.plugin import levels

PARTS = ("cnnspec", "tests", "baselines", "conftest.py", "pyproject.toml", "tox.ini", "README.md", "LICENSE")
NOT_CARRIED = ("tests/meta/",)  # the tests of the suite itself need the repository
PASSED_ON = ("PATH", "KERAS_BACKEND", "PYTHONPATH", "LD_LIBRARY_PATH", "CNNSPEC_EXPECT")  # no HOME

BUILDER = importlib.util.find_spec("setuptools")  # without it pip fetches one to build the wheel
HERE = ["--no-deps", "--no-build-isolation", "--no-index"] if BUILDER else ["--no-deps"]


def pip(*arguments):
    """Run pip; what fails says why."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the sources, without what was built or cached beside them."""
    return copy_project(tmp_path_factory.mktemp("clone"), PARTS)


@pytest.fixture(scope="module")
def wheel(clone, tmp_path_factory):
    """The wheel of the project."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", *HERE, "--wheel-dir", folder, clone)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel, into which nothing can be written: its folder."""
    folder = tmp_path_factory.mktemp("an environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    with open(os.path.join(packages, "others.pth"), "w", encoding="utf-8") as file:
        file.write("\n".join(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))) + "\n")
    pip("--python", python, "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def listing(folder):
    """{every path below a folder: its size and time of change}."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def verify(installed, folder, *arguments):
    """A finished `cnnspec verify --json`."""
    return run(installed, folder, "verify", "--json", *arguments)


def run(installed, folder, *arguments):
    """A finished `cnnspec`: without HOME, in a folder of its own, and, as root, without root's rights."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("root writes everywhere: setpriv takes its rights away (apt-get install util-linux), or be another user")
    kept = {name: value for name, value in os.environ.items() if name in PASSED_ON}
    command = [*(POWERLESS if root else []), installed / "bin" / "cnnspec", *arguments]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)


def test_the_wheel_carries_the_suite(wheel):
    """Every module of the package, every test but those of the suite itself, every baseline and the configuration."""
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert carried == expected()


def expected():
    """Names of the files that the wheel must have."""
    package = {path for path in (reading.PROJECT / "cnnspec").rglob("*") if path.suffix in (".py", ".css")}
    suite = {path for path in (reading.PROJECT / "tests").rglob("*.py")}
    suite |= {path for path in reading.BASELINES.rglob("*") if path.is_file()}
    suite |= {reading.PROJECT / "conftest.py", reading.PROJECT / "pyproject.toml", reading.PROJECT / "tox.ini"}
    names = {path.relative_to(reading.PROJECT).as_posix() for path in suite}
    names = {name for name in names if not name.startswith(NOT_CARRIED)}
    return {path.relative_to(reading.PROJECT).as_posix() for path in package} | {f"cnnspec/suite/{name}" for name in names}


@pytest.mark.skipif(not BUILDER, reason="setuptools is not installed here: python -m pip install setuptools")
def test_the_source_distribution_makes_the_same_wheel(clone, wheel, tmp_path):
    """What is built from the source distribution has the same files."""
    code = f"import setuptools.build_meta as build; build.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=clone, capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    pip("wheel", *HERE, "--wheel-dir", tmp_path, next(tmp_path.glob("*/")))
    (again,) = tmp_path.glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_nothing_can_be_written_beside_the_package(installed):
    """The next test would see a write: without its rights this user cannot write into the environment."""
    ended = verify(installed, installed)
    assert ended.returncode == 2
    assert f"nothing can be written to {installed} (" in json.loads(ended.stdout)["reason"]


def test_verify_from_the_wheel(installed, tmp_path):
    """The level quick passes with exit code 0 from the package, and only the working folder changes."""
    before = listing(installed)
    ended = verify(installed, tmp_path, "--level", "quick")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["verdict"], told["level"], told["reason"]) == (0, "pass", "quick", None)
    report = json.loads((tmp_path / "reports" / "partial" / told["report"]).read_text(encoding="utf-8"))
    assert {f"test_{tier}" for tier, count in report["tiers"].items() if count["passed"]} == set(levels.QUICK)
    assert report["failed"] == []
    assert listing(installed) == before
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} == {"reports"}
    assert f"rootdir: {installed}" in ended.stderr
    assert "`cnnspec verify` trains them too" in ended.stderr
    assert OF_A_CLONE.findall(ended.stderr) == []


def test_the_package_finds_its_baselines(installed):
    """Installed, baselines lie in the package, and a damaged one is restored by installing again, not by git."""
    code = "from cnnspec.facts import reading; print(reading.BASELINES); print(reading.restore('x'))"
    command = [installed / "bin" / "python", "-B", "-c", code]
    folder, remedy = subprocess.run(command, cwd=installed, capture_output=True, text=True, check=True).stdout.splitlines()
    assert folder.startswith(str(installed))
    assert folder.endswith(os.path.join("cnnspec", "suite", "baselines"))
    assert remedy == "restore it: install cnnspec again, pip install --force-reinstall --no-deps"
    assert reading.restore("x") == "restore it: git checkout HEAD -- x"


def test_the_package_finds_its_matrix(installed):
    """Installed, `cnnspec bisect` reads the same pins as in the clone."""
    code = "from cnnspec.bisect import environments, fits; print(fits.matrix()); print(environments.dependencies())"
    command = [installed / "bin" / "python", "-B", "-c", code]
    ended = subprocess.run(command, cwd=installed, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [str(fits.matrix()), str(environments.dependencies())]


OF_A_CLONE = re.compile(r"\bpytest (?:tests/|-).*|`pytest`|python -m cnnspec|(?<!in a clone of the repository: )tox run.*")
BROKEN = """
from cnnspec.facts import reading

reading.digests = lambda dataset: dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), "another digest")
"""


def test_a_message_advises_what_works_here(installed, tmp_path, monkeypatch):
    """A failure, through a plugin that spoils what is expected, names a command, and this command runs."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ended = verify(installed, tmp_path, "--", "-p", "broken", "tests/test_data.py")
    assert ended.returncode == 1
    assert OF_A_CLONE.findall(ended.stderr) == []
    (advice,) = set(re.findall(r"next .*then (cnnspec verify -- .*)", ended.stderr))
    assert advice == "cnnspec verify -- tests/test_data.py"
    assert json.loads(verify(installed, tmp_path, *advice.split()[2:]).stdout)["verdict"] == "no verdict"  # of one file


def test_errors_of_commands_advise_what_works_here(installed, tmp_path):
    """An option that is refused, and a file that is no report."""
    ended = verify(installed, tmp_path, "--ensembles", "nothing")
    assert f"cnnspec calibrate --out {tmp_path / 'nothing'} makes one" in ended.stderr
    assert OF_A_CLONE.findall(ended.stderr) == []
    command = [installed / "bin" / "cnnspec", "report"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stderr == (
        "error: no report was named; run cnnspec verify, which writes one, then: cnnspec report reports/*.json\n"
    )


def test_a_failure_from_the_wheel(installed, tmp_path, monkeypatch):
    """Another stack than the one asked for is exit code 1; the reason names the test and what it found."""
    monkeypatch.setenv("CNNSPEC_EXPECT", "keras<2")
    ended = verify(installed, tmp_path, "--out", "a folder", "--", "tests/test_stack.py")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["verdict"]) == (1, "fail")
    assert told["reason"].startswith("tests/test_stack.py::test_what_was_asked_for_is_imported: the stack that ")
    assert "keras<2: requested, " in told["reason"]
    assert told["report"].startswith(str(tmp_path / "a folder" / "reports"))


def test_soak_from_the_wheel(installed, tmp_path):
    """Its processes find the suite in the package; nothing is written beside it, and nothing into the working folder."""
    before = listing(installed)
    ended = run(installed, tmp_path, "soak", "--json", "--minutes", "0.1", "--device", "cpu")
    told = json.loads(ended.stdout)
    assert told["places"], ended.stderr
    assert all(not any(place["wrong"].values()) for place in told["places"].values())
    assert next(iter(told["places"].values()))["products"] > 0
    assert ended.returncode in (0, 2)  # 2: too little time for every core
    assert listing(installed) == before
    assert list(tmp_path.iterdir()) == []
