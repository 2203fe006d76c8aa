"""What is mutated, and the tests that must notice: quick ones, since each mutant starts them anew."""

from __future__ import annotations

from typing import NamedTuple

from cnnspec.facts import reading


class Group(NamedTuple):
    """The modules that are mutated, and the files of the tests that judge them, from the project's folder.

    `framework` says whether the tests need the framework and the suite's plugins.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    framework: bool = False


def group(folder: str, modules: str, tests: str) -> Group:
    """A group from the names of its modules in a folder, and of its tests in tests/meta."""
    return Group(
        tuple(f"{folder}/{name}.py" for name in modules.split()),
        tuple(
            f"tests/meta/{'/'.join([*place, f'test_{name}'])}.py"
            for *place, name in (test.split("/") for test in tests.split())
        ),
    )


REPORTS = "cnnspec/reports"
GROUPS = {
    "reports": group(
        REPORTS, "report schema verdicts words markdown", "reports/malformed reports/report reports/fleets reports/page"
    ),
    "sides": group(REPORTS, "sides", "reports/sides"),
    "fleets": group(REPORTS, "equals fleets", "reports/fleets"),
    "page": group(REPORTS, "page speeds html", "reports/page reports/page_of_many reports/malformed"),
    "page of benchmarks": group(REPORTS, "benchmarks", "timings"),
    "calls": group("cnnspec", "calls errors", "calls files command_words reports/report"),
    "names": group("cnnspec", "names", "names"),
    "memory": group("cnnspec", "memory", "memory"),
    "commands": group("cnnspec", "__main__ command_checks", "command_words"),
    "verify": group("cnnspec", "verify", "verify_options verify"),
    "verdict": group("tests/plugin", "verdict outcome", "verdict verdict_words"),
    "files": group("cnnspec", "files", "whole_files files"),
    "content": group("cnnspec", "content shapes", "shapes content files"),
    "digits": group("cnnspec", "digit_files", "digit_limits digit_files"),
    "bands": group("cnnspec/ensembles", "bands quantities", "bands quantities"),
    "distance": group("cnnspec/ensembles", "distance", "distance"),
    "replication": group("cnnspec/ensembles", "equivalence likelihood membership", "equivalence likelihood plausibility"),
    "checks": group("tests/support", "checks margins", "checks margins same_path"),
    "oracle": group(
        "cnnspec/oracle", "layers network optimizers", "oracle/layers oracle/network oracle/optimizers oracle/refusals"
    ),
    "charts": group(REPORTS, "charts curves", "reports/charts reports/page reports/page_of_many"),
    "models": Group(("cnnspec/architectures.py",), ("tests/test_architecture.py", "tests/test_configuration.py"), True),
    "training": Group(
        ("cnnspec/training.py",),
        (
            "tests/meta/test_train.py",
            "tests/meta/test_pipeline.py",
            "tests/meta/test_nonfinite_weights.py",
            "tests/test_configuration.py",
        ),
        True,
    ),
    "pipeline": Group(("cnnspec/pipeline.py",), ("tests/meta/test_pipeline.py",), True),
}


def judged() -> dict[str, Group]:
    """{path of a module: its group}."""
    return {path: group for group in GROUPS.values() for path in group.modules}


def missing() -> list[str]:
    """Modules and files of tests that are not there."""
    named = [path for group in GROUPS.values() for path in (*group.modules, *group.tests)]
    return [path for path in named if not (reading.PROJECT / path).exists()]
