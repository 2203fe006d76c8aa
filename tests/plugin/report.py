"""The report of a run of the suite: gathered during the run, written as a JSON file at its end, also when it is stopped."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cnnspec
from cnnspec.names import slug
from tests.plugin import group
from tests.support import margins

if TYPE_CHECKING:
    from cnnspec.reports.report import Report

UNREACHED = "the run ended before this test: it was interrupted or stopped early, or a worker died"
LONGEST = 300  # characters of a reason


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--report",
        metavar="PATH",
        help="JSON report of this run (default: reports/<environment or versions>-<hardware>.json)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Reporter(config, config.option.report), "cnnspec-report")


class Reporter:
    """A pytest plugin that gathers a run and writes its report. Under xdist the workers send the controller their tests.

    `where` is the file to write; None stands for reports/<environment or versions>-<hardware>.json.
    """

    def __init__(self, config: pytest.Config, where: str | None) -> None:
        self.config, self.where = config, Path(where).absolute() if where else None
        if self.where and self.where.is_dir():
            raise pytest.UsageError(f"--report={where} is a folder; give the path of a file")
        self.started, self.cleared = time.monotonic(), False
        self.collected: list[str] = []
        self.deselected: list[str] = []

    def path(self) -> Path:
        """The file to write the report to."""
        from cnnspec import stack

        return self.where or self.config.rootpath / "reports" / f"{default_name(stack.current(), environment())}.json"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.nodeid for item in session.items if tier(item.nodeid)]

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected += [item.nodeid for item in items if tier(item.nodeid)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with margins.collected_into(item.user_properties):
            return (yield)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Delete an older report when the first test of a tier starts: a run that crashes leaves no report."""
        if tier(nodeid) and not self.cleared and not hasattr(self.config, "workerinput"):
            self.cleared = True
            self.path().unlink(missing_ok=True)

    def pytest_sessionfinish(self) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["cnnspec"] = [self.collected, self.deselected]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.collected, self.deselected = getattr(node, "workeroutput", {}).get("cnnspec", [self.collected, self.deselected])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.config.option.collectonly:
            return
        report = self.gathered(terminalreporter)
        if any(sum(count.values()) for count in report.tiers.values()):
            report.to_json(self.path())
            terminalreporter.line(f"report: {self.path()}")

    def gathered(self, terminal: pytest.TerminalReporter) -> Report:
        """The Report of this run, from the outcomes that pytest's terminal has."""
        from cnnspec import stack
        from cnnspec.reports.report import Report, tier_of
        from tests.plugin import verdict

        counts = {module: dict.fromkeys(verdict.OUTCOMES, 0) for module in verdict.TIERS | verdict.ASKED_FOR}
        others = dict.fromkeys(verdict.OUTCOMES, 0)
        reasons: dict[str, list[dict[str, str]]] = {"failed": [], "skipped": [], "xfailed": []}
        properties: list[verdict.Property] = []
        shares: dict[str, dict[str, float | None]] = {}
        seen = set()
        for module, outcome, report in verdict.outcomes(terminal):
            counts.get(module, others)[outcome] += 1
            seen.add(report.nodeid)
            if outcome != "passed":
                reasons[outcome].append({"test": report.nodeid, "reason": reason(outcome, report)})
            if module in counts:
                properties += verdict.properties_of(report)
                if outcome != "xfailed":
                    shares.update(margins_of(report))
        unreached = [test for test in self.collected if test not in seen]
        not_run = reasons["skipped"] + [{"test": test, "reason": UNREACHED} for test in unreached]
        not_run += [{"test": test, "reason": "deselected by -k, -m or --deselect"} for test in self.deselected]
        reached = verdict.judged(counts, properties)
        return Report(
            environment=environment(),
            cnnspec=cnnspec.__version__,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            options=options(self.config),
            stack=stack.current(),
            verdict="no verdict" if reached == "pass" and unreached else reached,
            tiers={tier_of(m): count for m, count in counts.items() if m in verdict.TIERS or any(count.values())},
            others=others,
            failed=reasons["failed"],
            not_run=not_run,
            known_differences=reasons["xfailed"],
            margins=shares,
            precision=sorted(value for name, value in properties if name == "precision"),
            table=next((value for name, value in properties if name == "results"), {}),
            trainings=trainings([value for name, value in properties if name == "run"]),
            seconds=round(time.monotonic() - self.started, 3),
        )


