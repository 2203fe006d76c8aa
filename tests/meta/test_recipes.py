"""Are the recipes short, do their commands and options exist, and do their shell parts pass the exit code on?"""

import json
import os
import re
import shlex
import subprocess

import pytest

import cnnspec
from cnnspec import __main__ as command_line
from cnnspec.facts import reading

TEXT = (reading.PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = {  # its heading -> (language, body)
    re.match(r".*", part).group(): re.search(r"```(\w+)\n(.*?)```", part, re.DOTALL).groups()
    for part in TEXT.split("\n## ")[1:]
}
LONGEST = 15  # lines
ASKED = ["Slurm", "Kubernetes", "GitHub Actions", "Containerfile", "uv"]
INSTRUCTIONS = {"ARG", "FROM", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}


def body(name):
    """The body of the recipe whose heading has this word."""
    (found,) = [recipe for heading, (_, recipe) in RECIPES.items() if name in heading]
    return found


def calls(recipe):
    """Arguments of each call of `cnnspec` in a recipe, as words."""
    lines = recipe.replace("\\\n", " ").splitlines()
    shell = [re.search(r'(?:^|\s|\$\()"?\$?cnnspec"? (verify [^|>]*)', line) for line in lines]
    words = [shlex.split(found.group(1).split(" 2")[0].split(")")[0]) for found in shell if found]
    listed = re.findall(r"command: \[cnnspec, (.*)\]", recipe)
    words += [text.split(", ") for text in listed]
    exec_form = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", recipe, re.MULTILINE))
    if exec_form:
        words.append((json.loads(exec_form["ENTRYPOINT"]) + json.loads(exec_form["CMD"]))[1:])
    return words


def test_every_recipe_is_there():
    """Those that were asked for, each with a heading of its own."""
    assert [[name for name in ASKED if name in heading] for heading in RECIPES] == [[name] for name in ASKED]


@pytest.mark.parametrize("heading", RECIPES)
def test_recipes_are_short(heading):
    """At most 15 lines each."""
    assert len(RECIPES[heading][1].splitlines()) <= LONGEST


@pytest.mark.parametrize("heading", RECIPES)
def test_commands_and_options_exist(heading):
    """Each recipe calls cnnspec once, with options that its parser takes."""
    (words,) = calls(RECIPES[heading][1])
    options = command_line.parser().parse_args(words)
    assert options.command is command_line.commands.verify
    assert options.json or heading.startswith("uv")


def test_a_wrong_option_is_seen():
    """An option that does not exist is refused, in each of the forms that recipes have."""
    forms = (
        'x=$("$cnnspec" verify --levels quick 2>log)',
        "command: [cnnspec, verify, --levels, quick]",
        'ENTRYPOINT ["cnnspec", "verify"]\nCMD ["--levels", "quick"]',
        "uv run \\\n cnnspec verify --levels quick",
        "cnnspec verify --levels quick > verdict.json || code=$?",
    )
    for form in forms:
        (words,) = calls(form)
        assert words == ["verify", "--levels", "quick"]
    with pytest.raises(SystemExit):
        command_line.parser().parse_args(words)


def test_wheels_have_this_version():
    """Every wheel that the page names is the one that this version makes."""
    named = re.findall(r"cnnspec-[\w.]+-py3-none-any\.whl", TEXT)
    assert len(named) >= 5
    assert set(named) == {f"cnnspec-{cnnspec.__version__}-py3-none-any.whl"}


@pytest.mark.parametrize("heading", [heading for heading, (language, _) in RECIPES.items() if language == "yaml"])
def test_yaml_parses(heading):
    """The YAML parses to a list or a mapping."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed here: python -m pip install pyyaml")
    assert isinstance(yaml.safe_load(RECIPES[heading][1]), list | dict)


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A function that runs a shell script with a `cnnspec` that ends with a given exit code, and with a `logger`."""

    def run(script, code):
        reason = '"one line"' if code else "null"
        line = f'{{"exit_code": {code}, "verdict": "v", "stack": "tensorflow 2", "reason": {reason}}}'
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in {"cnnspec": f"echo '{line}'; exit {code}", "logger": f'echo "$@" >> {tmp_path}/logged'}.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (folder / name).chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        variables = os.environ | {"PATH": path, "CNNSPEC": str(folder / "cnnspec"), "TMPDIR": str(tmp_path)}
        return subprocess.run(["sh", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (1, 1), (2, 0)])
def test_the_prolog(made_up, tmp_path, code, ended):
    """Only a failure drains the node; the line is logged in any case."""
    assert made_up(body("Slurm"), code).returncode == ended
    assert f'"exit_code": {code}' in (tmp_path / "logged").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("code", "line"), [(0, "::notice title=cnnspec, tensorflow 2::v: all checks"), (1, "::error "), (2, "::error ")]
)
def test_the_step(made_up, code, line):
    """The step ends with the exit code, and prints one annotation."""
    script = re.search(r"run: \|\n(.*)", body("GitHub"), re.DOTALL).group(1)
    done = made_up("\n".join(text[4:] for text in script.splitlines()), code)
    assert done.returncode == code
    assert done.stdout.startswith(line)
    assert done.stdout.count("\n") == 1


def test_the_containerfile():
    """It has known instructions only, and a shell can read what it runs."""
    text = body("Containerfile").replace("\\\n", " ")
    assert {line.split()[0] for line in text.splitlines()} <= INSTRUCTIONS
    for line in re.findall(r"^RUN (.*)", text, re.MULTILINE):
        assert subprocess.run(["sh", "-n", "-c", line], capture_output=True).returncode == 0
