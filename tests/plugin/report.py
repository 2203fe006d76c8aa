"""The report of a run of the suite: gathered during the run, written as a JSON file at its end, also when it is stopped."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cnnspec
from cnnspec.names import slug
from cnnspec.reports.report import PARTIAL, UNREACHED
from tests.plugin import facts, group, outcome, partial, places
from tests.support import margins

if TYPE_CHECKING:
    from cnnspec.reports.report import Report

LONGEST = 300  # characters of a reason


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--report",
        metavar="PATH",
        help="JSON report of this run, a file or a folder (default: reports/<environment or versions>-<hardware>.json, "
        "or the same in reports/partial for a run that leaves tests out)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Reporter(config, config.option.report), "cnnspec-report")


class Reporter:
    """A pytest plugin that gathers a run and writes its report. Under xdist the workers send the controller their tests.

    `where` is the file to write, or a folder; None stands for the folder reports. A report of a part of the suite never
    replaces a whole one: it is written to the folder `partial` beside it.
    """

    def __init__(self, config: pytest.Config, where: str | None) -> None:
        self.config = config
        self.folder, self.file = config.rootpath / "reports", None
        if where and (where.endswith(os.sep) or Path(where).is_dir()):
            self.folder = Path(where).absolute()
        elif where:
            self.file = Path(where).absolute()
        self.started = time.monotonic()
        self.collected: list[str] = []  # tests that were not left out
        self.deselected: dict[str, str] = {}  # test -> reason
        self.broken: list[str] = []  # modules that could not be collected

    def path(self, whole: bool = True) -> Path:
        """The file to write the report to. A file that was named takes any report, unless a whole one is there."""
        path = self.file or self.folder / f"{default_name(facts.current(self.config), environment())}.json"
        return path if whole or (self.file and not partial.holds_whole_report(path)) else path.parent / PARTIAL / path.name

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.nodeid for item in session.items if required(item.nodeid)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """What a worker will run is known before it ends: a run that is ended from outside names the tests not reached."""
        self.collected = [nodeid for nodeid in ids if required(nodeid)]

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected |= {item.nodeid: partial.why_deselected(item) for item in items if tier(item.nodeid)}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with margins.collected_into(item.user_properties):
            return (yield)

    def pytest_sessionfinish(self) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["cnnspec"] = [self.collected, self.deselected]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.collected, self.deselected = getattr(node, "workeroutput", {}).get("cnnspec", [self.collected, self.deselected])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.config.option.collectonly or facts.missing(self.config) or hasattr(self.config, "workerinput"):
            return  # a worker of xdist has a terminal too, which nobody sees
        report, path = self.gathered(terminalreporter), None
        if any(sum(count.values()) for count in report.tiers.values()):
            whole = report.whole or partial.all_asked_for(self.collected, self.deselected, self.broken)
            path, line = places.keep(report, self.path, whole)
            terminalreporter.line(line)
        outcome.of_report(self.config, report, path)

    def missed(self, seen: Container[str]) -> list[dict[str, str]]:
        """Tests that were asked for and did not run, and tests that were left out, each with its reason."""
        left_out = [{"test": test, "reason": reason} for test, reason in self.deselected.items()]
        unreached = [{"test": test, "reason": UNREACHED} for test in self.collected if test not in seen]
        return unreached + left_out

    def gathered(self, terminal: pytest.TerminalReporter) -> Report:
        """The Report of this run, from the outcomes that pytest's terminal has."""
        from cnnspec.reports.report import Report, tier_of
        from tests.plugin import verdict

        counts = {module: dict.fromkeys(verdict.OUTCOMES, 0) for module in verdict.TIERS | verdict.ASKED_FOR}
        others = dict.fromkeys(verdict.OUTCOMES, 0)
        reasons: dict[str, list[dict[str, str]]] = {"failed": [], "skipped": [], "xfailed": []}
        properties: list[verdict.Property] = []
        shares: dict[str, dict[str, float | None]] = {}
        digests: dict[str, str] = {}
        again: list[dict[str, str]] = []
        seen = set()
        for module, ended, report in verdict.outcomes(terminal):
            counts.get(module, others)[ended] += 1
            seen.add(report.nodeid)
            if ended != "passed":
                reasons[ended].append({"test": report.nodeid, "reason": reason(ended, report)})
            if module in counts:
                properties += verdict.properties_of(report)
                digests |= verdict.digests_of(report)
                if ended != "xfailed":
                    shares.update(verdict.margins_of(report))
                again += [{"test": report.nodeid, "reason": remark} for remark in verdict.drawn_again(report)]
        missed = self.missed(seen)
        return Report(
            environment=environment(),
            cnnspec=cnnspec.__version__,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            options=options(self.config),
            stack=facts.current(self.config),
            verdict=verdict.judged(counts, properties, self.config.option.level, missed),
            tiers={tier_of(m): count for m, count in counts.items() if m in verdict.TIERS or any(count.values())},
            others=others,
            failed=reasons["failed"],
            not_run=reasons["skipped"] + missed,
            known_differences=reasons["xfailed"],
            margins=shares,
            precision=sorted(value for name, value in properties if name == "precision"),
            table=next((value for name, value in properties if name == "results"), {}),
            trainings=trainings(
                [value for name, value in properties if name == "run"], self.config.getoption("ensembles", None)
            ),
            seconds=round(time.monotonic() - self.started, 3),
            digests=digests,
            drawn_again=again,
        )


