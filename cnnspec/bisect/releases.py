"""The releases of a package that the index has for a Python, by pip, which knows mirrors, proxies and yanked files."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence

from packaging.version import InvalidVersion, Version

from cnnspec.errors import BisectError

Asked = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
# What pip and uv say of a network that is gone. A release is not to blame for it.
OFFLINE = re.compile(
    r"Retrying \(|ConnectionError|NewConnectionError|Could not fetch URL|Max retries|name resolution|timed out|"
    r"error sending request|dns error|Failed to fetch|Failed to connect|Connection refused|Network is unreachable"
)
NEAR = 3  # releases that a message names on either side of a wrong one


def ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that answers on stdout."""
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def available(package: str, python: str, pre: bool = False, asked: Asked = ask) -> list[str]:
    """Releases of `package` from old to new that pip of the interpreter `python` would install; no yanked ones.

    Pre-releases are among them with `pre`. Raises BisectError.
    """
    if not re.fullmatch(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", package):
        raise BisectError(f"--package {package!r} is no name of a package; give one such as keras")
    index = ["index", "versions", package, "--disable-pip-version-check", "--retries", "1", *(["--pre"] if pre else [])]
    answer = asked([python, "-m", "pip", *index])
    if answer.returncode and "No module named pip" in answer.stderr:
        uv = shutil.which("uv")
        if not uv:
            raise BisectError(f"{python} has no pip; name an interpreter that has it: --python PATH, or install uv")
        answer = asked([uv, "run", "--no-project", "--python", python, "--with", "pip", "python", "-m", "pip", *index])
    found = re.search(r"^Available versions: (.+)$", answer.stdout, re.MULTILINE)
    if answer.returncode == 0 and found:
        return sorted((word.strip() for word in found.group(1).split(",")), key=Version)
    if OFFLINE.search(answer.stderr):
        raise BisectError("the package index cannot be reached: see to the network, or name a mirror by PIP_INDEX_URL")
    if "No matching distribution" in answer.stderr:
        raise BisectError(f"the package index has no release of {package} for {python}; look at the name and at --python")
    last = [line for line in answer.stderr.splitlines() if line.strip()][-1:] or [f"exit code {answer.returncode}"]
    raise BisectError(f"pip does not list the releases of {package}: {last[0].strip()}; try: {python} -m pip install -U pip")


def version(text: str, option: str) -> Version:
    """A version as PEP 440 has it. Raises BisectError."""
    try:
        return Version(text)
    except InvalidVersion as error:
        raise BisectError(f"{option} {text!r} is no version; give a release such as 3.9.2") from error


def between(releases: Sequence[str], package: str, good: str, bad: str) -> list[str]:
    """The releases from the one end to the other, both among them, from old to new. Raises BisectError."""
    ends = {option: version(text, option) for option, text in (("--good", good), ("--bad", bad))}
    if ends["--good"] == ends["--bad"]:
        raise BisectError(f"--good and --bad are both {good}; give two releases, between which something changed")
    for option, end in ends.items():
        if end not in map(Version, releases):
            older = [each for each in releases if Version(each) < end][-NEAR:]
            newer = [each for each in releases if Version(each) > end][:NEAR]
            hint = "; pre-releases need --pre" if end.is_prerelease else ""
            raise BisectError(
                f"{option} {end}: {package} has no such release for this Python; "
                f"near it are {', '.join(older + newer)}{hint}"
            )
    low, high = sorted(ends.values())
    return [each for each in releases if low <= Version(each) <= high]
