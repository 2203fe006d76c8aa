"""Is each healthy variant what it says, and does a run that does not pass count as one that does not pass?"""

import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from cnnspec.errors import BaselineError
from cnnspec.facts import reading
from cnnspec.faults import store
from tests.meta.faults import run as command_line
from tests.meta.faults import sources
from tests.meta.faults.healthy import running
from tests.meta.faults.healthy.variants import READ_ONLY, VARIANTS, WITH_SPACES, seed_of
from tests.meta.reports.made_reports import made


def test_there_are_enough_variants_each_with_its_own_seed():
    """At least 25, and no two trainings are drawn from one seed."""
    assert len(VARIANTS) >= 25
    assert len({seed_of(name) for name in VARIANTS}) == len(VARIANTS)


@pytest.fixture(autouse=True)
def digest(monkeypatch):
    """A suite whose files need not be read."""
    monkeypatch.setattr(sources, "of_suite", lambda: "0123456789ab")


def row(tmp_path, **report):
    """The row of a variant's run with a report."""
    path = tmp_path / "report.json"
    made(**report).to_json(path)
    return running.row_of("1 thread", "quick", path, 0, 3.0)


def test_a_run_is_told_as_its_report_tells_it(tmp_path):
    """A pass, a failure with its reason, a run without a verdict, and a run that left no report."""
    green = row(tmp_path)
    assert (green["verdict"], green["failed"], green["first_failed"]) == ("pass", "0", "")
    assert float(green["tightest"]) > 0
    assert green["seed"] == str(seed_of("1 thread"))
    red = row(tmp_path, verdict="fail", failed=[{"test": "tests/test_exact.py::a", "reason": "b"}])
    assert (red["verdict"], red["failed"], red["first_failed"]) == ("fail", "1", "tests/test_exact.py::a: b")
    assert row(tmp_path, verdict="no verdict")["verdict"] == "no verdict"
    (tmp_path / "report.json").unlink()
    crashed = running.row_of("1 thread", "quick", tmp_path / "report.json", -11, 3.0)
    assert crashed["verdict"] == store.ERROR
    assert crashed["first_failed"].startswith("exit code -11: ")
    for number, each in enumerate((green, red, crashed)):
        store.VARIANTS.add(tmp_path / "healthy.csv", each)
        assert store.VARIANTS.holds(store.VARIANTS.read(tmp_path / "healthy.csv"), each), number
    with pytest.raises(BaselineError, match="1 thread is told as pass, with 1 failed"):
        store.VARIANTS.add(tmp_path / "healthy.csv", red | {"verdict": "pass"})


def test_only_what_passes_is_green(tmp_path, monkeypatch, capsys):
    """The command ends with 1 as long as one of its variants does not pass, and runs again what is not stored."""
    ran = []

    def run_one(name, level, pythons, logs):
        ran.append(name)
        verdict = {} if name != "1 thread" else {"verdict": "fail", "failed": [{"test": "a", "reason": "b"}]}
        return row(tmp_path, **verdict) | {"variant": name} | running.identity(name, level)

    monkeypatch.setattr(running, "run_one", run_one)
    options = ["--healthy", "--level", "quick", "--out", str(tmp_path / "h.csv"), "--logs", str(tmp_path)]
    assert command_line.main([*options, "1 thread", "2 threads", "JAX"]) == 1
    told = capsys.readouterr().out
    assert "JAX: not run; it needs --python jax=PATH of an interpreter" in told
    assert told.splitlines()[-1] == "1 of 2 stored variants pass; not: 1 thread"
    assert command_line.main([*options, "2 threads"]) == 0
    assert command_line.main([*options, "JAX", "--python", "jax=/python"]) == 0
    assert ran == ["1 thread", "2 threads", "JAX"]
    assert command_line.main([*options, "nobody"]) == 2
    assert command_line.main([*options, "JAX", "--python", "jax"]) == 2
    assert command_line.main(["--healthy", "--list"]) == 0


def test_variants_run_at_once(tmp_path, monkeypatch):
    """As many as --jobs says, each in a thread that waits for its process."""
    together = threading.Barrier(2, timeout=30)
    monkeypatch.setattr(running, "run_one", lambda name, *given: together.wait() >= 0 and {"variant": name})
    options = SimpleNamespace(jobs=2, level="quick")
    found = running.rows_of(["1 thread", "2 threads", "4 threads", "as it is"], options, {}, tmp_path)
    assert {row["variant"] for row in found} == {"1 thread", "2 threads", "4 threads", "as it is"}


