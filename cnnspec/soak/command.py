"""The command `soak`: turns on the device and on every core until the time is over, and what can be said then."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cnnspec.calls import as_called
from cnnspec.each import devices
from cnnspec.soak import processes, readings, tally

LONGEST, SHORTEST, ROUNDS = 5.0, 0.5, 3  # seconds of a turn; rounds over all cores that the time should allow
QUIET = 10.0  # seconds between lines of progress
DEVICE = "device"
NEXT = (
    "next: run it again, and alone; if one place stays the odd one out, take that core or device out of use; "
    "if all places are wrong alike, it is the stack: pytest tests/test_exact.py"
)


class Stopped(Exception):
    """SIGINT or SIGTERM came; the message is its name."""


class Refused(Exception):
    """Nothing can be soaked here; the message says why."""


def soak(options: Namespace) -> int:
    """The command `soak`: returns 0 if nothing was wrong, 1 for a mismatch, 2 where nothing, or not every place, ran."""
    say = lambda text: print(text, file=sys.stderr if options.json else sys.stdout, flush=True)  # noqa: E731
    run = Run(options.device, 60 * options.minutes, say)
    reason, gone = None, False
    with until_stopped():
        try:
            run.start()
            run.turns()
        except Stopped as stopped:
            reason = f"stopped by {stopped} after {run.minutes():.1f} of {options.minutes:g} minutes"
        except (Refused, processes.Gone) as error:
            reason, gone = str(error), True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        run.end()
    code = run.tally.code()
    if gone and code == 0:
        code = 2  # a process that ended is not known to be healthy
    told = verdict(run, code, reason)
    say("\n".join(["", *told]))
    if options.json:
        facts = run.tally.facts() if run.tally.places else {}
        stack = list(run.stack)
        print(json.dumps({"exit_code": code, "verdict": told[-1], "reason": reason, "stack": stack, **facts}))
    return code


def verdict(run: Run, code: int, reason: str | None) -> list[str]:
    """The last lines: places, the odd one out, bounds, the circumstances, and one line with the exit code."""
    lines = [reason] if reason else []
    if run.tally.places and run.began:
        lines += [*run.tally.table(), *filter(None, [run.tally.odd_ones()]), *run.tally.verdict()]
        lines += [*run.stack, f"{run.minutes():.1f} minutes; at the end {readings.now(gpu=run.gpu)}"]
    never = [name for name, place in run.tally.places.items() if not place.complete()]
    word = {0: "no mismatch", 1: "MISMATCH: this machine or stack computes wrongly", 2: "not everything was checked"}[code]
    if code == 2 and never and run.began:
        word += f": never all kinds on {', '.join(never)}; give more --minutes"
    elif code == 2:
        word = "nothing ran" if not run.began else word
    lines += [as_called(NEXT)] if code == 1 else []
    return [*lines, f"{word} (exit code {code})"]


@contextmanager
def until_stopped() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise Stopped."""

    def stop(number: int, _: Any) -> None:
        raise Stopped(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Run:
    """One soak: its processes, its places and what they found."""

    def __init__(self, device: str, seconds: float, say: Callable[[str], None]) -> None:
        self.device, self.seconds, self.say = device, seconds, say
        self.devices = every_gpu() or ["auto"] if device == "each" else [device]
        self.cores = cores() if device != "gpu" else []
        self.tally = tally.Tally([])
        self.early: list[dict[str, Any]] = []  # told before the places have names
        self.began = 0.0
        self.stack: tuple[str, ...] = ()
        self.gpu = False
        self.started: list[processes.Process] = []
        self.whole: list[processes.Process] = []  # those of devices, which compute as users do

    def start(self) -> None:
        """Start the processes and wait until they are ready. Raises Refused or Gone."""
        several = len(self.devices) > 1
        first = [DEVICE] if not several else [f"{DEVICE} {device}" for device in self.devices]
        whole = f"{len(self.devices)} processes, one for each device" if several else "a process for the device"
        self.say(f"starting: {whole}" + (", one for single cores" if self.cores else ""))
        self.whole = [processes.Process(place, None, device) for place, device in zip(first, self.devices, strict=True)]
        self.started += self.whole
        if self.cores:
            self.started.append(processes.Process(core_name(self.cores[0]), self.cores[0], "cpu"))
        for process in self.started:
            process.facts = self._ready(process)
        facts = self.started[0].facts
        self.stack, self.gpu = tuple(facts["stack"]), facts["gpu"]
        names = dict(zip(first, map(named, self.whole, self.devices if several else [""]), strict=True))
        for process, name in zip(self.whole, names.values(), strict=True):
            process.place = name
        found = self.tally.mismatches
        self.tally = tally.Tally([*names.values(), *map(core_name, self.cores)])
        self.tally.mismatches = found
        for counts in self.early:
            self.tally.add(names.get(counts["place"], counts["place"]), counts)
        self.say("\n".join(self.stack))

    def _ready(self, process: processes.Process) -> dict[str, Any]:
        while "ready" not in (message := process.told()):
            if "refused" in message:
                raise Refused(message["refused"])
            if "mismatch" in message:
                self._mismatch(message["mismatch"])
            else:
                self.early.append(message["counts"])
        return dict(message["ready"])

    def _mismatch(self, mismatch: dict[str, Any]) -> None:
        self.tally.mismatches.append(mismatch)
        self.say(tally.told(mismatch))

    def turns(self) -> None:
        """Turns until the time is over: a device, a core, the next device, the next core. Raises Gone."""
        self.began = time.monotonic()
        turn = length(self.seconds, max(len(self.cores), len(self.whole)))
        told, number = self.began, 0
        places = [process.place for process in self.whole]
        while self.minutes() * 60 < self.seconds:
            if number % 2 and self.cores:
                core = self.cores[number // 2 % len(self.cores)]
                self._turn(self.started[-1], core_name(core), core, turn)
            else:
                place = (number // 2 if self.cores else number) % len(self.whole)
                self._turn(self.whole[place], places[place], None, turn)
            number += 1
            if time.monotonic() - told > QUIET:
                told = time.monotonic()
                self.say(f"{self.minutes():.1f} of {self.seconds / 60:g} min, wrong: {self.tally.sofar()}; {self._now()}")

    def _now(self) -> str:
        return readings.now(gpu=self.gpu)

    def _turn(self, process: processes.Process, place: str, core: int | None, seconds: float) -> None:
        process.ask(place, core, min(seconds, max(SHORTEST, self.seconds - 60 * self.minutes())))
        while "done" not in (message := process.told()):
            if "counts" in message:
                self.tally.add(place, message["counts"])
            else:
                self._mismatch(message["mismatch"])

    def minutes(self) -> float:
        """Minutes since the first turn."""
        return (time.monotonic() - self.began) / 60 if self.began else 0.0

    def end(self) -> None:
        """End the processes."""
        for process in self.started:
            process.end()


def named(process: processes.Process, device: str) -> str:
    """The name of a device that is computed on as users do; `device` tells several from each other."""
    facts = process.facts
    name = facts["device"] if facts["gpu"] else f"CPU, {facts['threads']} thread{'s' * (facts['threads'] > 1)}"
    return f"{device} {name}".strip()


def every_gpu() -> list[str]:
    """Every GPU as --device names it, for --device each; none where Keras computes on the CPU. Raises DeviceMissing."""
    return [device for device in devices.found() if device.startswith("gpu")]


def length(seconds: float, cores: int) -> float:
    """Seconds of a turn: so many that every core has some turns, each beside one of the device."""
    return min(LONGEST, max(SHORTEST, seconds / (ROUNDS * 2 * max(cores, 1))))


def cores() -> list[int]:
    """The cores that this process may use; empty where a process cannot be pinned."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def core_name(core: int) -> str:
    """The name of a core, as the system counts them."""
    return f"core {core}"
