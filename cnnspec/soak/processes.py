"""The processes of a soak: one computes on the device as users do, one with a single thread on one core after another."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cnnspec.devices import asked
from cnnspec.each.devices import importing

MODULE = "tests.soak.worker"
HANGS = 600.0  # seconds without a word, after which a process is given up: a model is compiled in far less


class Gone(Exception):
    """A process ended, or says nothing any more; the message says how."""


class Process:
    """A process that computes. It is in a session of its own, so that Ctrl-C of a terminal reaches the parent alone."""

    def __init__(self, place: str, core: int | None, device: str) -> None:
        self.place = place
        self.facts: dict[str, Any] = {}  # what it told when it was ready
        command = [sys.executable, "-P", "-B", "-m", MODULE, place, "all" if core is None else str(core), device]
        self.process = subprocess.Popen(
            command,
            env=variables(os.environ, device, core is not None),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, place: str, core: int | None, seconds: float) -> None:
        """Order a turn. Raises Gone."""
        assert self.process.stdin
        self.place = place
        try:
            self.process.stdin.write(json.dumps({"place": place, "core": core, "seconds": seconds}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Gone(self._how()) from None

    def told(self) -> dict[str, Any]:
        """The next thing that it tells. Raises Gone."""
        try:
            line = self.lines.get(timeout=HANGS)
        except queue.Empty:
            raise Gone(f"the process on {self.place} has said nothing for {HANGS:.0f} seconds: it hangs") from None
        if not line:
            raise Gone(self._how())
        return dict(json.loads(line))

    def _how(self) -> str:
        code = self.process.wait()
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the process on {self.place} ended: {how}; its output above says more"

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # an order that it never read
                assert pipe
                pipe.close()


def variables(given: Mapping[str, str], device: str, one_thread: bool) -> dict[str, str]:
    """Variables of the processes: the suite can be imported, the device is granted; those of cores have one thread."""
    found = importing(given)
    found["OMP_WAIT_POLICY"] = "passive"
    asked.choose(device, found)
    return found | asked.ONE_THREAD if one_thread else found
