"""A process that trains one model in one Variant and answers requests: `python -m cnnspec.benchmarks.worker JSON`.

The JSON has model, dataset, mnist (a path or null), images (their number in the train set, null for all), seed and variant
(the fields of a Variant). Each line of input is a request. Each line of output is an answer in JSON: {"seconds": …} and
further fields.

    epoch          train an epoch; answers its mean loss
    predict N K    predict K images in batches of N
    limit          measure the hardware's limits with the precision and threads of the variant
    memory         peak memory so far, of host and device, in MiB
    profile        train an epoch under TensorFlow's profiler; answers milliseconds per step, by kind of layer
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

from cnnspec import mnist, stack
from cnnspec.benchmarks import variants
from cnnspec.compat import backend


def main(arguments: Sequence[str]) -> None:
    """Answer requests until standard input ends."""
    stack.settle()
    wish = json.loads(arguments[0])
    variant = variants.Variant(**wish["variant"])
    data = mnist.load(wish["dataset"], wish["mnist"])
    data = data._replace(x_train=data.x_train[: wish["images"]], y_train=data.y_train[: wish["images"]])
    started = time.perf_counter()
    model, epoch = variants.prepare(wish["model"], variant, data, wish["seed"])
    answer(time.perf_counter() - started, images=len(data.x_train), stack=stack.current())
    for line in sys.stdin:
        request, *numbers = line.split()
        started = time.perf_counter()
        if request == "epoch":
            loss = epoch()
            answer(time.perf_counter() - started, loss=loss)
        elif request == "predict":
            size, count = (int(number) for number in numbers)
            model.predict(data.x_train[:count], batch_size=size, verbose=0)
            answer(time.perf_counter() - started)
        elif request == "limit":
            from cnnspec.benchmarks import ceiling

            found = ceiling.measure(variant.precision, gpu=bool(stack.gpus()))
            answer(time.perf_counter() - started, **found)
        elif request == "memory":
            answer(time.perf_counter() - started, host=host_memory(), device=device_memory())
        elif request == "profile":
            from cnnspec.benchmarks import trace

            steps = math.ceil(len(data.x_train) / variant.batch_size)
            answer(time.perf_counter() - started, profile=trace.of_epoch(epoch, steps))
        else:
            raise SystemExit(f"unknown request {request!r}; known are epoch, predict, limit, memory and profile")


def answer(seconds: float, **facts: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps({"seconds": seconds, **facts}), flush=True)


def host_memory() -> float:
    """Peak of this process' resident memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes on macOS, KiB elsewhere


def device_memory() -> float | None:
    """Peak of the used GPU's memory in MiB; None without a GPU, and where the framework does not count it."""
    device = stack.used()
    if device is None or not device.is_gpu:
        return None
    if backend() == "tensorflow":
        import tensorflow

        peak = tensorflow.config.experimental.get_memory_info("GPU:0")["peak"]
    elif backend() == "jax":
        import jax

        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    else:
        import torch

        counting = {"CUDA": torch.cuda, "ROCm": torch.cuda, "XPU": getattr(torch, "xpu", None)}.get(device.api)
        peak = counting.max_memory_allocated() if counting else None
    return peak / 2**20 if peak is not None else None


if __name__ == "__main__":
    main(sys.argv[1:])
