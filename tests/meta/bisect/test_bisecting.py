"""Does `cnnspec bisect` find the release, go on where it was stopped, and say what is wrong on one line?

The index and the commands that install and run are made up; the last test kills a real process.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec import __main__ as command_line
from cnnspec.bisect import command, environments
from cnnspec.bisect.state import FILE
from cnnspec.errors import BisectError
from tests.meta.reports.made_reports import ADAM, made

RELEASES = ["3.9.0", "3.9.1", "3.9.2", "3.10.0", "3.11.0", "3.11.1", "3.12.0"]
LISTED = f"Available versions: {', '.join(reversed(RELEASES))}\n"
FAILED = [{"test": ADAM, "reason": "another step"}]


class World:
    """A made-up index, and releases of which those from `first` on fail; the commands that were run are kept."""

    def __init__(self, first="3.11.0", releases=RELEASES):
        self.first, self.releases = releases.index(first), releases
        self.runs, self.installs, self.commands = [], [], []
        self.special = {}  # release -> function of the log that installs or runs it instead

    def asked(self, words):
        return subprocess.CompletedProcess(words, 0, LISTED, "")

    def call(self, words, log, environment):
        self.commands.append((words, environment))
        release = log.stem
        if "venv" in words:
            Path(words[-1], "bin").mkdir(parents=True)
            return 0
        if "install" in words:
            self.installs.append(words)
            return self.special.get(("install", release), lambda log: 0)(log)
        self.runs.append(release)
        return self.special.get(("run", release), self.judge)(log)

    def judge(self, log):
        fails = self.releases.index(log.stem) >= self.first
        made(failed=FAILED if fails else [], verdict="fail" if fails else "no verdict").to_json(log.with_suffix(".json"))
        return int(fails)


@pytest.fixture
def world(monkeypatch):
    """A World that `cnnspec bisect` meets in the place of the index and of pip, without uv."""
    made_up = World()
    monkeypatch.setattr(command, "ask", None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    bisect = command.bisect
    monkeypatch.setattr(command, "bisect", lambda options: bisect(options, made_up.asked, made_up.call))
    monkeypatch.setattr(environments, "interpreter", None)
    monkeypatch.setattr(command, "interpreter", lambda wanted, version, uv: wanted or f"/python{version}")
    return made_up


def run(out, *more, good="3.9.0", bad="3.12.0", tests=("-k", "shuffling")):
    """The exit code of a bisect of keras."""
    words = ["bisect", "--package", "keras", "--good", good, "--bad", bad, "--out", str(out), *more, "--", *tests]
    return command_line.main(words)


def state_of(out):
    """The file with what is known."""
    (path,) = out.glob(f"runs/bisect/*/{FILE}")
    return path


def test_the_release_is_found(world, tmp_path, capsys):
    """The last line names the release that fails first and the one before it; the file has every result with its code."""
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "keras 3.11.0 is the first that fails: -k shuffling; 3.10.0 passes"
    assert lines[0] == "keras: 7 releases from 3.9.0 to 3.12.0, about 5 to try: -k shuffling"
    assert lines[2].startswith("[1] keras 3.9.0 (the good end) with ")
    assert lines[3].startswith("    keras 3.9.0 passes: ")
    assert world.runs == ["3.9.0", "3.12.0", "3.10.0", "3.11.0"]
    kept = json.loads(state_of(tmp_path).read_text(encoding="utf-8"))
    assert {release: (each["verdict"], each["code"]) for release, each in kept["results"].items()} == {
        "3.9.0": ("passes", 0),
        "3.12.0": ("fails", 1),
        "3.10.0": ("passes", 0),
        "3.11.0": ("fails", 1),
    }
    assert not list(state_of(tmp_path).parent.glob("environments/*"))
    assert "keras==3.11.0" in kept["results"]["3.11.0"]["requirements"]


def test_what_mended_it(world, tmp_path, capsys):
    """With a good end newer than the bad one, the first that passes."""
    world.judge = lambda log: World.judge(world, log)
    world.special = {("run", release): lambda log: healed(log) for release in RELEASES}

    def healed(log):
        fails = RELEASES.index(log.stem) < 2
        made(failed=FAILED if fails else []).to_json(log.with_suffix(".json"))
        return int(fails)

    assert run(tmp_path, good="3.12.0", bad="3.9.0") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "keras 3.9.2 is the first that passes: -k shuffling; 3.9.1 fails"
    assert world.runs[:2] == ["3.12.0", "3.9.0"]


def test_what_fails_sometimes(world, tmp_path, capsys):
    """With --repeat a release passes if each of its runs does; a search without it is another question."""

    def sometimes(log):
        if world.runs.count(log.stem) == 3:
            return world.judge(log)
        made(failed=[]).to_json(log.with_suffix(".json"))
        return 0

    world.special = {("run", release): sometimes for release in RELEASES}
    assert run(tmp_path) == 2
    assert run(tmp_path, "--repeat", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "keras 3.11.0 is the first that fails: -k shuffling; 3.10.0 passes"
    assert "keras 3.11.0 fails: run 3 of 3: test_optimizer.py" in "".join(lines)
    assert "keras 3.10.0 passes: run 3 of 3: " in "".join(lines)
    assert len(world.installs) == len({*world.runs}) + 2


def test_each_environment_is_that_of_its_release(world, tmp_path, monkeypatch):
    """The release, what fits it, this package's needs; known differences fail; no variable of this environment leaks in."""
    monkeypatch.setenv("CNNSPEC_EXPECT", "keras<2")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    run(tmp_path, "--with", "numpy==2.0.2")
    install = world.installs[0]
    assert install[1:4] == ["-m", "pip", "install"]
    assert {"keras==3.9.0", "numpy==2.0.2", "syrupy>=5"} <= set(install)
    assert len([word for word in install if word.startswith("numpy=")]) == 1
    assert any(word.startswith(("tensorflow==", "tensorflow-cpu==")) for word in install)
    words, variables = next(each for each in world.commands if "pytest" in each[0])
    assert {"--runxfail", "-k", "shuffling", "--disable-plugin-autoload"} <= set(words)
    assert words[0].endswith(os.path.join("environments", "3.9.0", "bin", "python"))
    assert "CNNSPEC_EXPECT" not in variables
    assert variables["KERAS_BACKEND"] == "tensorflow"
    code = "import cnnspec; print(cnnspec.__file__)"
    ended = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert os.path.dirname(ended.stdout) == os.path.join(variables["PYTHONPATH"], "cnnspec")
    assert os.listdir(variables["PYTHONPATH"]) == ["cnnspec"]


