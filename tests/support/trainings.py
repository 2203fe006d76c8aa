"""Each model is trained once per run of the suite; all tests and processes share the result."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from cnnspec import mnist, results, training
from cnnspec.ensembles import store
from cnnspec.errors import NonFiniteLoss
from cnnspec.facts import reading
from cnnspec.files import write_whole
from cnnspec.runs import TrainingRun
from tests.support import progress


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of the suite trains: the values of its options, and the folder that its processes share."""

    dataset: str
    mnist: str | None
    epochs: int
    seed: int
    runs: int
    device: str
    tf32: str
    folder: Path
    out: Path | None
    own_ensembles: Path | None = None  # instead of the stored ones: the value of --ensembles

    @property
    def ensembles(self) -> Path:
        """Folder of the reference ensembles that these trainings are compared with."""
        return self.own_ensembles or reading.BASELINES / "ensembles" / self.dataset

    def command(self, seed: int | None = None) -> str:
        """The command that repeats this run's trainings, with `seed` if it is given."""
        words = ["pytest", f"--dataset {self.dataset}", f"--epochs {self.epochs}", f"--seed {seed or self.seed}"]
        words += [f"--runs {self.runs}"] if self.runs > 1 else []
        words += [f"--device {self.device}"] if self.device != "auto" else []
        words += [f"--tf32 {self.tf32}"] if self.tf32 != "as-shipped" else []
        words += [f"--ensembles={self.own_ensembles}"] if self.own_ensembles else []
        words += [f"--mnist={self.mnist}"] if self.mnist and self.dataset == "mnist" else []
        return " ".join(words)


def settings(config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings from pytest's options. Workers of xdist share the parent of their own folders."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "trainings"
    folder.mkdir(exist_ok=True)
    option = config.option
    out = Path(option.out).resolve() if option.out else None
    return Settings(
        option.dataset,
        option.mnist or None,
        option.epochs,
        option.seed,
        option.runs,
        option.device,
        option.tf32,
        folder,
        out,
        Path(option.ensembles).resolve() if option.ensembles else None,
    )


@functools.lru_cache(maxsize=1)
def data(dataset: str, path: str | None) -> mnist.Dataset:
    """The digits, read once per process. A file of full MNIST is for the trainings that take it: one level has both sets."""
    return mnist.load(dataset, path if dataset == "mnist" else None)


def name_of(model: str, number: int) -> str:
    """Name of the files of a model's run `number`: the model's name for the first run, then `-run2`, `-run3`, …"""
    return f"{model}-run{number + 1}" if number else model


def trained_once(
    model: str,
    settings: Settings,
    number: int = 0,
    train: Callable[[str, Settings, int], TrainingRun] | None = None,
) -> TrainingRun:
    """The TrainingRun `number` of `model` under `settings`. The first process that asks trains it, the others read it.

    A failed training is not repeated: every caller gets its error. Tests pass a `train` of their own.
    """
    path, failure = (settings.folder / f"{name_of(model, number)}.{suffix}" for suffix in ("json", "failure"))
    with FileLock(f"{path}.lock"):
        if failure.exists():
            raise NonFiniteLoss(failure.read_text(encoding="utf-8"))
        if not path.exists():
            try:
                run = (train or _train)(model, settings, number)
            except NonFiniteLoss as error:
                write_whole(failure, str(error))
                raise
            results.draw_loss_curves(run, path.with_suffix(""), ensemble_behind(model, settings))
            run.to_json(path)
            if settings.out:
                settings.out.mkdir(parents=True, exist_ok=True)
                for file in (path, path.with_suffix(".png"), path.with_suffix(".svg")):
                    shutil.copy(file, settings.out / file.name)
    return TrainingRun.from_json(path)


def ensemble_behind(model: str, settings: Settings) -> list[dict[str, list[float]]]:
    """Curves of the ensemble to draw behind a run's; empty where none is stored, which the checks report."""
    path = settings.ensembles / f"{model}.csv"
    return store.curves(path, settings.epochs) if path.exists() else []


def _train(model: str, settings: Settings, number: int) -> TrainingRun:
    """Train with the seed of run `number`, all kernels drawn from it, as the runs of an ensemble are.

    The first run too: with the kernels that the notebook seeds with 1, every run of a stack would share one draw, and none
    would be a further draw from the ensemble. What such an initialiser draws is tested in tests/test_stochastic.py, that
    the layers have it in tests/test_configuration.py.
    """
    digits = data(settings.dataset, settings.mnist)
    seed = settings.seed + number
    settled = {"seed": seed, "epochs": settings.epochs, "redraw": True, "verbose": 0, "report": progress.say}
    return training.train(model, digits, **settled)
