"""The results table as a syrupy snapshot: a CSV under `baselines/snapshots/`, compared within the ensemble's spread."""

import io
import math

import pandas as pd
from scipy import stats
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from cnnspec.ensembles import bands, store
from cnnspec.facts import reading
from cnnspec.files import write_whole
from tests.support import checks, margins

QUANTITY_OF_ROW = {"Test Loss": "test loss, last epoch", "Train Loss": "train loss, evaluated"}


def results_table_extension(settings, update, accepted=None):
    """Class of the snapshot extension for the results table of `settings`.

    Two healthy runs differ, whatever their seeds, so a loss matches while its logarithm is within t(1 − α/2; N − 1) · s · √2
    of the stored one: the band of the difference of two runs. With `update` only equal text matches, so that
    `--snapshot-update` rewrites a table that has moved within its tolerance. `accepted` is the reason for storing a
    table that its bands call a failure; it is stored with the table, as a comment.
    """
    remark = f"# accepted outside its bands: {accepted}\n" if accepted else ""

    folder = str(reading.BASELINES / "snapshots" / f"{settings.dataset}-{settings.epochs}-epochs")

    class ResultsTable(SingleFileSnapshotExtension):
        file_extension = "csv"
        _write_mode = WriteMode.TEXT

        @classmethod
        def dirname(cls, *, test_location):
            return folder

        @classmethod
        def matches_test_location(cls, *, test_location, snapshot_location):
            return snapshot_location == cls.get_location(test_location=test_location, index=0)

        def serialize(self, data, **_):
            return remark + data.map(lambda loss: f"{loss:.6g}").to_csv(index_label="row", lineterminator="\n")

        def matches(self, *, serialized_data, snapshot_data):
            if update:
                return serialized_data == snapshot_data
            return not differences(serialized_data, snapshot_data, settings)

        def diff_lines(self, serialized_data, snapshot_data):
            return differences(serialized_data, snapshot_data, settings) if snapshot_data else []

        @classmethod
        def write_snapshot_collection(cls, *, snapshot_collection, name_order=None):
            write_whole(snapshot_collection.location, next(iter(snapshot_collection)).data)

    return ResultsTable


def check_results_table(snapshot, table, settings, update, reason):
    """The results table `table` (a frame of losses) is the one stored for `settings`.

    With `update` it becomes the stored one, unless a loss lies outside the band of its ensemble: that takes a `reason`.
    """
    __tracebackhide__ = True
    subject = f"the results table of {settings.dataset} after {settings.epochs} epochs"
    command = f"pytest tests/test_results.py --dataset {settings.dataset} --epochs {settings.epochs} --snapshot-update"
    accepted = None
    if update and (outside := outside_the_bands(table, settings)):
        accepted = reason
        if not accepted:
            lines = [*outside, "a table that its bands call a failure is not stored; what was stored is as it was"]
            checks.fail(f"{subject}, to be stored", lines, next=f'find the cause, or: {command} --accept-shift "reason"')
    stored = snapshot.use_extension(results_table_extension(settings, update, accepted))
    if stored != table:
        next_step = f"look at the training tests first; if the change is meant: {command}"
        checks.fail(subject, stored.get_assert_diff(), next=next_step)


def outside_the_bands(table, settings):
    """The losses of a table that lie outside the bands of the ensembles for one run, a line each."""
    lines = []
    for model in table:
        judged = bands.by_quantity(store.curves(settings.ensembles / f"{model}.csv", settings.epochs), settings.dataset)
        for row, loss in table[model].items():
            quantity, band = judged[QUANTITY_OF_ROW[row]]
            used = band.used(math.log(loss)) if loss > 0 else math.inf
            if not used <= 1:
                low, high = band.mean - band.half_width, band.mean + band.half_width
                lines.append(f"{row} of {model}: {loss:.4f}, its band is {quantity.show(low)} to {quantity.show(high)}")
    return lines


def differences(obtained, expected, settings):
    """What sets two tables apart, a line each: rows and columns both ways, then every loss beyond its tolerance."""
    try:
        obtained, expected = (pd.read_csv(io.StringIO(text), index_col="row", comment="#") for text in (obtained, expected))
    except ValueError as error:
        return [f"the stored results table is malformed: {error}"]
    for name, axes in {"rows": (expected.index, obtained.index), "columns": (expected.columns, obtained.columns)}.items():
        if list(axes[0]) != list(axes[1]):
            return [f"{name} of the results table: expected {list(axes[0])}, obtained {list(axes[1])}"]
    lines = []
    for model in expected:
        judged = bands.by_quantity(store.curves(settings.ensembles / f"{model}.csv", settings.epochs), settings.dataset)
        for row in expected.index:
            band = judged[QUANTITY_OF_ROW[row]][1]
            accepted = stats.t.ppf(1 - band.alpha / 2, band.size - 1) * band.deviation * math.sqrt(2)
            was, now = expected.at[row, model], obtained.at[row, model]
            apart = math.log(now / was) if now > 0 and was > 0 else math.inf
            margins.note(f"{row} of {model}", margins.share(apart, accepted))
            if not abs(apart) <= accepted:
                lines.append(
                    f"{row} of {model}: expected {was:.4f} (from the stored table), obtained {now:.4f}, "
                    f"{math.expm1(apart):+.0%}; two healthy runs differ by at most a factor of {math.exp(accepted):.2f} "
                    f"({band.size} runs, false-alarm rate {band.alpha:.1g})"
                )
    return lines
