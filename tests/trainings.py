"""Each model trained once per run of the suite, however many tests and processes look at it."""

import dataclasses
import functools
import os
import shutil
from pathlib import Path

from filelock import FileLock

from cnnspec import baselines, mnist, results, training
from cnnspec.files import write_whole


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of the suite trains: the values of its options, and the folder that its processes share."""

    dataset: str
    mnist: str | None
    epochs: int
    seed: int
    device: str
    folder: Path
    out: Path | None

    @property
    def ensembles(self):
        """Folder of the reference ensembles that these trainings are judged against."""
        return baselines.BASELINES / "ensembles" / self.dataset

    def command(self, seed=None):
        """Command line that repeats this run's trainings, with another seed if one is given."""
        words = ["pytest", f"--dataset {self.dataset}", f"--epochs {self.epochs}", f"--seed {seed or self.seed}"]
        return " ".join(words + ([f"--mnist {self.mnist}"] if self.mnist else []))


def settings(config, tmp_path_factory):
    """Settings from pytest's options. Under xdist the workers share the folder above their own."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "trainings"
    folder.mkdir(exist_ok=True)
    option = config.option
    out = Path(option.out).resolve() if option.out else None
    return Settings(option.dataset, option.mnist, option.epochs, option.seed, option.device, folder, out)


@functools.lru_cache(maxsize=1)
def data(dataset, path):
    """The digits, read once per process."""
    return mnist.load(dataset, path)


def trained_once(model, settings, train=None):
    """The TrainingRun of `model` under `settings`: trained by the first process that asks, read by the others.

    A training that failed is not tried again: everyone who asks gets its error. `train` stands in for the training in tests.
    """
    path, failure = settings.folder / f"{model}.json", settings.folder / f"{model}.failure"
    with FileLock(f"{path}.lock"):
        if failure.exists():
            raise training.NonFiniteLoss(failure.read_text(encoding="utf-8"))
        if not path.exists():
            try:
                run = (train or _train)(model, settings)
            except training.NonFiniteLoss as error:
                write_whole(failure, str(error))
                raise
            results.draw_loss_curves(run, path.with_suffix(""))
            run.to_json(path)
            if settings.out:
                settings.out.mkdir(parents=True, exist_ok=True)
                for file in (path, path.with_suffix(".png"), path.with_suffix(".svg")):
                    shutil.copy(file, settings.out / file.name)
    return training.TrainingRun.from_json(path)


def _train(model, settings):
    digits = data(settings.dataset, settings.mnist)
    return training.train(model, digits, seed=settings.seed, epochs=settings.epochs, verbose=0)
