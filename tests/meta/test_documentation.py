"""Is what the documents say true: their commands, environments, options, links and files?"""

import configparser
import re
from functools import reduce

import pytest

from cnnspec import __main__ as command_line
from cnnspec.facts import reading
from tests.meta.faults import run as faults
from tests.meta.museum import __main__ as museum
from tests.meta.mutation import __main__ as mutation

DOCUMENTS = {
    path.relative_to(reading.PROJECT).as_posix(): path.read_text(encoding="utf-8")
    for folder in (".", "docs/**", "baselines/**")
    for path in sorted(reading.PROJECT.glob(f"{folder}/*.md"))
}
README = DOCUMENTS["README.md"]
OTHERS = {"--no-deps", "--no-cache-dir", "--constraint", "--format", "--no-project", "--python", "--with"}  # of pip and uv
LONGEST_README = 130  # lines
LONGEST_LINE = 125  # characters
CI = (reading.PROJECT / ".ci" / "run").read_text(encoding="utf-8")
WORKFLOW = (reading.PROJECT / ".github" / "workflows" / "verify.yml").read_text(encoding="utf-8")
TOX = configparser.ConfigParser()
TOX.read(reading.PROJECT / "tox.ini")
every_document = pytest.mark.parametrize("name", DOCUMENTS)


def environments():
    """Names of the environments in tox.ini."""
    return {section.removeprefix("testenv:") for section in TOX.sections() if section.startswith("testenv:")}


def labels():
    """{label of tox.ini: its environments}, as text."""
    return dict(re.findall(r"(\w+) = (.*)", TOX["tox"]["labels"]))


def joined(text):
    """A text on one line, so that a command is found across a line break."""
    return " ".join(text.split())


def test_every_environment_has_a_description():
    """tox list explains every environment; a text that begins with `word:` would be for a factor of that name only."""
    texts = {name: TOX[f"testenv:{name}"].get("description", "") for name in environments()}
    assert [name for name, text in texts.items() if not text or re.match(r"[^\s:]+:", text)] == []


def test_the_readme_is_short():
    """The README leads to the other documents; what is measured stands beside its data."""
    assert len(README.splitlines()) <= LONGEST_README


@every_document
def test_lines_are_short(name):
    """No line of prose is longer than a line of code; tables and output are as wide as they are."""
    prose = re.sub(r"^```.*?^```", "", DOCUMENTS[name], flags=re.MULTILINE | re.DOTALL).splitlines()
    assert [line for line in prose if len(line) > LONGEST_LINE and not line.startswith("|")] == []


def unknown_environments(text):
    """Environments and labels that the `tox run` of a text name and tox.ini does not have."""
    named = {name for names in re.findall(r"tox run -e ([a-z0-9,-]+)", joined(text)) for name in names.split(",")}
    return (named - environments()) | (set(re.findall(r"tox run(?:-parallel)? -m (\w+)", joined(text))) - set(labels()))


@every_document
def test_environments_exist(name):
    """Every `tox run -e` names environments of tox.ini, every `tox run -m` a label."""
    assert unknown_environments(DOCUMENTS[name]) == set()


def test_an_unknown_environment_is_seen():
    """A name that only begins like an environment is none, also after a line break."""
    assert unknown_environments("`tox run -e bench-all`, tox run\n-e test,gone and tox run -m all") == {
        "bench-all",
        "gone",
        "all",
    }


@pytest.mark.parametrize(("name", "least"), [("README.md", 3), ("tox.ini", 6)])
def test_paths_are_joined_to_their_options(name, least):
    """`--mnist=PATH`: pytest takes a path that stands alone for a place of tests, and then finds no options."""
    calls = re.findall(r"pytest [^`\n]*|`--[^`]*`", (reading.PROJECT / name).read_text(encoding="utf-8"))
    followed = [sign for call in calls for sign in re.findall(r"--(?:mnist|report|recording|out)\b(.?)", call)]
    assert len(followed) >= least
    assert set(followed) == {"="}


def test_the_workflow_names_what_exists():
    """Labels of tox.ini, options of `cnnspec report`, and an environment that the label `quick` runs."""
    named = re.findall(r"tox run -m (\w+)", WORKFLOW)
    assert named == ["quick", "matrix", "nightly"]
    assert set(named) <= set(labels())
    reports = re.findall(r"python -m cnnspec report (.*)", WORKFLOW)
    assert len(reports) == 3
    assert {option for line in reports for option in re.findall(r"--[a-z]+", line)} <= options_of("report")
    assert "--expect test " in reports[0]
    assert "test" in labels()["quick"].replace(",", " ").split()
    assert f"--expect {labels()['nightly']} " in reports[2]


