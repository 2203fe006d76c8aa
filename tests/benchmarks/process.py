"""A process that trains one model in one way and answers requests: the other side of `cnnspec.benchmarks.worker`."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cnnspec.benchmarks import variants
from cnnspec.facts import reading


class MeasuringFailed(RuntimeError):
    """A process that measures ended early; the message holds its command and the end of what it printed."""


class Measuring:
    """A process of `cnnspec.benchmarks.worker` for one model and Variant; `ask` sends it a request and waits for the answer.

    `python` and `environment` are those of a peer, by default this process'; `images` so many of the train set, by default
    all. Raises MeasuringFailed.
    """

    def __init__(self, model, variant, settings, python=sys.executable, environment=None, images=None):
        path = settings.mnist and str(Path(settings.mnist).resolve())
        wish = {"model": model, "dataset": settings.dataset, "mnist": path, "images": images, "seed": settings.seed}
        wish["variant"] = dataclasses.asdict(variant)
        threads = (
            dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(variant.threads)) if variant.threads else {}
        )
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        self.process = subprocess.Popen(
            [python, "-m", "cnnspec.benchmarks.worker", json.dumps(wish)],
            cwd=reading.PROJECT,
            env=os.environ | threads | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.ready = self.answer()
        self.first = self.ask("epoch")
        self.losses = [self.first["loss"]]

    def answer(self):
        """The next line of JSON that the process prints."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read()[-2000:]
        self.close()
        raise MeasuringFailed(f"{' '.join(self.process.args)} ended with {code}:\n{said}")

    def ask(self, request):
        """The answer to a request of `cnnspec.benchmarks.worker`."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, and the answer says why
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        return self.answer()

    def epoch(self):
        """Train one more epoch; returns its seconds as the process itself measured them."""
        answer = self.ask("epoch")
        self.losses.append(answer["loss"])
        return answer["seconds"]

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.errors):
            stream.close()
        with contextlib.suppress(BrokenPipeError):  # a request that nobody reads any more
            self.process.stdin.close()


class PlainFits:
    """The plain fits that others are measured beside, one process at a time: asking for another model ends the last."""

    def __init__(self):
        self.kept = None, None

    def of(self, model, settings):
        """The Measuring that trains `model` by plain fit, started where it does not run already."""
        key = (model, settings)
        if self.kept[0] != key:
            self.close()
            self.kept = key, Measuring(model, variants.VARIANTS[variants.PLAIN], settings)
        return self.kept[1]

    def close(self):
        """End the process, if there is one."""
        if self.kept[1]:
            self.kept[1].close()
        self.kept = None, None
