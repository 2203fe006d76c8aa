"""Devices and threads of this process, divided among the workers of pytest-xdist before the framework is imported."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from cnnspec.devices import asked
from tests.plugin import facts, group, progress

IMPORTING = "cnnspec: importing the framework under test"


def pytest_addoption(parser: pytest.Parser) -> None:
    share_out()  # in the first hook that runs: the framework reads these settings when it is imported
    group(parser).addoption(
        "--device",
        type=asked.device_or_each,
        default="auto",
        metavar=f"{asked.METAVAR}|each",
        help="auto: what the framework chooses (default); cpu: hide every accelerator; gpu: fail where it would compute on "
        "no GPU; gpu:N: the GPU at place N of those that are visible, counted from 0; core:N: one thread on core N; each: "
        "what computes, before any training, on every GPU or, on a CPU, on every core, and the odd one out is named",
    )
    group(parser).addoption(
        "--tf32",
        choices=("as-shipped", "off"),
        default="as-shipped",
        help="off: switch TF32 off on a GPU that has it, until the run ends (default: as the framework ships it)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Before anything else, see whether it can be done, and look for a framework. If not, say so on one line; code 2."""
    from cnnspec import frameworks
    from cnnspec.errors import FrameworkMissing
    from tests.plugin import outcome
    from tests.plugin.asked import problem as first_problem

    option = config.option
    if option.help or option.version or option.markers or option.showfixtures or option.show_fixtures_per_test:
        return None
    problem = first_problem(config)
    if problem:
        if "--outcome" not in problem:
            outcome.at_the_start(config, "no verdict", problem)
        print(f"error: {problem}", file=sys.stderr)
        return FrameworkMissing.exit_code
    if option.device == asked.EACH and not option.collectonly:
        return on_each(config)
    grant(option.device)
    if not option.collectonly and not hasattr(config, "workerinput"):
        progress.write(config, IMPORTING)
    try:
        frameworks.look() if imports_nothing(config) else frameworks.require()
    except FrameworkMissing as error:
        if not hasattr(config, "workerinput"):  # what starts the workers looks itself when one of them ends like this
            outcome.at_the_start(config, "no verdict", str(error))
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return None


def imports_nothing(config: pytest.Config) -> bool:
    """Whether this process can leave the framework to the workers to which it hands out the tests."""
    return facts.hands_out(config) and config.option.device in ("auto", "cpu")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker ended before its time. If there is no framework that it can import, say so, as without workers."""
    if not error:
        return
    from cnnspec import frameworks
    from cnnspec.errors import FrameworkMissing
    from tests.plugin import outcome

    try:
        frameworks.require()
    except FrameworkMissing as missing:
        outcome.at_the_start(node.config, "no verdict", str(missing))
        node.config.stash[facts.MISSING] = True
        pytest.exit(f"error: {missing}", returncode=missing.exit_code)


def pytest_configure(config: pytest.Config) -> None:
    grant(config.option.device)


def grant(device: str) -> None:
    """Make the settings that grant a device. Of each device every process is given its own."""
    if device != asked.EACH:
        asked.choose(device)
        asked.pin(device)


def on_each(config: pytest.Config) -> int:
    """Run the sharp tiers on every device, in processes of their own; this one imports no framework."""
    from cnnspec.each import command
    from tests.plugin import outcome

    option = config.option
    folder = Path(option.report or config.rootpath / "reports")
    words = config.invocation_params.args
    found, code = command.of_pytest(words, option.file_or_dir, option.level, folder.absolute())
    outcome.write(config, found)
    return code


def pytest_sessionstart(session: pytest.Session) -> None:
    if imports_nothing(session.config):
        return
    if session.config.option.device != asked.EACH:  # or this process only collects
        require(session.config.option.device, session.config)
    set_tf32(session.config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Lines of pytest's header: the stack under test, where it is known before the verdict."""
    return [] if imports_nothing(config) else [f"stack: {line}" for line in facts.described(config)]


def share_out(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make the settings that libraries read when they are imported. A setting that the user made stays.

    An xdist worker gets its share of the CPU cores and, where there are several GPUs, one of them.
    """
    asked.share_memory(environment)
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # 0 prints a line per library loaded
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")  # more threads of NumPy would take cores from the framework
    worker = environment.get("PYTEST_XDIST_WORKER", "")
    if not worker.startswith("gw"):
        return
    index, workers = int(worker[2:]), int(environment["PYTEST_XDIST_WORKER_COUNT"])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = str(max(1, cores // workers))
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        environment.setdefault(variable, threads)
    gpus = asked.visible_gpus(environment)
    if len(gpus) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]


def require(device: str, config: pytest.Config | None = None) -> None:
    """End the run as failed if the framework does not compute on the device that was asked for."""
    from cnnspec import stack
    from cnnspec.errors import DeviceMissing
    from tests.plugin import outcome

    try:
        stack.require(device)
    except DeviceMissing as error:
        outcome.at_the_start(config, "fail", str(error))
        pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


@pytest.fixture(scope="module")
def tf32_off() -> Iterator[None]:
    """TF32 off while a module's tests run: their limits are float32's. What is shipped is judged by the exact tier."""
    from cnnspec import stack

    with stack.tf32_off():
        yield


def set_tf32(config: pytest.Config) -> None:
    """With `--tf32 off`, switch TF32 off until the run ends."""
    if config.option.tf32 == "off":
        from cnnspec import stack

        opened = contextlib.ExitStack()
        opened.enter_context(stack.tf32_off())
        config.add_cleanup(opened.close)