def refused(text, code=1):
    """An installation that writes `text` to its log and fails."""
    return lambda log: (log.write_text(text, encoding="utf-8"), code)[1]


NO_VERDICT = {  # which command of 3.10.0 does what -> the reason that is kept
    "not installable": ("install", refused("ERROR: cannot install\nERROR: no matching file\n"), "ERROR: no matching file"),
    "no report": ("run", lambda log: 1, "pytest could not start"),
    "a crash": ("run", lambda log: -signal.SIGSEGV, "it was ended by SIGSEGV"),
    "no framework": ("run", refused("no framework here\n", 2), "no framework here"),
    "no test": ("run", lambda log: 5, "no test was selected"),
    "nothing passed": (
        "run",
        lambda log: (
            made(
                tiers={"saving": dict.fromkeys(("passed", "failed", "skipped", "xfailed"), 0)},
                others=dict.fromkeys(("passed", "failed", "skipped", "xfailed"), 0),
            ).to_json(log.with_suffix(".json")),
            0,
        )[1],
        "no test passed",
    ),
    "a damaged report": ("run", lambda log: (log.with_suffix(".json").write_text("{"), 0)[1], "no test passed"),
}


@pytest.mark.parametrize(("what", "does", "reason"), NO_VERDICT.values(), ids=NO_VERDICT)
def test_no_verdict_is_skipped(world, tmp_path, capsys, what, does, reason):
    """A release that cannot be installed or ends without a verdict is passed over, and said; its neighbours decide."""
    world.special[what, "3.10.0"] = does
    assert run(tmp_path) == 2  # the change lies just behind what was skipped: it may be either
    output = capsys.readouterr().out
    assert f"    keras 3.10.0 skipped: {reason}" in output.replace("it cannot be installed: ", "")
    assert output.splitlines()[-1] == (
        "keras: one of 3.10.0, 3.11.0 is the first that fails: -k shuffling; 3.9.2 passes, "
        "and what lies between cannot be judged"
    )
    world.first = RELEASES.index("3.12.0")
    assert run(tmp_path / "other") == 0


