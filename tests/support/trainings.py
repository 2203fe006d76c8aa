"""Each model trained once per run of the suite, however many tests and processes look at it."""

import dataclasses
import functools
import os
import shutil
from pathlib import Path

from filelock import FileLock

from cnnspec import mnist, results, training
from cnnspec.ensembles import store
from cnnspec.errors import NonFiniteLoss
from cnnspec.facts import reading
from cnnspec.files import write_whole


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

    @property
    def ensembles(self):
        """Folder of the reference ensembles that these trainings are judged against."""
        return reading.BASELINES / "ensembles" / self.dataset

    def command(self, seed=None):
        """Command line that repeats this run's trainings, with another seed if one is given."""
        words = ["pytest", f"--dataset {self.dataset}", f"--epochs {self.epochs}", f"--seed {seed or self.seed}"]
        words += [f"--runs {self.runs}"] if self.runs > 1 else []
        words += [f"--device {self.device}"] if self.device != "auto" else []
        words += [f"--tf32 {self.tf32}"] if self.tf32 != "as-shipped" else []
        return " ".join(words + ([f"--mnist={self.mnist}"] if self.mnist else []))


def settings(config, tmp_path_factory):
    """Settings from pytest's options. Under xdist the workers share the folder above their own."""
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
    )


@functools.lru_cache(maxsize=1)
def data(dataset, path):
    """The digits, read once per process."""
    return mnist.load(dataset, path)


def name_of(model, number):
    """Name of the files of a model's run `number`; the first is the notebook's own and bears the model's name."""
    return f"{model}-run{number + 1}" if number else model


def trained_once(model, settings, number=0, train=None):
    """The TrainingRun `number` of `model` under `settings`: trained by the first process that asks, read by the others.

    A training that failed is not tried again: everyone who asks gets its error. `train` stands in for the training in tests.
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
    return training.TrainingRun.from_json(path)


def ensemble_behind(model, settings):
    """Curves of the ensemble to draw behind a run's, none where none is stored (the checks say so)."""
    path = settings.ensembles / f"{model}.csv"
    return store.curves(path, settings.epochs) if path.exists() else []


def _train(model, settings, number):
    """Train with the seed of run `number`.

    The first run keeps the notebook's draw of the kernels seeded with 1. Further ones draw them anew, as the runs of an
    ensemble do: a mean of runs that share one draw would spread more than the band of K runs allows.
    """
    digits = data(settings.dataset, settings.mnist)
    seed = settings.seed + number
    return training.train(model, digits, seed=seed, epochs=settings.epochs, redraw=number > 0, verbose=0)
