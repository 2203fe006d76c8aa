"""`python -m tests.meta.mutation`: change the code by one small thing at a time, and see whether a test notices.

cosmic-ray makes the mutants of a module in a copy of the project and runs the module's tests on each, without the suite's
plugins, which import the framework, or, where the tests need it, in forks of a process that has imported it. A session that
was stopped goes on; a module whose text and tests are those of its stored score is not run again. After tests were added,
`--survivors` runs those mutants alone that had survived before.
"""

from __future__ import annotations

import argparse
import compileall
import concurrent.futures
import contextlib
import datetime
import importlib.metadata
import os
import platform
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnspec.errors import CnnspecError
from cnnspec.facts import reading
from tests.meta.copies import copy_project
from tests.meta.mutation import forked, groups, scores

WORK = reading.PROJECT / "runs" / "mutation"
PARTS = ("conftest.py", "pyproject.toml", "tox.ini", "README.md", "cnnspec", "tests", "baselines")
# One change of a kind each: of an operator into eleven others the tests notice all or none.
LEFT_OUT = [
    "core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Div|Mod_Mul|Pow_Mul|BitAnd_BitOr)",
    "core/ReplaceComparisonOperator_(?!Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)",
    "core/ReplaceUnaryOperator_(?!USub_UAdd|Delete_Not)",
]
# Without conftest.py, whose plugins import the framework.
PLUGINS = ("no:cacheprovider", "pytester", "tests.meta.conftest", "tests.meta.reports.conftest")
PYTEST = ("-m", "pytest", "-x", "-q", "--noconftest", *(f"-p{name}" for name in PLUGINS))
WITH_PLUGINS = ("-x", "-q", "-pno:cacheprovider")  # of tests that need the framework


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the modules that were asked for; returns 0 where each survivor has a reason, 1 elsewhere, 2 for wrong names."""
    options = parser().parse_args(arguments)
    known = groups.judged()
    chosen = [path for path, group in known.items() if not options.names or named(path, group) & set(options.names)]
    wrong = set(options.names) - {*groups.GROUPS, *known}
    if wrong:
        print(f"error: no group or module {', '.join(sorted(wrong))}; --list shows them", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(f"{path} | {' '.join(known[path].tests)}" for path in chosen))
        return 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        told = list(pool.map(lambda path: attempted(path, known[path], options.survivors), chosen))
    survivors = scores.FOLDER / "survivors.csv"
    left = scores.unexplained(scores.SURVIVORS.read(survivors)) if survivors.exists() else []
    print(f"{len(left)} survivors without a reason in {survivors.relative_to(reading.PROJECT)}")
    return int(bool(left) or not all(told))


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m tests.meta.mutation", description=str(__doc__).split("\n\n")[0])
    found.add_argument("names", nargs="*", metavar="NAME", help="groups or modules (default: all)")
    found.add_argument("--jobs", type=int, default=1, metavar="N", help="modules at once (default: 1)")
    found.add_argument(
        "--survivors",
        action="store_true",
        help="where only tests changed: run again what survived, and believe what was noticed",
    )
    found.add_argument("--list", action="store_true", help="print groups and modules, and run nothing")
    return found


def named(path: str, group: groups.Group) -> set[str]:
    """Names under which a module is asked for."""
    return {path, *(name for name, each in groups.GROUPS.items() if each is group)}


def attempted(module: str, group: groups.Group, survivors: bool) -> bool:
    """Run a module's mutants; whether they all ran. What went wrong is printed, and the other modules go on."""
    try:
        print(f"{module}: {run(module, group, survivors)}", flush=True)
    except (CnnspecError, ValueError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stdout", "") or ""
        print(f"{module}: error: {error}\n{output[-2000:]}", file=sys.stderr, flush=True)
        return False
    return True


def run(module: str, group: groups.Group, survivors: bool = False) -> str:
    """Run a module's mutants, or those that survived other tests, and store what came of them; returns it in words."""
    text, path = scores.digest(module, *group.tests), scores.FOLDER / "scores.csv"
    if path.exists() and scores.SCORES.holds(scores.SCORES.read(path), {"module": module, "text": text}):
        return "stored already, of this text and these tests"
    folder = WORK / f"{module.replace('/', '.')}-{scores.digest(module)}"
    session, copy = folder / "session.sqlite", folder / "project"
    fresh(copy, module)
    of_tests = folder / "tests"
    if session.exists() and of_tests.read_text(encoding="utf-8") != text:
        forget_survivors(session) if survivors else session.unlink()
    of_tests.write_text(text, encoding="utf-8")
    with testing(group, copy) as test:
        begun = time.monotonic()
        ran(test, copy)  # without a mutant the tests pass, or their failures say nothing
        limit = 10 + 5 * (time.monotonic() - begun)
        config = folder / "cosmic-ray.toml"
        config.write_text(configured(module, test, limit), encoding="utf-8")
        begun = time.monotonic()
        if not session.exists():
            ray("init", str(config), f"{session}.new", cwd=copy)
            ran(["cr-filter-operators", f"{session}.new", str(config)], copy)
            os.replace(f"{session}.new", session)
        ray("exec", str(config), str(session), cwd=copy)
    found = scores.mutants(module, ray("dump", str(session), cwd=copy))
    about = {
        "text": text,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "cosmic_ray": importlib.metadata.version("cosmic-ray"),
    }
    scores.store(module, found, about)
    killed = sum(mutant.killed for mutant in found)
    return f"{killed} of {len(found)} mutants noticed, {time.monotonic() - begun:.0f} s"


@contextlib.contextmanager
def testing(group: groups.Group, copy: Path) -> Iterator[list[str]]:
    """The command that runs a group's tests in a copy; where they need the framework, a process that has it serves them."""
    if not group.framework:
        yield [sys.executable, *PYTEST, *group.tests]
        return
    with tempfile.TemporaryDirectory(prefix="cnnspec-") as folder:  # a socket's name must be short
        place = Path(folder, "socket")
        serve = [sys.executable, "-m", forked.__name__, "serve", str(place)]
        with subprocess.Popen(serve, cwd=copy, env=environment() | forked.ENVIRONMENT, start_new_session=True) as serving:
            try:
                while not place.exists():
                    if serving.poll() is not None:
                        raise subprocess.CalledProcessError(serving.returncode, serve)
                    time.sleep(forked.PAUSE)
                yield [sys.executable, "-m", forked.__name__, "ask", str(place), *WITH_PLUGINS, *group.tests]
            finally:
                os.killpg(serving.pid, signal.SIGKILL)


def fresh(copy: Path, module: str) -> None:
    """A copy of the project without the module's compiled file, which is not told from a mutant of the same second."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    copy_project(copy, PARTS)
    compileall.compile_dir(str(copy), quiet=2)
    for compiled in (copy / module).parent.glob(f"__pycache__/{Path(module).stem}.*.pyc"):
        compiled.unlink()


def forget_survivors(session: Path) -> None:
    """Take the results of the mutants that survived out of a session, so that they run again."""
    with sqlite3.connect(session) as opened:
        opened.execute("DELETE FROM work_results WHERE test_outcome = 'SURVIVED'")


def configured(module: str, test: Sequence[str], limit: float) -> str:
    """The text of cosmic-ray's configuration: `limit` is the seconds after which a mutant is taken to run for ever."""
    left_out = ", ".join(f"'{pattern}'" for pattern in LEFT_OUT)
    return (
        f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = {limit:.0f}\nexcluded-modules = []\n'
        f'test-command = "{shlex.join(test)}"\n[cosmic-ray.distributor]\nname = "local"\n'
        f"[cosmic-ray.filters.operators-filter]\nexclude-operators = [{left_out}]\n"
    )


def ray(*arguments: str, cwd: Path) -> str:
    """Standard output of a command of cosmic-ray."""
    return ran(["cosmic-ray", *arguments], cwd)


def environment() -> dict[str, str]:
    """The variables of a process in the copy. With nothing else on the path no browser is found, which would be too slow."""
    return {**os.environ, "PATH": str(Path(sys.executable).parent), "PYTHONDONTWRITEBYTECODE": "1"}


def ran(command: Sequence[str], cwd: Path) -> str:
    """Standard output of a command in the copy. Raises CalledProcessError with all output."""
    done = subprocess.run(command, cwd=cwd, env=environment(), text=True, capture_output=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout + done.stderr)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
