"""The commands of `python -m cnnspec`. Each takes the parsed options, and imports what it needs when it is called."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cnnspec.calls import as_called
from cnnspec.command_checks import write_result
from cnnspec.errors import MalformedReport, WrongArguments
from cnnspec.names import MODELS

if TYPE_CHECKING:
    from cnnspec.mnist import Dataset  # it needs Keras, and most commands do not


def verify(options: Namespace) -> int:
    """The command `verify`; returns its exit code."""
    from cnnspec import verify
    from cnnspec.each import command

    return command.of_verify(options) if options.device == "each" else verify.verify(options)


def bench(options: Namespace) -> int:
    """The command `bench`; returns its exit code."""
    from cnnspec import verify

    return verify.bench(options)


def soak(options: Namespace) -> int:
    """The command `soak`; returns its exit code."""
    from cnnspec.soak import command

    return command.soak(options)


def bisect(options: Namespace) -> int:
    """The command `bisect`; returns its exit code."""
    from cnnspec.bisect import command

    return command.bisect(options)


def train(options: Namespace) -> None:
    """The command `train`."""
    from cnnspec import frameworks

    frameworks.require()
    from cnnspec import mnist, results, stack, training
    from cnnspec.devices.words import describe

    stack.require(options.device)
    data = mnist.load(options.dataset, options.mnist)
    runs = []
    for model in MODELS if options.model == "all" else [options.model]:
        epochs = "1 epoch" if options.epochs == 1 else f"{options.epochs} epochs"
        print(f"{model} on {data.name}, seed {options.seed}, {epochs}", flush=True)
        run = training.train(
            model,
            data,
            seed=options.seed,
            epochs=options.epochs,
            optimizer=options.optimizer,
            redraw=options.redraw,
            evaluate_train_each_epoch=options.train_each_epoch,
            **told_in(sys.stdout),
        )
        path = options.out / f"{model}-{data.name}-{options.optimizer}-seed{options.seed}.json"
        run.to_json(path)
        print(f"wrote {path}")
        if not options.json_only:
            for figure in results.draw_loss_curves(run, path.with_suffix("")):
                print(f"wrote {figure}")
        runs.append(run)
    print("\n".join(describe(runs[0].stack)))
    print(results.results_table(runs).to_string())


def told_in(output: TextIO) -> dict[str, Any]:
    """Settings of a training by how it tells its progress: a bar on a terminal, a line after each epoch in a log."""
    if output.isatty():
        return {"verbose": 1}
    return {"verbose": 0, "report": lambda line: print(line, flush=True)}


def trajectory(options: Namespace) -> None:
    """The command `trajectory`."""
    from cnnspec import frameworks

    frameworks.require()
    from cnnspec import mnist, stack
    from cnnspec.files import write_whole
    from cnnspec.trajectory import on_stack, recordings, start

    stack.require(options.device)
    data = mnist.load("mnist5k")
    models = MODELS if "all" in options.models else options.models
    for model in models:
        if options.by.startswith("fit-"):
            fit_in_float64(model, data, options)
            continue
        for optimizer in start.OPTIMIZERS:
            if options.by == "stack":
                steps = on_stack.run(model, data, optimizer)
            else:
                from cnnspec.trajectory import in_float64

                steps = in_float64.run(model, data, optimizer, in_float64.CONVENTIONS[options.by])
            recordings.record(options.out, model, optimizer, steps)
            print(f"recorded {model}, {optimizer}", flush=True)
    facts = "".join(f'{key} = "{value}"\n' for key, value in stack.current().items())
    some = [] if set(models) == set(MODELS) else list(models)
    path = options.out / "provenance.toml"
    if some and path.exists():
        if options.by != "stack":
            return  # float64 is the same by any stack: the provenance of the other models is that of these too
        path = options.out / f"provenance-{'-'.join(some)}.toml"
    named = f" --models {' '.join(some)}" if some else ""
    command = f"python -m cnnspec trajectory --by {options.by}{named} --out {options.out.as_posix()}"
    write_whole(path, f'runs = 1\ncommand = "{command}"\n\n[stack]\n{facts}')


def fit_in_float64(model: str, data: Dataset, options: Namespace) -> None:
    """The command `trajectory` for one model, where float64 takes two epochs of `fit`."""
    from cnnspec.facts import notebook
    from cnnspec.trajectory import fit_in_float64, fit_recordings, start

    variables = start.weight_names([layer["class"] for layer in notebook.layers(model)])
    numbers = fit_in_float64.run(model, data, fit_in_float64.CONVENTIONS[options.by])
    fit_recordings.record(options.out, model, variables, numbers)
    print(f"recorded {model}, fit", flush=True)


def calibrate(options: Namespace) -> None:
    """The command `calibrate`."""
    from cnnspec import frameworks

    frameworks.require()
    from cnnspec import stack
    from cnnspec.ensembles import calibrate

    if not options.dask:  # the workers of a cluster may have a GPU that this machine lacks: each training looks for it
        stack.require(options.device)
    models = MODELS if "all" in options.models else options.models
    with calibrate.executor(options.dask) as workers:
        calibrate.calibrate(
            workers,
            options.out,
            models,
            options.dataset,
            range(options.first_seed, options.first_seed + options.runs),
            options.epochs,
            options.optimizer,
            options.mnist and options.mnist.resolve(),
            report=lambda line: print(line, flush=True),
            device=options.device,
            redraw=not options.own_draw,
            stack=None if options.dask else stack.without_device(),
        )
    print(as_called(f"to judge a stack by these runs: pytest --dataset {options.dataset} --ensembles={options.out}"))


def paired(options: Namespace) -> None:
    """The command `paired`."""
    from cnnspec import frameworks

    frameworks.require()
    from cnnspec import stack
    from cnnspec.paired import record

    stack.require(options.device)
    models = MODELS if "all" in options.models else options.models
    record.record(options.out, models, options.starts, options.xla, report=lambda line: print(line, flush=True))


def report(options: Namespace) -> int:
    """The command `report`; returns 1 if an environment failed, has no verdict or has no report."""
    from cnnspec.benchmarks import tables, timings
    from cnnspec.reports import fleets, markdown, report

    reports = report.read_all(options.reports)
    measured = [timings.read(path) for path in options.figures]
    caught = table_of_faults(options.faults) if options.faults else ""
    expected = [name for names in options.expect for name in names]
    if not reports and not expected and not measured and not caught:
        raise MalformedReport(
            "no report was named; run pytest, which writes one, then: python -m cnnspec report reports/*.json"
        )
    text = markdown.of_reports(reports, expected) if reports or expected else ""
    across = tables.rows_across(measured)
    text = "\n".join(part for part in (text, caught) if part)
    if options.markdown:
        write_result(options.markdown, text)
    if options.html:
        from cnnspec.reports import page

        write_result(options.html, page.page(reports, expected, measured))
    say("\n\n".join(part.rstrip("\n") for part in (text, markdown.table(tables.ACROSS, across) if across else "") if part))
    return int(bool(report.missing(reports, expected)) or not all(each.good for each in reports) or fleets.differ(reports))


def table_of_faults(path: Path) -> str:
    """The table of the stored results of the catalogue, by kind. Imported here: a report of runs needs no NumPy."""
    from cnnspec.faults import power, store
    from cnnspec.reports import markdown

    return f"**{power.TITLE}**\n\n{markdown.table(power.HEADER, power.by_kind(store.CATALOGUE.read(path)))}\n"


def say(text: str) -> None:
    """Print to a reader that may stop early, as in `cnnspec report … | head -1`: what it does not read is left out."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends


