"""How the time of an epoch is divided among kinds of layers, from TensorFlow's own trace, which slows the epoch a little."""

from __future__ import annotations

import collections
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

KINDS = {  # part of an operation's path -> kind; the first that fits
    "conv2d": "convolution",
    "batch_normalization": "normalisation",
    "max_pooling2d": "pooling",
    "dense": "dense layers",
    "dropout": "dropout",
    "adam": "Adam",
}
OPERATION = re.compile(r"^(?!EagerLocalExecute)(?P<path>[^: ]+):(?P<type>\w+)$")  # the trace has many other events


def of_epoch(epoch: Callable[[], object], steps: int) -> dict[str, float]:
    """The `summary` of one epoch, which epoch() trains in `steps` steps. Needs TensorFlow.

    Raises RuntimeError if TensorFlow writes no trace.
    """
    import tensorflow
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tensorflow.profiler.experimental.start(folder)
        started = time.perf_counter()
        epoch()
        wall = time.perf_counter() - started
        tensorflow.profiler.experimental.stop()
        paths = list(Path(folder).rglob("*.xplane.pb"))
        if not paths:
            raise RuntimeError("TensorFlow's profiler wrote no trace; profile with another TensorFlow version")
        trace = xplane_pb2.XSpace.FromString(paths[0].read_bytes())
    planes = [plane for plane in trace.planes if plane.name.startswith("/device:GPU")]
    events = []
    for plane in planes or [plane for plane in trace.planes if plane.name == "/host:CPU"]:
        for line in plane.lines:
            for event in line.events:
                start = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
                events.append((plane.event_metadata[event.metadata_id].name, start, event.duration_ps * 1e-12))
    return summary(events, wall, steps)


def summary(events: Iterable[tuple[str, float, float]], wall: float, steps: int) -> dict[str, float]:
    """{kind: milliseconds per step} of (name, start, seconds) events in an epoch of `wall` seconds, the longest first.

    The sums over kinds and directions may exceed the wall clock, because operations run in parallel. In the time of
    "no operation" none ran: Python, dispatch, waiting for a batch.
    """
    sums: dict[str, float] = collections.defaultdict(float)
    spans: list[tuple[float, float]] = []
    for name, start, seconds in events:
        operation = OPERATION.match(name)
        if operation:
            sums[group(operation["path"])] += seconds
            spans.append((start, start + seconds))
    found = {what: 1e3 * seconds / steps for what, seconds in sorted(sums.items(), key=lambda item: -item[1])}
    return {"wall clock": 1e3 * wall / steps, "no operation": 1e3 * (wall - covered(spans)) / steps, **found}


def group(path: str) -> str:
    """Kind and direction of an operation, by its path in the graph."""
    kind = next((word for part, word in KINDS.items() if part in path), "loss, metrics, the rest")
    direction = ", gradient" if "gradient_tape" in path else ""
    return kind + (direction if kind in KINDS.values() else "")


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of (start, end) intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
