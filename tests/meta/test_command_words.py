"""Is a command line read as it is written, and explained or refused, before a framework is imported?"""

import argparse
import re

import pytest

import cnnspec
from cnnspec import __main__ as command_line
from cnnspec import command_checks, commands, errors
from cnnspec.names import LARGEST_SEED


@pytest.mark.parametrize(
    "arguments",
    [[], ["train"], ["train", "model0"], ["train", "model1", "--epochs", "0"], ["train", "model1", "--epochs", "x"]],
)
def test_a_wrong_command_line_is_exit_code_2(arguments, capsys):
    """A wrong command line ends with code 2 and shows the usage."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m cnnspec" in capsys.readouterr().err


COMMANDS = command_line.parser()._subparsers._group_actions[0].choices  # {name: its parser}


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_explains_itself(arguments, capsys):
    """Every help text says what the command does, gives an example that the parser takes, and leads to the exit codes."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == 0
    output = capsys.readouterr().out
    assert re.search(r"\n\n[A-Z][^\n]+", output)
    example = re.search(r"\nexample: cnnspec (.*)", output).group(1).split()
    assert example[0] == arguments[0] or arguments == ["--help"]
    assert callable(command_line.parsed(example).command)
    assert ("exit codes:\n  0  done" in output) == (arguments == ["--help"])
    assert "exit codes" in output