def bands(options: Namespace) -> None:
    """The command `bands`."""
    from cnnspec.ensembles import bands, false_alarms, together
    from cnnspec.facts.reading import BASELINES
    from cnnspec.reports import markdown

    folder = BASELINES / "ensembles" / options.dataset
    frame = false_alarms.smallest_shifts(folder, options.dataset, options.epochs)
    say(markdown.of_frame(frame))
    say(f"smallest shifts in SD that one run of each model shows, {together.SUITES} suites, normal and smoothed bootstrap:")
    say(markdown.of_frame(together.smallest_shifts(false_alarms.stored(folder, options.dataset, options.epochs))))
    say(f"share of healthy runs of the suite that fail (limit {bands.FALSE_ALARM_RATE}):")
    for how, share in false_alarms.measured(folder, options.dataset, options.epochs, options.suites).items():
        say(f"  {share:.5f}  {how}")


def compare(options: Namespace) -> int:
    """The command `compare`; returns 1 if two reports differ by more than their bounds allow. Raises WrongArguments."""
    first, second = options.paths
    reports = [path for path in options.paths if path.is_file() or (path.suffix == ".json" and not path.is_dir())]
    if len(reports) == 1:
        (folder,) = (path for path in options.paths if path not in reports)
        raise WrongArguments(
            f"{reports[0]} is named as a report and {folder} as a folder of ensembles; name two reports or two folders"
        )
    if reports:
        from cnnspec.reports import report, sides

        if options.epochs:
            raise WrongArguments(
                "--epochs is for folders of ensembles; two reports are compared in the epochs that they have"
            )
        one, other = (report.Report.from_json(path) for path in options.paths)
        found = sides.differences(one, other)
        say(sides.told(one, other, found).rstrip("\n"))
        return int(bool(found))
    from cnnspec.ensembles import equivalence
    from cnnspec.reports import markdown

    say(markdown.of_frame(equivalence.table(first, second, options.epochs or 10)))
    return 0


def place(options: Namespace) -> None:
    """The command `place`."""
    from cnnspec.ensembles import likelihood
    from cnnspec.facts import notebook
    from cnnspec.reports import markdown

    say(markdown.of_frame(likelihood.table(notebook.curves, options.folders, notebook.trained_models())))
