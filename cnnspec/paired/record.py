"""Make the stored paired trainings of a stack: one after the other, each stored when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from cnnspec import mnist, stack
from cnnspec.paired import on_stack, store


def record(
    out: str | Path,
    models: Iterable[str],
    starts: Iterable[int],
    xla: bool = False,
    fault: str = store.HEALTHY,
    report: Callable[[str], object] = print,
) -> None:
    """Train every model from every start that the files in `out` lack, on this stack, and store the runs."""
    data, here = mnist.load("mnist5k"), stack.current()
    for model in models:
        path = Path(out) / f"{model}.csv"
        for start in starts:
            told = store.facts(model, here, start, xla=xla, fault=fault)
            if store.has(path, told):
                report(f"{model}, start {start}: already stored in {path}")
                continue
            began = time.perf_counter()
            numbers = on_stack.run(model, data, start, xla).numbers
            seconds = time.perf_counter() - began
            store.append(path, {**told, "seconds": f"{seconds:.1f}"}, numbers)
            report(f"{model}, start {start}: loss {numbers['epoch 1 loss']:.7g}, {seconds:.1f} s")
