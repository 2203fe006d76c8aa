"""A process that trains one model in one way and answers requests: it runs `cnnspec.benchmarks.worker`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.benchmarks import variants
from cnnspec.facts import reading

if TYPE_CHECKING:
    from tests.support.trainings import Settings


class MeasuringFailed(RuntimeError):
    """A measuring process ended early; the message gives its command and the end of its output."""


class Measuring:
    """A process of `cnnspec.benchmarks.worker` for one model and Variant; `ask` sends it a request and waits for the answer.

    `python` and `environment` are the interpreter and extra variables of a peer, by default those of this process.
    `images` is the number of train images, by default all; `worker` names a module in the worker's place. Raises
    MeasuringFailed.
    """

    def __init__(
        self,
        model: str,
        variant: variants.Variant,
        settings: Settings,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        images: int | None = None,
        worker: str = "cnnspec.benchmarks.worker",
    ) -> None:
        path = settings.mnist and str(Path(settings.mnist).resolve())
        wish: dict[str, Any] = {
            "model": model,
            "dataset": settings.dataset,
            "mnist": path,
            "images": images,
            "seed": settings.seed,
        }
        wish["variant"] = dataclasses.asdict(variant)
        threads = (
            dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(variant.threads)) if variant.threads else {}
        )
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed in close()
        self.command = [python, "-m", worker, json.dumps(wish)]
        self.process = subprocess.Popen(
            self.command,
            cwd=reading.PROJECT,
            env={**os.environ, **threads, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.ready = self.answer()
        self.first = self.ask("epoch")
        self.losses = [self.first["loss"]]

    def answer(self) -> dict[str, Any]:
        """The next line of JSON that the process prints."""
        for line in self.process.stdout or ():
            if line.startswith("{"):
                return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        output = self.errors.read()[-2000:]
        self.close()
        raise MeasuringFailed(f"{shlex.join(self.command)} ended with exit code {code}:\n{output}")

    def ask(self, request: str) -> dict[str, Any]:
        """Send a request to `cnnspec.benchmarks.worker`; returns its answer."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # the process has ended; answer() raises the reason
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        return self.answer()

    def epoch(self) -> float:
        """Train one more epoch; returns the seconds that the process measured."""
        answer = self.ask("epoch")
        self.losses.append(answer["loss"])
        return answer["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        with contextlib.suppress(BrokenPipeError):  # a request that the ended process did not read
            self.process.stdin.close()


class PlainFits:
    """The processes of plain fit that other variants are compared with. One runs at a time, for the last model asked for."""

    def __init__(self) -> None:
        self.key: tuple[str, Settings] | None = None
        self.running: Measuring | None = None

    def of(self, model: str, settings: Settings) -> Measuring:
        """The Measuring that trains `model` with plain fit; it is started if it does not run yet."""
        key = (model, settings)
        if self.running is None or self.key != key:
            self.close()
            self.key, self.running = key, Measuring(model, variants.VARIANTS[variants.PLAIN], settings)
        return self.running

    def close(self) -> None:
        """End the process, if there is one."""
        if self.running:
            self.running.close()
        self.key = self.running = None