def test_a_second_call_goes_on(world, tmp_path, capsys):
    """A search that was interrupted, again and again, runs each release once in all and ends at the same line."""

    def interrupted(log):
        del world.special["run", log.stem]
        raise KeyboardInterrupt

    for release in RELEASES:
        world.special["run", release] = interrupted
    codes = [run(tmp_path) for _ in range(5)]
    assert codes == [2, 2, 2, 2, 0]
    told = capsys.readouterr()
    assert told.err.splitlines() == ["error: it was stopped; the same command goes on"] * 4
    assert told.out.splitlines()[-1] == "keras 3.11.0 is the first that fails: -k shuffling; 3.10.0 passes"
    assert world.runs == [each for release in ("3.9.0", "3.12.0", "3.10.0", "3.11.0") for each in (release, release)]
    assert "keras 3.9.0 passes, known from before: " in told.out
    world.runs.clear()
    assert run(tmp_path) == 0
    assert world.runs == []


def test_other_questions_have_folders_of_their_own(world, tmp_path):
    """Other tests, ends or requirements never take the results of these."""
    run(tmp_path)
    for more in ({"tests": ("-k", "adam")}, {"good": "3.9.1"}):
        world.runs.clear()
        run(tmp_path, **more)
        assert world.runs
    world.runs.clear()
    run(tmp_path, "--with", "numpy==2.0.2")
    assert world.runs
    assert len(list(tmp_path.glob(f"runs/bisect/*/{FILE}"))) == 4


@pytest.mark.parametrize(
    "trouble", ["ERROR: No space left on device\n", "Retrying (Retry(total=0)) after connection broken"]
)
def test_a_trouble_of_this_machine_is_not_the_releases(world, tmp_path, capsys, trouble):
    """A full disk or a network that is gone ends the search and is not kept; the same command goes on afterwards."""
    world.special["install", "3.10.0"] = refused(trouble)
    assert run(tmp_path) == 2
    assert "the same command goes on" in capsys.readouterr().err
    assert "3.10.0" not in json.loads(state_of(tmp_path).read_text(encoding="utf-8"))["results"]
    del world.special["install", "3.10.0"]
    assert run(tmp_path) == 0


ONE_LINE = {  # arguments -> part of the message
    "the good end fails": ({"good": "3.11.1"}, "error: 3.11.1 was given as --good, but it fails (test_optimizer.py"),
    "the bad end passes": ({"bad": "3.10.0"}, "error: 3.10.0 was given as --bad, but it passes ("),
    "no release": ({"bad": "3.99"}, "error: --bad 3.99: keras has no such release"),
    "no version": ({"bad": "new"}, "error: --bad 'new' is no version"),
    "equal": ({"bad": "3.9.0"}, "error: --good and --bad are both 3.9.0"),
    "older than the matrix": ({"good": "1.0"}, "error: no environment of the matrix has"),
    "a baseline would move": ({"tests": ("--snapshot-update",)}, None),
}


@pytest.mark.parametrize(("arguments", "message"), ONE_LINE.values(), ids=ONE_LINE)
def test_wrong_input_is_one_line_and_exit_code_2(world, tmp_path, capsys, monkeypatch, arguments, message):
    """Every wrong input is one line on stderr."""
    if message is None:
        monkeypatch.setattr("cnnspec.verify.INSTALLED", True)
        message = "error: --snapshot-update would change the installed package"
    assert run(tmp_path, **arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "message"), [("--with", "=3", "is no requirement"), ("--by", "uv", "uv is not here")]
)
def test_wrong_options_are_one_line(world, tmp_path, capsys, option, value, message):
    """A requirement that is none, and uv where there is none."""
    assert run(tmp_path, option, value) == 2
    assert message in capsys.readouterr().err
    assert world.runs == []


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": "other"}', '{"format": "cnnspec bisect 1", "question": {}, "results": {}}']
)
def test_a_damaged_file_is_exit_code_3(world, tmp_path, capsys, text):
    """What is no state, or that of another question, is named and neither used nor replaced."""
    run(tmp_path)
    path = state_of(tmp_path)
    path.write_text(text, encoding="utf-8")
    assert run(tmp_path) == 3
    assert f"{path} cannot be gone on with" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == text