def tier(nodeid: str) -> bool:
    """Whether a test belongs to a tier of the verdict. Tests asked for by name and tests of the suite itself do not."""
    from tests.plugin import verdict

    return Path(nodeid.split("::")[0]).stem in verdict.TIERS


def environment(variables: Mapping[str, str] = os.environ) -> str | None:
    """Name of the environment of this run: CNNSPEC_ENVIRONMENT, else that of tox, else None."""
    return variables.get("CNNSPEC_ENVIRONMENT") or variables.get("TOX_ENV_NAME")


def default_name(stack: Mapping[str, Any], name: str | None) -> str:
    """File name of a report without suffix: environment (or versions, where it has no name) and hardware."""
    who = name or f"{stack['framework']}-keras-{stack['keras']}-python-{stack['python']}"
    on = stack["cpu"] if stack["device"] == "CPU" else stack["device"]
    return slug(f"{who}-{on}")


def options(config: pytest.Config) -> dict[str, Any]:
    """The options that decide what a run trains and how fast."""
    option = config.option
    workers = len(getattr(option, "tx", None) or ()) or 1
    return {
        "dataset": option.dataset,
        "epochs": option.epochs,
        "seed": option.seed,
        "runs": option.runs,
        "device": option.device,
        "workers": workers,
    }


def reason(outcome: str, report: Any) -> str:
    """Why a test was skipped, failed or is known to differ, without the traceback. `report` is pytest's, of any kind."""
    if outcome == "xfailed":
        return report.wasxfail.removeprefix("reason: ")
    if outcome == "skipped":
        return report.longrepr[2].removeprefix("Skipped: ")
    if isinstance(report.longrepr, str):  # composed by a plugin, not by the test: a stale known difference
        lines = report.longrepr.removeprefix(f"{report.nodeid}: ").splitlines()
        return shortened("; ".join(" ".join(line.split()) for line in lines), most=2 * LONGEST)
    lines = [line.strip() for line in str(report.longrepr).splitlines() if line.strip()]
    errors = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    return shortened("; ".join(errors[:1] or lines[:2])) or "no message"


def shortened(words: str, most: int = LONGEST) -> str:
    """Words cut to a length that fits into a table. Pytest's own output has all of them."""
    return words if len(words) <= most else f"{words[:most]}…"


def margins_of(report: Any) -> dict[str, dict[str, float | None]]:
    """{test: {what: share of its tolerance}} of one test, to three digits. Of several shares of one name, the largest."""
    from tests.plugin import verdict

    found: dict[str, float] = {}
    for what, share in (value for name, value in verdict.properties_of(report) if name == "margin"):
        found[what] = max(share, found.get(what, 0.0))
    rounded = {what: float(f"{share:.3g}") if math.isfinite(share) else None for what, share in found.items()}
    return {report.nodeid: rounded} if rounded else {}


def trainings(runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By model, history and scores of its training, and the bands of its ensemble by epoch where there is one."""
    return {
        run["model"]: {
            "history": run["history"],
            "scores": run["scores"],
            "bands": bands_by_epoch(run["model"], run["dataset"], run["epochs"]),
        }
        for run in runs
    }


def bands_by_epoch(model: str, dataset: str, epochs: int) -> dict[str, dict[str, list[float]]]:
    """{metric: {low, mean, high}}, each with a loss per epoch: the band of the loss of one healthy run."""
    from cnnspec.ensembles import bands, quantities, store
    from cnnspec.errors import EnsembleError
    from cnnspec.facts import reading

    try:
        curves = store.curves(reading.BASELINES / "ensembles" / dataset / f"{model}.csv", epochs)
    except EnsembleError:  # the training tests fail and say why
        return {}
    found = {}
    for metric in ("loss", "val_loss"):
        losses = [quantities.log_loss(metric, epoch) for epoch in range(epochs)]
        each = [bands.band(loss, [loss.measure(curve) for curve in curves], bands.alpha(epochs)) for loss in losses]
        ends = {"low": -1, "mean": 0, "high": 1}
        found[metric] = {
            end: [float(f"{math.exp(band.mean + side * band.half_width):.5g}") for band in each]
            for end, side in ends.items()
        }
    return found
