"""The report of a run of the suite: gathered while it runs, written as one JSON when it ends, however it ends."""

import datetime
import math
import os
import time
from pathlib import Path

import pytest

import cnnspec
from cnnspec.names import slug
from tests.plugin import group
from tests.support import margins

UNREACHED = "the run ended before it: interrupted, stopped early, or a worker died"


def pytest_addoption(parser):
    group(parser).addoption(
        "--report",
        metavar="PATH",
        help="JSON report of this run (default: reports/<environment or versions>-<hardware>.json)",
    )


def pytest_configure(config):
    config.pluginmanager.register(Reporter(config, config.option.report), "cnnspec-report")


class Reporter:
    """Pytest plugin that gathers a run and writes its report; under xdist the workers tell the controller what they have.

    `where` is the file to write, None for the default: reports/<environment or versions>-<hardware>.json.
    """

    def __init__(self, config, where):
        self.config, self.where = config, Path(where).absolute() if where else None
        if self.where and self.where.is_dir():
            raise pytest.UsageError(f"--report {where} is a folder; name a file")
        self.started, self.cleared = time.monotonic(), False
        self.collected, self.deselected = [], []

    def path(self):
        """The file that this run's report goes to."""
        from cnnspec import stack

        return self.where or self.config.rootpath / "reports" / f"{default_name(stack.current(), environment())}.json"

    def pytest_collection_finish(self, session):
        self.collected = [item.nodeid for item in session.items if tier(item.nodeid)]

    def pytest_deselected(self, items):
        self.deselected += [item.nodeid for item in items if tier(item.nodeid)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        margins.collect_into(item.user_properties)

    def pytest_runtest_logstart(self, nodeid):
        """An older report goes when the first of its tests starts anew, so that a run that dies leaves none."""
        if tier(nodeid) and not self.cleared and not hasattr(self.config, "workerinput"):
            self.cleared = True
            self.path().unlink(missing_ok=True)

    def pytest_sessionfinish(self):
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["cnnspec"] = [self.collected, self.deselected]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.collected, self.deselected = getattr(node, "workeroutput", {}).get("cnnspec", [self.collected, self.deselected])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter):
        if self.config.option.collectonly:
            return
        report = self.gathered(terminalreporter)
        if any(sum(count.values()) for count in report.tiers.values()):
            report.to_json(self.path())
            terminalreporter.line(f"report: {self.path()}")

    def gathered(self, terminal):
        """The Report of the run whose outcomes pytest's terminal has."""
        from cnnspec import stack
        from cnnspec.reports.report import Report, tier_of
        from tests.plugin import verdict

        counts = {module: dict.fromkeys(verdict.OUTCOMES, 0) for module in verdict.TIERS | verdict.ASKED_FOR}
        others = dict.fromkeys(verdict.OUTCOMES, 0)
        reasons = {"failed": [], "skipped": [], "xfailed": []}
        properties, shares, seen = [], {}, set()
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


def tier(nodeid):
    """Whether a test belongs to a tier of the verdict, not to the tests asked for by name or those of the suite itself."""
    from tests.plugin import verdict

    return Path(nodeid.split("::")[0]).stem in verdict.TIERS


def environment(variables=os.environ):
    """Name of the environment that this run was started in: CNNSPEC_ENVIRONMENT, else tox's; None for neither."""
    return variables.get("CNNSPEC_ENVIRONMENT") or variables.get("TOX_ENV_NAME")


def default_name(stack, name):
    """File name of a report, without suffix: environment and hardware, or versions and hardware."""
    who = name or f"{stack['framework']}-keras-{stack['keras']}-python-{stack['python']}"
    on = stack["cpu"] if stack["device"] == "CPU" else stack["device"]
    return slug(f"{who}-{on}")


def options(config):
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


def reason(outcome, report):
    """Why a test was skipped, failed or is known to differ, without the traceback."""
    if outcome == "xfailed":
        return report.wasxfail.removeprefix("reason: ")
    if outcome == "skipped":
        return report.longrepr[2].removeprefix("Skipped: ")
    lines = [line.strip() for line in str(report.longrepr).splitlines() if line.strip()]
    errors = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    return shortened("; ".join(errors[:1] or lines[:2])) or "no message"


def shortened(words, most=300):
    """Words cut to a length that a table bears; pytest's own output has the rest."""
    return words if len(words) <= most else f"{words[:most]}…"


def margins_of(report):
    """{test: {what: share of its bound}} of one report, three digits each, the largest where a name came twice."""
    from tests.plugin import verdict

    found = {}
    for what, share in (value for name, value in verdict.properties_of(report) if name == "margin"):
        found[what] = max(share, found.get(what, 0.0))
    rounded = {what: float(f"{share:.3g}") if math.isfinite(share) else None for what, share in found.items()}
    return {report.nodeid: rounded} if rounded else {}


def trainings(runs):
    """History and scores of each model's training, with the band of its ensemble at every epoch where there is one."""
    return {
        run["model"]: {
            "history": run["history"],
            "scores": run["scores"],
            "bands": bands_by_epoch(run["model"], run["dataset"], run["epochs"]),
        }
        for run in runs
    }


def bands_by_epoch(model, dataset, epochs):
    """{metric: {low, mean, high}} with a loss per epoch: the band that each epoch's loss of one healthy run falls in."""
    from cnnspec.ensembles import bands, store
    from cnnspec.errors import EnsembleError
    from cnnspec.facts import reading

    try:
        curves = store.curves(reading.BASELINES / "ensembles" / dataset / f"{model}.csv", epochs)
    except EnsembleError:  # the training tests fail by it
        return {}
    found = {}
    for metric in ("loss", "val_loss"):
        quantities = [bands.log_loss(metric, epoch) for epoch in range(epochs)]
        each = [bands.band(q, [q.measure(curve, None) for curve in curves], bands.ALPHA) for q in quantities]
        ends = {"low": -1, "mean": 0, "high": 1}
        found[metric] = {
            end: [float(f"{math.exp(band.mean + side * band.half_width):.5g}") for band in each]
            for end, side in ends.items()
        }
    return found