def test_two_at_once_are_refused(world, tmp_path, capsys):
    """A second call of the same question, while the first runs, is one line."""
    world.special["run", "3.10.0"] = lambda log: run(tmp_path)
    run(tmp_path)
    assert "error: another bisect of this question is running" in capsys.readouterr().err


def test_an_unknown_backend_is_refused(world, monkeypatch):
    """KERAS_BACKEND decides what stands beside; one that is not known is refused; a backend that is searched is its own."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert command.backend_of("keras") == "jax"
    assert command.backend_of("torch") == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(BisectError, match="KERAS_BACKEND=theano is none that cnnspec knows"):
        command.backend_of("keras")


def test_interpreters(monkeypatch, tmp_path):
    """This one where its version is asked for; a shim that does not start is none; what is missing is named."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert environments.interpreter("", here, None) == sys.executable
    assert environments.interpreter(sys.executable, "3.0", None) == sys.executable
    (tmp_path / "python3.0").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tmp_path / "python3.0").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BisectError, match=r"Python 3\.0: the matrix has these releases on this Python, and it is not here"):
        environments.interpreter("", "3.0", None)
    with pytest.raises(BisectError, match=r"Python /none: no interpreter; name one: --python PATH"):
        environments.interpreter("/none", "3.0", None)


KILLED = """
import pathlib, sys, time
from cnnspec import __main__
from cnnspec.bisect import command
from tests.meta.bisect.test_bisecting import RELEASES, World, run

world, bisect = World(), command.bisect
def slow(log):
    pathlib.Path("started").touch()
    time.sleep(60)
world.special["run", "3.10.0"] = slow
command.interpreter = lambda wanted, version, uv: "/python"
command.bisect = lambda options: bisect(options, world.asked, world.call)
sys.exit(run(pathlib.Path("out")))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_killed_search_goes_on(world, tmp_path, how, monkeypatch):
    """Killed while a release runs: what was known stays, the half-made environment goes, the next call ends the search."""
    monkeypatch.chdir(tmp_path)
    variables = {**os.environ, "PYTHONPATH": str(Path(command_line.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=variables, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if Path("started").exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.send_signal(how)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    if how == signal.SIGTERM:
        assert process.returncode == 2
        assert "it was stopped; the same command goes on" in told
    kept = json.loads(state_of(tmp_path / "out").read_text(encoding="utf-8"))["results"]
    assert list(kept) == ["3.9.0", "3.12.0"]
    monkeypatch.setattr(command, "interpreter", lambda wanted, version, uv: "/python")
    assert run(tmp_path / "out") == 0
    assert world.runs == ["3.10.0", "3.11.0"]


def test_a_stopped_search_ends_its_command(tmp_path):
    """What is being installed or run ends with the search."""

    def stop(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    try:
        signal.setitimer(signal.ITIMER_REAL, 1)
        with pytest.raises(KeyboardInterrupt):
            environments.call([sys.executable, "-c", code], tmp_path / "log", os.environ)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_logs_are_told_by_their_last_error(tmp_path):
    """The last error of a log where it has one, else its last line; never a command; no longer than a line."""
    log = tmp_path / "log"
    for text, told in (
        ("$ pip install x\nERROR: one\nERROR: two\nbye\n", "ERROR: two"),
        ("$ uv\n  × No solution found\n  ╰─▶ because\n", "× No solution found"),
        ("$ pip\nend  of it\n", "end of it"),
        ("$ pip\n", "it said nothing"),
    ):
        log.write_text(text, encoding="utf-8")
        assert environments.last_line(log) == told
    assert len(environments.shortened("x" * 1000)) == environments.LONGEST + 1
