"""The command `bisect`: from the command line to the one line that names a release."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import signal
from argparse import Namespace
from collections.abc import Sequence
from types import FrameType

from filelock import FileLock, Timeout
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from cnnspec import verify
from cnnspec.bisect import fits, releases
from cnnspec.bisect.environments import Call, Environments, call, interpreter
from cnnspec.bisect.releases import Asked, ask
from cnnspec.bisect.search import Tried, search
from cnnspec.bisect.state import State, folder
from cnnspec.errors import BisectError


class Stopped(BaseException):
    """The process was told to end."""


def bisect(options: Namespace, asked: Asked = ask, call: Call = call) -> int:
    """Run the search that `options` ask for; returns 0 where one release was found, 2 where several are left."""
    out = verify.writable(options.out)
    arguments = verify.own(options.pytest)
    uv = shutil.which("uv") if options.by != "pip" else None
    if options.by == "uv" and not uv:
        raise BisectError("--by uv: uv is not here; install it: python -m pip install uv")
    rows = fits.matrix()
    backend = backend_of(options.package)
    wanted = requirements_of(options.beside)
    rising = releases.version(options.good, "--good") < releases.version(options.bad, "--bad")
    ends = sorted((options.good, options.bad), key=Version)
    python = interpreter(options.python, lowest_python(options.package, ends, rows, backend), uv)
    listed = releases.available(options.package, python, options.pre, asked)
    found = releases.between(listed, options.package, options.good, options.bad)
    beside = {
        each: fits.replaced(fits.fit(options.package, each, found, rows, backend).requirements, wanted) for each in found
    }
    question = {
        "package": options.package,
        "good": str(Version(options.good)),
        "bad": str(Version(options.bad)),
        "pre": options.pre,
        "repeat": options.repeat,
        "tests": list(options.pytest),
        "backend": backend,
        "python": python,
        "beside": wanted,
    }
    place = out / "runs" / "bisect" / folder(question)
    place.mkdir(parents=True, exist_ok=True)
    what = shlex.join(options.pytest) or "the suite"
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with FileLock(place / "lock", timeout=0):
            state = State(place, question)
            environments = Environments(place, python, uv, backend, arguments, call, options.repeat)
            most = 2 + math.ceil(math.log2(max(1, len(found) - 1)))
            say(f"{options.package}: {len(found)} releases from {found[0]} to {found[-1]}, about {most} to try: {what}")
            say(f"Python {python}, by {'uv' if uv else 'pip'}, results in {place}")

            def judge(release: str, where: str) -> Tried:
                named = f"{options.package} {release}"
                if release in state.results:
                    tried, known = state.results[release], ", known from before"
                else:
                    say(f"[{len(state.results) + 1}] {named} ({where}) with {' '.join(beside[release])}")
                    tried, known = environments.tried(release, [f"{options.package}=={release}", *beside[release]]), ""
                    state.keep(release, tried)
                say(f"    {named} {tried.verdict}{known}: {tried.reason} ({tried.seconds:.0f} s)")
                return tried

            result = search(found, rising, judge)
    except Timeout:
        raise BisectError(f"another bisect of this question is running, in {place}; wait for it, or end it") from None
    except (KeyboardInterrupt, Stopped):
        raise BisectError("it was stopped; the same command goes on") from None
    finally:
        signal.signal(signal.SIGTERM, before)
    say(result.told(options.package, what))
    return 2 if result.between else 0


def stop(number: int, frame: FrameType | None) -> None:
    """What SIGTERM does: the search ends, and with it the command that it waits for."""
    raise Stopped


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def backend_of(package: str) -> str:
    """The backend of Keras for a search: that of the package, else KERAS_BACKEND, else TensorFlow. Raises BisectError."""
    if package in fits.BACKENDS:
        return package
    asked = os.environ.get("KERAS_BACKEND", "tensorflow")
    if asked not in ("tensorflow", *fits.BACKENDS):
        raise BisectError(f"KERAS_BACKEND={asked} is none that cnnspec knows; choose tensorflow, jax or torch")
    return asked


def requirements_of(words: Sequence[str]) -> list[str]:
    """Requirements of --with. Raises BisectError."""
    for word in words:
        try:
            Requirement(word)
        except InvalidRequirement as error:
            raise BisectError(f"--with {word!r} is no requirement; give one such as tensorflow-cpu==2.19.1") from error
    return list(words)


def lowest_python(package: str, ends: Sequence[str], rows: Sequence[fits.Row], backend: str) -> str:
    """The oldest Python that the matrix has for an end: newer releases still take it, older ones no newer one."""
    pythons = [fits.fit(package, end, ends, rows, backend).python for end in ends]
    return min(pythons, key=Version)
