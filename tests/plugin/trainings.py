"""What a run of the suite trains: its options, and the trainings that all tests and processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from cnnspec.names import DATASETS
from tests.plugin import group

if TYPE_CHECKING:
    from cnnspec.runs import TrainingRun
    from tests.support.trainings import Settings

# Epochs of each training in plain pytest: by the stored runs, the number that detects most faults per second
# (baselines/ensembles/README.md). Longer trainings judge less sharply than paired ones, and are asked for by --epochs.
EPOCHS = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    options = group(parser)
    options.addoption(
        "--dataset",
        choices=DATASETS,
        default="mnist5k",
        help="digits to train on: the embedded 5,000 (default) or full MNIST",
    )
    options.addoption(
        "--mnist",
        metavar="PATH",
        help="full MNIST in a file: an .npz, or a folder of its four IDX files (default: Keras downloads it)",
    )
    options.addoption(
        "--epochs",
        type=int,
        choices=range(1, 11),
        default=EPOCHS,
        metavar="N",
        help=f"epochs of each training, 1 to 10 (default: {EPOCHS})",
    )
    options.addoption("--seed", type=int, default=1000, help="seed of the trainings (default: 1000, outside the ensembles)")
    options.addoption(
        "--runs",
        type=int,
        choices=range(1, 26),
        default=1,
        metavar="K",
        help="runs of each model, with seeds --seed, --seed + 1, …; their mean is judged (default: 1)",
    )
    options.addoption(
        "--out",
        metavar="DIR",
        help="keep each run's JSON and loss curves in this folder (default: pytest's temporary folder)",
    )
    options.addoption(
        "--ensembles",
        metavar="FOLDER",
        help="judge by the ensembles that `python -m cnnspec calibrate --out FOLDER` made (default: baselines/ensembles)",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    from tests.support import two_processes

    two_processes.start_early(session)


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What this run of the suite trains, and where its runs are kept."""
    from tests.support import trainings

    return trainings.settings(request.config, tmp_path_factory)


@pytest.fixture(scope="session")
def trained(settings: Settings) -> Callable[..., TrainingRun]:
    """trained(model, number=0) -> its TrainingRun, trained once per run of the suite, by the process that asks first."""
    from tests.support import trainings

    return lambda model, number=0: trainings.trained_once(model, settings, number)
