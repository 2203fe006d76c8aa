"""The errors that the project raises for bad input or a failed run, each with the exit code of its command.

A message names the file, option or device, what is wrong with it, and what to do.
"""

from __future__ import annotations

from cnnspec.calls import as_called


class CnnspecError(Exception):
    """Base of the project's errors; `exit_code` is the exit code of `python -m cnnspec`."""

    exit_code: int

    def __init__(self, message: str = "") -> None:
        super().__init__(as_called(message))


class FrameworkMissing(CnnspecError):
    """No framework is installed, or it cannot be imported; the message says which, and the command that installs it."""

    exit_code = 2


class WrongArguments(CnnspecError):
    """Arguments of a command do not fit together; the message says which, and what to give."""

    exit_code = 2


class OutUnusable(CnnspecError):
    """Nothing can be written to the folder that was named; the message says which, and what to do."""

    exit_code = 2


class BisectError(CnnspecError):
    """The releases of a package cannot be searched: the ends, the index, the interpreter; the message says what to do."""

    exit_code = 2


class BisectDamaged(CnnspecError):
    """The state of a bisect is not what it should be; the message names the file and what to do."""

    exit_code = 3


class DataError(CnnspecError):
    """The data are missing, damaged, or not what they should be; the message says which file or array and what to do."""

    exit_code = 3


class BaselineError(CnnspecError):
    """A baseline is missing or malformed; the message names the file and the command that restores it."""

    exit_code = 3


class ModelMissing(CnnspecError):
    """A model is registered in one place and missing in another; the message names both and what to do."""

    exit_code = 3


class EnsembleError(CnnspecError):
    """A stored ensemble is missing, malformed, or would mix stacks; the message names the file and the command to run."""

    exit_code = 3


class TooFewRuns(EnsembleError):
    """A stored ensemble has too few runs to judge by; the message says how many, and the command that adds some."""


class MalformedRun(CnnspecError):
    """A file does not hold a TrainingRun; the message names the file and what is wrong with it."""

    exit_code = 3


class MalformedReport(CnnspecError):
    """A file does not hold a report; the message names the file and what is wrong with it."""

    exit_code = 3


class TimingsError(CnnspecError):
    """Stored timings are malformed, or new ones cannot be stored; the message names the file and what to do."""

    exit_code = 3


class NonFiniteLoss(CnnspecError):
    """A loss or a weight became NaN or infinite; the message names the model, the seed, the epoch and what it was."""

    exit_code = 4


class DeviceMissing(CnnspecError):
    """The framework cannot use the requested device; the message says what to check."""

    exit_code = 5


class ClusterMissing(CnnspecError):
    """The Dask cluster cannot be reached, or Dask is not installed; the message says what to do."""

    exit_code = 6


class RunFailed(CnnspecError):
    """The process of a training failed; the message has its command and its last output."""

    exit_code = 7
