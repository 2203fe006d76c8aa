"""How the commands that messages advise are called here: in a clone as they are written, in an installation otherwise."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSTALLED = (PACKAGE / "suite").is_dir()  # from a wheel, which carries the suite; a clone has it beside the package
PROJECT = PACKAGE / "suite" if INSTALLED else PACKAGE.parent
CLONE = "in a clone of the repository: "
# What only a clone has: tox and its environments, the tests of the suite itself, baselines that may be moved.
OF_A_CLONE = re.compile(
    rf"(?<!{CLONE})\b(?:tox run\b|pytest (?=tests -m |[^;`\n]*--(?:snapshot-update|store-figures))"
    r"|python -m tests\.meta\b|python -m cnnspec (?=[^;`\n]*\bbaselines/))"
)
HERE = (  # pattern -> what it is in an installation
    (re.compile(rf"(?<!{CLONE})\bpytest (?=tests/|-)"), "cnnspec verify -- "),
    (re.compile(r"`pytest`"), "`cnnspec verify`"),
    (re.compile(r"\brun pytest\b(?! tests| -)"), "run cnnspec verify"),
    (re.compile(rf"(?<!{CLONE})\bpython -m cnnspec\b"), "cnnspec"),
)


def as_called(text: str, installed: bool = INSTALLED) -> str:
    """A message in which every command is one that works here. What is already so stays."""
    if not installed:
        return text
    text = OF_A_CLONE.sub(lambda found: CLONE + found.group(), text.replace(f"--out {PROJECT}/", "--out "))
    for pattern, called in HERE:
        text = pattern.sub(called, text)
    return text