def test_only_the_previews_may_fail():
    """In the workflow the job `nightly` alone turns nothing else red, and its report has a name of its own."""
    jobs = {
        name: text
        for name, text in re.findall(r"^  (\w+):.*\n((?:    .*\n|\n)+)", WORKFLOW, re.MULTILINE)
        if "steps:" in text
    }
    assert list(jobs) == ["quick", "matrix", "nightly"]
    assert [name for name, text in jobs.items() if "    continue-on-error: true\n" in text] == ["nightly"]
    stored = {name: re.search(r"name: (reports.*)$", text, re.MULTILINE).group(1) for name, text in jobs.items()}
    assert stored == {"quick": "reports", "matrix": "reports", "nightly": "reports-nightly"}


def test_ci_runs_the_readmes_test_command():
    """.ci/run calls the second of the README's two commands."""
    commands = re.search(r"```sh\n(.*?)```", README, re.DOTALL).group(1).splitlines()
    assert commands[1] == "python -m tox run -e test"
    assert commands[1] in CI


@every_document
def test_options_exist(name, pytestconfig):
    """Every option that a document names is one of pytest's, of the command line or of a command of the tests."""
    known = reduce(set.union, map(options_of, commands()), {"--help", "--snapshot-update"})
    known |= {f"--{option.replace('_', '-')}" for option in vars(pytestconfig.option)}
    for parser in (faults.parser(), museum.parser(), mutation.parser()):
        known |= {option for action in parser._actions for option in action.option_strings}
    known |= OTHERS if name == "docs/recipes.md" else set()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", DOCUMENTS[name]))
    assert named - known == set()
    assert named or name != "README.md"


def commands():
    """{command of `python -m cnnspec`: its parser}."""
    (found,) = [action for action in command_line.parser()._actions if isinstance(action.choices, dict)]
    return found.choices


def options_of(command):
    """Option strings of one command of `python -m cnnspec`."""
    return {option for action in commands()[command]._actions for option in action.option_strings}


def unknown_commands(text):
    """Commands that a text calls by `python -m cnnspec` or `cnnspec` and that it does not have."""
    return set(re.findall(r"(?:python -m |`)cnnspec ([a-z]+)", joined(text))) - set(commands())


def missing_paths(text, folder):
    """Files that a text names, from the project's root, as a module or as a link from its folder, and that do not exist.

    `*` stands for any name.
    """
    root = reading.PROJECT
    paths = re.findall(r"(?<![\w./-])((?:baselines|tests|cnnspec|\.ci|\.github)/[\w.*/-]*[\w*/])", text)
    modules = re.findall(r"-m ((?:tests|cnnspec)\.[\w.]*\w)", text)
    modules += [".".join(names) for names in re.findall(r"from ((?:tests|cnnspec)[\w.]*) import (\w+)", text)]
    paths += [name.replace(".", "/") + ".py" for name in modules]
    missing = [path for path in paths if not any(root.glob(path))]
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    return missing + [link for link in links if not (folder / link).exists()]


@every_document
def test_what_a_document_names_exists(name):
    """Every path from the project's root, every module that is run and every relative link leads somewhere."""
    assert missing_paths(DOCUMENTS[name], (reading.PROJECT / name).parent) == []
    assert unknown_commands(DOCUMENTS[name]) == set()


def test_a_path_that_is_gone_is_seen():
    """A file that was renamed, a module, a pattern without a file, a link and a command are each named."""
    text = "`cnnspec/gone.py`, tests/gone/*.py, `python -m tests.gone`, from tests import lost, [here](gone.md), [there](https://a.b/c.md)"
    assert missing_paths(text, reading.PROJECT) == [
        "cnnspec/gone.py",
        "tests/gone/*.py",
        "tests/gone.py",
        "tests/lost.py",
        "gone.md",
    ]
    assert missing_paths("`cnnspec/names.py`, `tests/test_*.py`, [log](CHANGELOG.md#unreleased)", reading.PROJECT) == []
    assert unknown_commands("`python -m\ncnnspec settle x`, `cnnspec\nresolve`, `cnnspec verify`") == {"settle", "resolve"}