def test_the_purpose_is_a_sentence_in_the_help(capsys):
    """With a capital letter and a full stop."""
    with pytest.raises(SystemExit):
        command_line.main(["bands", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Print the bands of an ensemble, which shifts they detect and how often a healthy run fails. options:" in told


def test_what_follows_two_dashes_is_for_pytest():
    """All of it, of the commands that run pytest; without dashes nothing."""
    found = command_line.parsed(["verify", "--level", "quick", "--", "-k", "exact", "--", "tests"])
    assert (found.level, found.pytest) == ("quick", ["-k", "exact", "--", "tests"])
    assert command_line.parsed(["verify"]).pytest == []
    assert command_line.parsed(["place", "--", "folder"]).pytest == []


def test_values_without_options():
    """What the help tells as defaults: seeds, epochs, simulated runs, starts."""
    assert command_line.parsed(["train", "model1"]).seed == 0
    assert command_line.parsed(["paired", "--out", "a"]).starts == [0]
    bands = command_line.parsed(["bands"])
    assert (bands.dataset, bands.epochs, bands.suites) == ("mnist5k", 1, 20_000)
    assert command_line.parsed(["compare", "a", "b"]).epochs is None


EXIT_CODES = {  # as `python -m cnnspec --help` tells them
    2: {"BisectError", "FrameworkMissing", "OutUnusable", "WrongArguments"},
    3: {
        *("BaselineError", "BisectDamaged", "DataError", "EnsembleError", "MalformedReport", "MalformedRun"),
        *("ModelMissing", "TimingsError", "TooFewRuns"),
    },
    4: {"NonFiniteLoss"},
    5: {"DeviceMissing"},
    6: {"ClusterMissing"},
    7: {"RunFailed"},
}


def test_each_error_has_its_exit_code():
    """Scripts act on them: bad input is 3, a wrong command line 2."""
    found = {}
    for name, error in vars(errors).items():
        if hasattr(error, "exit_code"):
            found.setdefault(error.exit_code, set()).add(name)
    assert found == EXIT_CODES


def test_every_exit_code_is_explained_once():
    """The codes in the help are those of the errors, and 0 and 1."""
    explained = [int(code) for code in re.findall(r"^  (\d)  ", command_line.EXIT_CODES, re.MULTILINE)]
    raised = {error.exit_code for error in vars(errors).values() if hasattr(error, "exit_code")}
    assert explained == sorted({0, 1} | raised)


def test_the_version(capsys):
    """`--version` prints the package's."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"cnnspec {cnnspec.__version__}\n"


def test_the_program_is_called_as_it_was_called(monkeypatch):
    """The usage says `cnnspec` where that was called, else `python -m cnnspec`."""
    for called, program in (("/opt/bin/cnnspec", "cnnspec"), ("/opt/cnnspec/__main__.py", "python -m cnnspec")):
        monkeypatch.setattr("sys.argv", [called])
        assert command_line.parser().prog == program
        assert (
            f"usage: {program} verify"
            in command_line.parser()._subparsers._group_actions[0].choices["verify"].format_usage()
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained(name):
    """No option and no argument is without a help text, and every option with a default names it."""
    actions = COMMANDS[name]._actions
    assert [action.dest for action in actions if not action.help] == []
    silent = [
        action.dest
        for action in actions
        if action.default not in (None, False, [], "==SUPPRESS==") and "default" not in action.help
    ]
    assert silent == []


REQUIRED = {  # words of a command that lack an option -> the option
    "trajectory": (["trajectory", "--models", "model1"], "--out"),
    "paired": (["paired"], "--out"),
    "bisect": (["bisect", "--good", "1.0", "--bad", "2.0"], "--package"),
    "bisect without a good release": (["bisect", "--package", "keras", "--bad", "2.0"], "--good"),
    "bisect without a bad release": (["bisect", "--package", "keras", "--good", "2.0"], "--bad"),
    "calibrate": (["calibrate"], "--out"),
}


@pytest.mark.parametrize(("words", "option"), REQUIRED.values(), ids=REQUIRED)
def test_an_option_that_is_required(words, option, capsys):
    """The command ends with code 2 and names the option; nothing runs."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"the following arguments are required: {option}")


PROGRAMS = {  # how it was started -> what its usage calls it
    ("/opt/bin/cnnspec", "report"): "cnnspec",
    ("/opt/cnnspec/__main__.py", "cnnspec.json"): "python -m cnnspec",
    ("-c", "cnnspec"): "python -m cnnspec",
}


@pytest.mark.parametrize(("words", "name"), PROGRAMS.items(), ids=[" ".join(words) for words in PROGRAMS])
def test_the_name_of_the_program(monkeypatch, words, name):
    """Usage and messages advise the command as it was called, by the first word of the command line alone."""
    monkeypatch.setattr("sys.argv", list(words))
    assert command_line.parser().prog == name


def test_a_result_that_cannot_be_written(monkeypatch, tmp_path):
    """A full disk, which no look at the place tells before, is an error with the path and what to do."""

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command_checks, "write_whole", full)
    words = f"{tmp_path}/a.html cannot be written \\(No space left on device\\); name a file in a folder that you can write"
    with pytest.raises(errors.OutUnusable, match=words):
        command_checks.write_result(tmp_path / "a.html", "text")


SEEDS = {  # options that name seeds -> the last seed, where it is too large
    "the largest": ({"first_seed": LARGEST_SEED, "runs": 1}, None),
    "the next": ({"first_seed": LARGEST_SEED, "runs": 2}, LARGEST_SEED + 1),
    "one run": ({"first_seed": LARGEST_SEED}, None),
    "one run of the next": ({"first_seed": LARGEST_SEED + 1}, LARGEST_SEED + 1),
    "from 0": ({"runs": LARGEST_SEED + 1}, None),
    "from 0, one more": ({"runs": LARGEST_SEED + 2}, LARGEST_SEED + 1),
    "none": ({}, None),
}


@pytest.mark.parametrize(("named", "last"), SEEDS.values(), ids=SEEDS)
def test_seeds_are_those_of_numpy(named, last):
    """The last of all runs too."""
    options = argparse.Namespace(command=commands.calibrate, **named)
    if last is None:
        command_checks.check(options)
        return
    with pytest.raises(errors.WrongArguments, match=f"^the last seed would be {last}; --first-seed"):
        command_checks.check(options)


DIGITS = "no does not exist; name an .npz file of MNIST or a folder of its four IDX files"
FOLDER, FILE = "name a folder that you can write", "name a file in a folder that you can write"
REFUSED = {  # options -> the error, its words
    "no digits": ({"mnist": "no"}, errors.DataError, DIGITS),
    "no digits here": ({"mnist": "no", "dask": None}, errors.DataError, DIGITS),
    "a file for a folder": ({"out": "file"}, errors.OutUnusable, f"file cannot be written (it is a file); {FOLDER}"),
    "a folder for a page": ({"html": "folder"}, errors.OutUnusable, f"folder cannot be written (it is a folder); {FILE}"),
    "a folder for a table": (
        {"out": None, "html": "new.html", "markdown": "folder"},
        errors.OutUnusable,
        f"folder cannot be written (it is a folder); {FILE}",
    ),
}


@pytest.mark.parametrize(("named", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_a_path_that_cannot_be_used_is_refused(place, named, kind, words):
    """Before anything is imported, and nothing is made."""
    with pytest.raises(kind) as error:
        command_checks.check(argparse.Namespace(command=commands.train, **named))
    assert str(error.value) == words
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"]


FINE = {
    "digits": (commands.train, {"mnist": "file", "dask": None, "out": "folder"}),
    "digits of a cluster": (commands.calibrate, {"mnist": "no", "dask": "tcp://there"}),
    "new places": (commands.report, {"out": "new", "html": "new/a.html", "markdown": "file"}),
    "verify looks itself": (commands.verify, {"out": "file"}),
    "bench looks itself": (commands.bench, {"out": "file"}),
}


@pytest.mark.parametrize(("command", "named"), FINE.values(), ids=FINE)
def test_what_can_be_used_is_not_refused(place, command, named):
    """And nothing is made."""
    command_checks.check(argparse.Namespace(command=command, **named))
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"]


def test_a_path_is_that_of_a_file_where_nothing_else_is_said():
    """The remedy names a file in a folder."""
    assert command_checks.unusable("a", OSError(1, "no")) == f"a cannot be written (no); {FILE}"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_the_exit_code_is_that_of_the_command(monkeypatch, returned, code):
    """0 of one that returns nothing. Without arguments the words are those that Python was started with."""
    asked = []
    monkeypatch.setattr(commands, "place", lambda options: (asked.append(options.folders), returned)[1])
    assert command_line.main(["place", "a"]) == code
    monkeypatch.setattr("sys.argv", ["cnnspec", "place", "b"])
    assert command_line.main() == code
    assert [[str(path) for path in folders] for folders in asked] == [["a"], ["b"]]


def test_an_error_is_one_line_and_an_exit_code(monkeypatch, capsys):
    """The error's own; any other error is a defect of the project, and shows where."""

    def raising(error):
        def command(options):
            raise error

        return command

    monkeypatch.setattr(commands, "place", raising(errors.DeviceMissing("no GPU")))
    assert command_line.main(["place", "a"]) == 5
    assert capsys.readouterr().err == "error: no GPU\n"
    monkeypatch.setattr(commands, "place", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        command_line.main(["place", "a"])


def test_two_dashes_of_other_commands_are_pythons():
    """`verify` behind them is a word like any other."""
    assert [str(path) for path in command_line.parsed(["place", "--", "verify", "bench"]).folders] == ["verify", "bench"]
    assert command_line.parsed(["bench", "--", "verify"]).pytest == ["verify"]
    words = ["bisect", "--package", "keras", "--good", "1.0", "--bad", "2.0"]
    assert command_line.parsed([*words, "--", "-x"]).pytest == ["-x"]


def test_compare_takes_two():
    """Reports or folders."""
    assert len(command_line.parsed(["compare", "a", "b"]).paths) == 2
    for words in (["a"], ["a", "b", "c"]):
        with pytest.raises(SystemExit):
            command_line.parsed(["compare", *words])
