"""The results table as a syrupy snapshot: a CSV under `baselines/snapshots/`, compared within the ensemble's spread."""

from __future__ import annotations

import datetime
import io
import math
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from cnnspec import content
from cnnspec.ensembles import bands, store
from cnnspec.facts import reading
from cnnspec.files import locked, write_whole
from cnnspec.names import RESULTS
from cnnspec.reports.words import counted
from cnnspec.shapes import Number, Text
from tests.support import checks, margins

if TYPE_CHECKING:
    from tests.support.trainings import Settings

QUANTITY_OF_ROW = {"Test Loss": "test loss, last epoch", "Train Loss": "train loss, evaluated"}


def results_table_extension(
    settings: Settings, update: bool, accepted: str | None = None
) -> type[SingleFileSnapshotExtension]:
    """Class of the snapshot extension for the results table of `settings`.

    Two healthy runs differ, whatever their seeds, so a loss matches while its logarithm is within
    t(1 − α/2; N − 1) · SD · √2 of the stored one: the band of the difference of two runs. Where the band of a single run is
    of no use (`bands.Band.judged`), a loss need only be a positive number. With `update` only equal numbers
    match, so that `--snapshot-update` rewrites a table that has moved within its tolerance. Comment lines hold the table's
    provenance and, as `accepted`, the reason for storing a table that its bands call a failure.
    """
    folder = str(reading.BASELINES / "snapshots" / f"{settings.dataset}-{settings.epochs}-epochs")

    class ResultsTable(SingleFileSnapshotExtension):
        file_extension = "csv"
        _write_mode = WriteMode.TEXT

        @classmethod
        def dirname(cls, *, test_location: Any) -> str:
            return folder

        @classmethod
        def matches_test_location(cls, *, test_location: Any, snapshot_location: str) -> bool:
            return snapshot_location == cls.get_location(test_location=test_location, index=0)

        def serialize(self, data: pd.DataFrame, **_: Any) -> str:
            remark = f"# accepted outside its bands: {accepted}\n" if accepted else ""
            table = data.map(lambda loss: f"{loss:.6g}").to_csv(index_label="row", lineterminator="\n")
            return f"{provenance(settings)}\n{remark}{table}"

        def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
            if update:
                return without_provenance(serialized_data) == without_provenance(snapshot_data)
            return not differences(serialized_data, snapshot_data, settings)

        def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> list[str]:
            return differences(serialized_data, snapshot_data, settings) if snapshot_data else []

        @classmethod
        def write_snapshot_collection(cls, *, snapshot_collection: Any, name_order: Any = None) -> None:
            with locked(snapshot_collection.location):
                write_whole(snapshot_collection.location, next(iter(snapshot_collection)).data)

    return ResultsTable


def provenance(settings: Settings) -> str:
    """The comment line that says which stack and seed a table is from, when and by which command it was stored."""
    from cnnspec import stack  # not at the top: syrupy imports this module where `pytest -n` imports no framework

    here = stack.current()
    cores = "1 core" if here["cores"] == 1 else f"{here['cores']} cores"
    return (
        f"# stack {here['framework']}, Keras {here['keras']}, {here['device']} ({here['cpu']}, {cores}); "
        f"seed {settings.seed}; {datetime.date.today().isoformat()}; command: {update_command(settings)}"
    )


