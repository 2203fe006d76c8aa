"""Are the releases those that pip would install, and is every wrong input one line that says what to do?"""

import subprocess

import pytest

from cnnspec.bisect import releases
from cnnspec.errors import BisectError

LISTED = "keras (3.9.1)\nAvailable versions: 3.10.0, 3.9.1, 3.9.0, 3.0.0rc1, 2.15.0\n  INSTALLED: 3.9.0\n"
ORDERED = ["2.15.0", "3.0.0rc1", "3.9.0", "3.9.1", "3.10.0"]


def answering(stdout="", stderr="", code=0):
    """An index that gives one answer, and the commands that it was asked by."""
    commands = []

    def asked(command):
        commands.append(list(command))
        return subprocess.CompletedProcess(command, code, stdout, stderr)

    return asked, commands


def test_releases_are_ordered_as_versions():
    """3.10 comes behind 3.9, a pre-release before its release; pip is asked for pre-releases only with --pre."""
    asked, commands = answering(LISTED)
    assert releases.available("keras", "/python", asked=asked) == ORDERED
    assert releases.available("keras", "/python", pre=True, asked=asked) == ORDERED
    assert [command[:6] for command in commands] == [["/python", "-m", "pip", "index", "versions", "keras"]] * 2
    assert ["--pre" in command for command in commands] == [False, True]


REFUSED = {  # what pip says -> what the message says
    "no such package": ("ERROR: No matching distribution found for kras", "has no release of kras for /python"),
    "no network": (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
        "ERROR: No matching distribution found for kras",
        "the package index cannot be reached",
    ),
    "another pip": ('ERROR: unknown command "index"', 'ERROR: unknown command "index"; try: /python -m pip install -U pip'),
    "nothing": ("", "exit code 1"),
}


@pytest.mark.parametrize(("stderr", "message"), REFUSED.values(), ids=REFUSED)
def test_what_pip_refuses_is_told(stderr, message):
    """Unknown packages and a missing network have messages of their own; the rest is pip's last line."""
    with pytest.raises(BisectError) as refused:
        releases.available("kras", "/python", asked=answering(stderr=stderr, code=1)[0])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_interpreter_without_pip(monkeypatch):
    """uv lends its pip; without uv the message names both ways."""
    monkeypatch.setattr("shutil.which", lambda name: "/uv")
    answers = [subprocess.CompletedProcess([], 1, "", "No module named pip"), subprocess.CompletedProcess([], 0, LISTED, "")]
    commands = []
    assert releases.available("keras", "/python", asked=lambda each: (commands.append(each), answers[len(commands) - 1])[1])
    assert commands[1][:7] == ["/uv", "run", "--no-project", "--python", "/python", "--with", "pip"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BisectError, match="has no pip; name an interpreter that has it: --python PATH, or install uv"):
        releases.available("keras", "/python", asked=lambda each: answers[0])


@pytest.mark.parametrize("name", ["", "-r file", "keras==3", "a b", "../x"])
def test_what_is_no_name_never_reaches_pip(name):
    """A name that pip would take for something else is refused."""
    asked, commands = answering(LISTED)
    with pytest.raises(BisectError, match="is no name of a package"):
        releases.available(name, "/python", asked=asked)
    assert commands == []


def test_both_ends_are_among_them():
    """From the one to the other in either direction, written in any way that PEP 440 allows."""
    assert releases.between(ORDERED, "keras", "2.15.0", "3.9.1") == ["2.15.0", "3.0.0rc1", "3.9.0", "3.9.1"]
    assert releases.between(ORDERED, "keras", "3.10", "3.9") == ["3.9.0", "3.9.1", "3.10.0"]


WRONG = {  # good, bad -> part of the message
    "no version": ("3.9.x", "3.10.0", r"--good '3\.9\.x' is no version"),
    "no release": (
        "3.9.0",
        "3.9.7",
        r"--bad 3\.9\.7: keras has no such release for this Python; near it are 3\.0\.0rc1, 3\.9",
    ),
    "no pre-release": ("3.0.0rc2", "3.10.0", "pre-releases need --pre"),
    "equal": ("3.9.0", "3.9", r"--good and --bad are both 3\.9\.0"),
}


@pytest.mark.parametrize(("good", "bad", "message"), WRONG.values(), ids=WRONG)
def test_ends_that_are_no_releases(good, bad, message):
    """Each is refused by its option, with the releases that there are."""
    with pytest.raises(BisectError, match=message):
        releases.between(ORDERED, "keras", good, bad)
