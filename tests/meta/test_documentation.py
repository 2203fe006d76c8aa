"""Is what the README says true: its commands, environments, options and files?"""

import configparser
import re

import pytest

from cnnspec import __main__ as command_line
from cnnspec.facts import reading

README = (reading.PROJECT / "README.md").read_text(encoding="utf-8")
CI = (reading.PROJECT / ".ci" / "run").read_text(encoding="utf-8")
WORKFLOW = (reading.PROJECT / ".github" / "workflows" / "verify.yml").read_text(encoding="utf-8")


def environments():
    """Names of the environments in tox.ini."""
    tox = configparser.ConfigParser()
    tox.read(reading.PROJECT / "tox.ini")
    return {section.removeprefix("testenv:") for section in tox.sections() if section.startswith("testenv:")}


def test_every_environment_has_a_description():
    """tox list explains every environment; a text that begins with `word:` would be for a factor of that name only."""
    tox = configparser.ConfigParser()
    tox.read(reading.PROJECT / "tox.ini")
    texts = {name: tox[f"testenv:{name}"].get("description", "") for name in environments()}
    assert [name for name, text in texts.items() if not text or re.match(r"[^\s:]+:", text)] == []


def test_environments_exist():
    """Every `tox run -e` of the README names environments of tox.ini."""
    named = {name for names in re.findall(r"tox run -e ([a-z0-9,]+)", README) for name in names.split(",")}
    assert named
    assert named <= environments()


def test_paths_are_joined_to_their_options():
    """`--mnist=PATH`: pytest takes a path that stands alone for a place of tests, and then finds no options."""
    for name, least in (("README.md", 3), ("tox.ini", 6)):
        calls = re.findall(r"pytest [^`\n]*|`--[^`]*`", (reading.PROJECT / name).read_text(encoding="utf-8"))
        followed = [sign for call in calls for sign in re.findall(r"--(?:mnist|report|recording|out)\b(.?)", call)]
        assert len(followed) >= least
        assert set(followed) == {"="}


def test_the_workflow_names_what_exists():
    """Labels of tox.ini, options of `cnnspec report`, and an environment that the label `quick` runs."""
    tox = configparser.ConfigParser()
    tox.read(reading.PROJECT / "tox.ini")
    labels = dict(re.findall(r"(\w+) = (.*)", tox["tox"]["labels"]))
    named = re.findall(r"tox run -m (\w+)", WORKFLOW)
    assert named == ["quick", "matrix"]
    assert set(named) <= set(labels)
    reports = re.findall(r"python -m cnnspec report (.*)", WORKFLOW)
    assert len(reports) == 2
    assert {option for line in reports for option in re.findall(r"--[a-z]+", line)} <= options_of("report")
    assert "--expect test " in reports[0]
    assert "test" in labels["quick"].replace(",", " ").split()


def test_ci_runs_the_readmes_test_command():
    """.ci/run calls the second of the README's two commands."""
    commands = re.search(r"```sh\n(.*?)```", README, re.DOTALL).group(1).splitlines()
    assert commands[1] == "python -m tox run -e test"
    assert commands[1] in CI


def test_options_exist(pytestconfig):
    """Every option that the README names is one of pytest's or of the command line's."""
    known = options_of("train") | options_of("calibrate") | options_of("report") | {"--snapshot-update"}
    known |= {f"--{name.replace('_', '-')}" for name in vars(pytestconfig.option)}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README))
    assert named
    assert named - known == set()


def options_of(command):
    """Option strings of one command of `python -m cnnspec`."""
    (commands,) = [action for action in command_line.parser()._actions if action.dest != "help"]
    return {option for action in commands.choices[command]._actions for option in action.option_strings}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:baselines|tests|cnnspec)/[\w./-]*)`", README))))
def test_files_exist(path):
    """Every file and folder that the README names is there."""
    assert (reading.PROJECT / path).exists()