def without_provenance(text: str) -> str:
    """A stored table without the line that says where it is from."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# stack "))


def update_command(settings: Settings) -> str:
    """The command that stores the table anew."""
    return f"pytest tests/test_results.py --dataset {settings.dataset} --epochs {settings.epochs} --snapshot-update"


def check_results_table(
    snapshot: SnapshotAssertion, table: pd.DataFrame, settings: Settings, update: bool, reason: str
) -> None:
    """The results table, a frame of losses in nats, is the one stored for `settings`.

    With `update` it becomes the stored one, unless a loss lies outside the band of its ensemble: that takes a `reason`.
    """
    __tracebackhide__ = True
    subject = f"the results table of {settings.dataset} after {counted(settings.epochs, 'epoch')}"
    command = update_command(settings)
    accepted = None
    if update and (outside := outside_the_bands(table, settings)):
        accepted = reason
        if not accepted:
            lines = [*outside, "Not stored: outside its bands. The stored snapshot is unchanged."]
            checks.fail(f"{subject}, to be stored", lines, next=f'find the cause, or: {command} --accept-shift "reason"')
    stored = snapshot.use_extension(results_table_extension(settings, update, accepted))
    if stored != table:
        next_step = f"look at the training tests first; if the change is meant: {command}"
        checks.fail(subject, stored.get_assert_diff(), next=next_step)


def outside_the_bands(table: pd.DataFrame, settings: Settings) -> list[str]:
    """The losses of a table that lie outside the bands of the ensembles for one run, a line each."""
    lines = []
    for model in table:
        judged = bands.by_quantity(store.curves(settings.ensembles / f"{model}.csv", settings.epochs), settings.dataset)
        for row, loss in table[model].items():
            quantity, band = judged[QUANTITY_OF_ROW[str(row)]]
            used = band.used(math.log(loss)) if loss > 0 else math.inf
            if not used <= 1 and (band.judged or not 0 < loss < math.inf):
                low, high = band.mean - band.half_width, band.mean + band.half_width
                lines.append(f"{row} of {model}: {loss:.4f}, its band is {quantity.show(low)} to {quantity.show(high)}")
    return lines


def stored_table(text: str) -> pd.DataFrame:
    """A stored table: rows of RESULTS, columns of models, losses in nats. Raises Fault."""
    body = re.sub(r"(?m)^#.*\n?", "", text.removeprefix("\ufeff"))
    header = next(content.lines_of(body))[1]
    columns = {"row": Text(tuple(RESULTS)), **dict.fromkeys(header[1:], Number(0, 1e200, above=True))}
    return pd.DataFrame(content.rows_of(body, columns, key=("row",)), columns=list(columns)).set_index("row")


def differences(obtained_text: str, expected_text: str, settings: Settings) -> list[str]:
    """What sets two tables apart, a line each: rows and columns both ways, then every loss beyond its tolerance."""
    try:
        expected = stored_table(expected_text)
    except content.Fault as fault:
        return [f"the stored results table{fault}"]
    obtained = pd.read_csv(io.StringIO(obtained_text), index_col="row", comment="#")
    lines = []
    for name, stored, found in (
        ("row", list(expected.index), list(obtained.index)),
        ("model", list(expected.columns), list(obtained.columns)),
    ):
        if stored != found:
            lines += [f"{name} {each}: in this run's table, not in the stored one" for each in found if each not in stored]
            lines += [f"{name} {each}: in the stored table, not in this run's" for each in stored if each not in found]
            lines = lines or [f"{name}s in another order: expected {stored}, obtained {found}"]
    if lines:
        return lines
    for model in expected:
        judged = bands.by_quantity(store.curves(settings.ensembles / f"{model}.csv", settings.epochs), settings.dataset)
        for row in expected.index:
            band = judged[QUANTITY_OF_ROW[row]][1]
            limit = min(band.critical * band.deviation * math.sqrt(2), bands.LARGEST)
            was, now = expected.at[row, model], obtained.at[row, model]
            shift = math.log(now / was) if now > 0 and was > 0 else math.inf
            if not band.judged and math.isfinite(shift):
                continue
            margins.note(f"{row} of {model}", margins.share(shift, limit))
            if not abs(shift) <= limit:
                lines.append(
                    f"{row} of {model}: expected {was:.4f} (from the stored table), obtained {now:.4f}, "
                    f"{math.expm1(shift):+.0%}; two healthy runs differ by at most a factor of {math.exp(limit):.2f} "
                    f"({band.size} runs, false-alarm rate {band.alpha:.1g})"
                )
    return lines
