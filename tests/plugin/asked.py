"""Can what was asked for be done at all? Told on one line, before the framework is imported and before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnnspec.calls import as_called
from cnnspec.files import check_writable
from cnnspec.names import LARGEST_SEED, MODELS


def problem(config: pytest.Config) -> str | None:
    """The first thing that cannot be done, in words, with what to do; None where everything can."""
    return next(problems(config), None)


def problems(config: pytest.Config) -> Iterator[str]:
    """Everything that cannot be done."""
    option = config.option
    if not 0 <= option.seed <= LARGEST_SEED - option.runs + 1:
        more = f" less --runs - 1 = {option.runs - 1}" if option.runs > 1 else ""
        yield f"--seed={option.seed} is no seed; give a whole number from 0 to {LARGEST_SEED}{more}"
    if option.recording and not Path(option.recording).is_dir():
        remedy = as_called(f"record one: tox run -e legacy -- {option.recording}")
        yield f"--recording={option.recording} is no folder; {remedy}"
    if option.mnist and not os.path.exists(option.mnist):
        yield f"--mnist={option.mnist} does not exist; name an .npz file of MNIST or a folder of its four IDX files"
    if option.mnist and not reads_mnist(config):
        yield f"--mnist={option.mnist} is full MNIST, which no test of this run reads; add --dataset mnist or --level full"
    if option.ensembles and not any(Path(option.ensembles, f"{model}.csv").is_file() for model in MODELS):
        remedy = as_called(f"python -m cnnspec calibrate --out {option.ensembles} makes one")
        yield f"--ensembles={option.ensembles} holds no ensemble, a CSV per model such as model1.csv; {remedy}"
    for name, folder in (("out", True), ("report", is_folder(option.report)), ("outcome", False)):
        path = getattr(option, name)
        try:
            if path:
                check_writable(path, folder)
        except OSError as error:
            yield f"--{name}={path} cannot be written ({error.strerror}); name {'a folder' if folder else 'a file'} that can"


def reads_mnist(config: pytest.Config) -> bool:
    """Whether full MNIST was asked for, for every training or for the comparison with the notebook."""
    option = config.option
    return option.dataset == "mnist" or option.level == "full" or "replication" in option.markexpr


def is_folder(report: str | None) -> bool:
    """Whether --report names a folder."""
    return bool(report) and (str(report).endswith(os.sep) or Path(str(report)).is_dir())
