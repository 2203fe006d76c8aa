"""Reading `baselines/`: every stored figure that a verdict is judged against lies there, beside the package."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd

from cnnspec.errors import BaselineError

PROJECT = Path(__file__).resolve().parents[2]
BASELINES = PROJECT / "baselines"
RESTORE = "it is part of a checkout: restore the file with git, and run from a checkout"


def read_csv(path, columns, remedy=RESTORE):
    """A CSV as a frame of strings with exactly `columns`. Raises BaselineError, which ends with `remedy`."""
    try:
        frame = pd.read_csv(str(path), dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise BaselineError(f"{path} is missing; {remedy}") from error
    except ValueError as error:  # pandas' parser errors and undecodable bytes
        raise BaselineError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error
    if list(frame.columns) != list(columns):
        raise BaselineError(f"{path} has columns {list(frame.columns)}, expected {list(columns)}; {remedy}")
    return frame


def read_table(path, remedy=RESTORE):
    """A CSV of nothing but finite numbers as a frame of floats. Raises BaselineError, which ends with `remedy`."""
    try:
        frame = pd.read_csv(str(path)).astype(float)
    except FileNotFoundError as error:
        raise BaselineError(f"{path} is missing; {remedy}") from error
    except ValueError as error:  # parser errors, and words where numbers belong
        raise BaselineError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error
    if frame.isna().any().any():
        raise BaselineError(f"{path} has gaps where numbers belong; {remedy}")
    return frame


def read_toml(path, remedy=RESTORE):
    """A TOML file as a dict. Raises BaselineError, which ends with `remedy`."""
    import tomllib  # Python 3.11; the package itself also runs on 2019's Python 3.7

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BaselineError(f"{path} is missing; {remedy}") from error
    except ValueError as error:
        raise BaselineError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error


def digests(dataset):
    """SHA-256 of each raw uint8 array of a data set, {x_train: …, y_train: …, …}. Raises BaselineError."""
    return read_toml(BASELINES / "datasets.toml")[dataset]["sha256"]


def tolerance(name):
    """A bound and its reason, {relative: …, why: …}, from `tolerances.toml`. Raises BaselineError, KeyError."""
    return _read_once(BASELINES / "tolerances.toml")[name]


_read_once = functools.lru_cache(maxsize=None)(read_toml)  # hundreds of bounds are asked for in a run