def tier(nodeid: str) -> bool:
    """Whether a test belongs to a tier of every whole run. Tests asked for by name and tests of the suite itself do not."""
    from tests.plugin import levels, verdict

    return levels.module_of(nodeid) in verdict.TIERS


def required(nodeid: str) -> bool:
    """Whether a test that was not left out must have run for a verdict: those of the tiers, and of what was asked for."""
    from tests.plugin import levels, verdict

    return levels.module_of(nodeid) in verdict.TIERS | verdict.ASKED_FOR


def environment(variables: Mapping[str, str] = os.environ) -> str | None:
    """Name of the environment of this run: CNNSPEC_ENVIRONMENT, else that of tox, else None."""
    names = (variables.get(variable, "") for variable in ("CNNSPEC_ENVIRONMENT", "TOX_ENV_NAME"))
    printable = ("".join(letter if letter.isprintable() else "?" for letter in name.strip()) for name in names)
    return next((shortened(name, most=100) for name in printable if name), None)


def default_name(stack: Mapping[str, Any], name: str | None) -> str:
    """File name of a report without suffix: environment (or versions, where it has no name) and hardware."""
    who = name or f"{stack['framework']}-keras-{stack['keras']}-python-{stack['python']}"
    on = stack["cpu"] if stack["device"] == "CPU" else stack["device"]
    return slug(f"{who}-{on}").encode()[:150].decode(errors="ignore")  # a folder counts bytes


def options(config: pytest.Config) -> dict[str, Any]:
    """The options that decide what a run trains and how fast."""
    option = config.option
    workers = len(getattr(option, "tx", None) or ()) or 1
    return {
        "level": option.level,
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


def trainings(runs: Iterable[Mapping[str, Any]], ensembles: str | None) -> dict[str, dict[str, Any]]:
    """By model, history and scores of its training, and the bands of its ensemble by epoch where there is one.

    `ensembles` is the folder of --ensembles; None stands for the stored ensembles of the run's data set.
    """
    from cnnspec.facts import reading

    stored = reading.BASELINES / "ensembles"
    return {
        run["model"]: {
            "history": run["history"],
            "scores": run["scores"],
            "bands": bands_by_epoch(Path(ensembles or stored / run["dataset"]) / f"{run['model']}.csv", run["epochs"]),
        }
        for run in runs
    }


def bands_by_epoch(path: Path, epochs: int) -> dict[str, dict[str, list[float]]]:
    """{metric: {low, mean, high}}, each with a loss per epoch: by an ensemble, the band of the loss of one healthy run."""
    from cnnspec.ensembles import bands, quantities, store
    from cnnspec.errors import EnsembleError

    try:
        curves = store.curves(path, epochs)
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