def test_runs_end_with_the_command(tmp_path, monkeypatch):
    """Where the command is ended, the runs that go on are, and none begins."""
    begun, started = [], threading.Event()

    def run_one(name, *given):
        begun.append(name)
        if name == "1 thread":
            started.wait(30)
            return {"variant": name}
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True) as process:
            running._processes.add(process)
            started.set()
            process.wait()
        running._processes.discard(process)
        return {"variant": name}

    monkeypatch.setattr(running, "run_one", run_one)
    found = running.rows_of(
        ["1 thread", "2 threads", "4 threads", "as it is"], SimpleNamespace(jobs=2, level="quick"), {}, tmp_path
    )
    assert next(found) == {"variant": "1 thread"}
    found.close()
    assert "as it is" not in begun
    assert not running._processes


def test_a_variant_is_a_command_and_an_environment(monkeypatch):
    """Options, interpreter, flags of Python, plugin, network and variables reach the command."""
    monkeypatch.setenv("HOME", "/home")
    build = lambda name: running.command(VARIANTS[name], {"jax": "/jax/python"}, "quick", 7, running.LOGS / "r.json")  # noqa: E731
    assert build("JAX")[:3] == ["/jax/python", "-m", "pytest"]
    assert build("python -W error")[1:3] == ["-W", "error"]
    assert build("2 processes")[-2:] == ["-n", "2"]
    assert build("imitated TF32")[-2:] == ["-p", "tests.meta.faults.healthy.imitations"]
    assert ("setpriv" in build("read-only clone")) == (os.geteuid() == 0)
    assert build("no network")[:2] == ["unshare", "--net"]
    assert {"--seed=7", "--level=quick"} <= set(build("as it is"))
    assert "HOME" not in running.environment(VARIANTS["no HOME"], reading.PROJECT)
    assert running.environment(VARIANTS["JAX"], reading.PROJECT)["KERAS_BACKEND"] == "jax"


@pytest.mark.parametrize("name", ["read-only clone", "a path with spaces"])
def test_a_variant_has_its_place(tmp_path, name):
    """A copy in a path with spaces; or one in which nobody without rights can write. It is removed afterwards."""
    variant = VARIANTS[name]
    with running.placed(variant, tmp_path) as project:
        assert (project / "conftest.py").exists()
        assert (" " in project.name) == (variant.place == WITH_SPACES)
        assert ((project / "conftest.py").stat().st_mode & 0o222 == 0) == (variant.place == READ_ONLY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of POSIX")
def test_a_throttled_process_is_stopped_again_and_again(monkeypatch):
    """It runs to its end, and slower."""
    monkeypatch.setattr(running, "SLICE", 0.02)
    sent = []
    original = os.killpg
    monkeypatch.setattr(os, "killpg", lambda number, sign: (sent.append(sign), original(number, sign)))
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"], start_new_session=True)
    running.wait(process, throttled=True)
    assert process.returncode == 0
    assert sent.count(signal.SIGSTOP) >= 2
    assert sent.count(signal.SIGCONT) >= 2


@pytest.mark.parametrize("how", ["tiers", "all"])
def test_the_order_is_random(bare_project, monkeypatch, how):
    """Within the tiers, or of all; the same seed gives the same order."""
    monkeypatch.setenv("ORDER", how)
    tests = "\n".join(f"def test_{number}(): pass" for number in range(20))
    bare_project.makepyfile(test_exact=tests, test_lockstep=tests)

    def order(seed):
        options = ("-p", "no:cacheprovider", "-p", "tests.meta.faults.healthy.order", f"--seed={seed}")
        passed = bare_project.inline_run(*options).listoutcomes()[0]
        return [report.nodeid for report in passed]

    one, other = order(1), order(2)
    modules = [test.split("::")[0] for test in one]
    assert one != other
    assert sorted(one) == sorted(other)
    assert one != sorted(one, key=lambda test: (test.split("::")[0], int(test.split("_")[-1])))
    assert (modules == sorted(modules)) == (how == "tiers")
