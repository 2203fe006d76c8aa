"""Tests that need the framework, run many times: it is imported once, and each run of pytest gets a fork of that process.

`python -m tests.meta.mutation.forked serve SOCKET` waits for requests in the folder of a project; `… ask SOCKET WORD …` has
pytest run with these words there, and ends with its exit code. Of the project only this module and `forking` are imported
before the fork, so that a run finds the modules as they are on the disk then. A request that ends early ends its run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

from tests.meta import forking

NOT_RUN = 70  # exit code where pytest itself could not be started
PAUSE = 0.05  # seconds between two looks at a run
# Read when libraries are imported, before the suite's own plugins could make these settings.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "1"}


def serve(place: str) -> None:
    """Answer requests until the process is ended."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{place}.new")
        listening.listen()
        os.rename(f"{place}.new", place)  # whoever finds it can ask
        while True:
            asking, _ = listening.accept()
            with asking, asking.makefile("r", encoding="utf-8") as request:
                words = json.loads(request.readline())
                code = code_of(words, asking)
                with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                    asking.sendall(b"%d\n" % code)


def code_of(words: Sequence[str], asking: socket.socket) -> int:
    """The exit code of pytest in a fork; the fork is ended where nobody waits for it any more."""
    process = os.fork()
    if not process:
        run(words)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if select.select([asking], [], [], PAUSE)[0]:  # closed: nothing is sent after the request
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return NOT_RUN


def run(words: Sequence[str]) -> None:
    """Run pytest in this process, without output, and end it."""
    code = NOT_RUN
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for output in (0, 1, 2):
            os.dup2(nowhere, output)
        import pytest

        code = int(pytest.main(list(words)))
    finally:
        os._exit(code)


def ask(place: str, words: Sequence[str]) -> int:
    """The exit code of a run of pytest with these words, by the process that listens at `place`."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(place)
        asking.sendall(json.dumps(words).encode() + b"\n")
        with asking.makefile("r", encoding="utf-8") as answer:
            return int(answer.readline() or NOT_RUN)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        forking.import_framework()
        forking.settle()
        serve(sys.argv[2])
    sys.exit(ask(sys.argv[2], sys.argv[3:]))
