"""Wiring: options, device and threads of this process before the framework is imported, the stack in the header."""

import pytest

from tests import EPOCHS, devices

devices.share_out()

pytest_plugins = ["pytester"]


def pytest_addoption(parser):
    group = parser.getgroup("cnnspec", "cnnspec: verify a TensorFlow stack")
    group.addoption(
        "--dataset",
        choices=("mnist5k", "mnist"),
        default="mnist5k",
        help="digits to train on: the embedded 5,000 (default) or full MNIST",
    )
    group.addoption(
        "--mnist",
        metavar="PATH",
        help="full MNIST in a file: an .npz, or a folder of its four IDX files (default: Keras downloads it)",
    )
    group.addoption(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto: a GPU where there is one (default); cpu: hide GPUs; gpu: fail without one",
    )
    group.addoption(
        "--tf32",
        choices=("as-shipped", "off"),
        default="as-shipped",
        help="off: switch TF32 off on a GPU that has it, until the run ends (default: as the framework ships it)",
    )
    group.addoption(
        "--epochs",
        type=int,
        choices=range(1, 11),
        default=EPOCHS,
        metavar="N",
        help=f"epochs of each training, 1 to 10 (default: {EPOCHS})",
    )
    group.addoption("--seed", type=int, default=1000, help="seed of the trainings (default: 1000, outside the ensembles)")
    group.addoption(
        "--runs",
        type=int,
        choices=range(1, 26),
        default=1,
        metavar="K",
        help="runs of each model, with the seeds from --seed on, judged by their mean (default: 1)",
    )
    group.addoption(
        "--accept-shift",
        metavar="REASON",
        help="with --snapshot-update: store a results table although its bands call it a failure, and this reason with it",
    )
    group.addoption(
        "--recording",
        metavar="DIR",
        help="judge this recording of the 2019 stack (tox run -e legacy makes one), not that in baselines/trajectories/2019",
    )
    group.addoption(
        "--out",
        metavar="DIR",
        help="keep each run's JSON and loss curves in this folder (default: pytest's temporary folder)",
    )
    group.addoption(
        "--store-figures",
        action="store_true",
        help="with --benchmark-enable: add this run's figures to baselines/benchmarks, and compare them with nothing",
    )
    group.addoption(
        "--report",
        metavar="PATH",
        help="JSON report of this run (default: reports/<environment or versions>-<hardware>.json)",
    )


def pytest_configure(config):
    from tests import benchmarking, reporting  # imports SciPy, so not before the threads are shared out

    benchmarking.asked_for(config)
    devices.choose(config.option.device)
    config.pluginmanager.register(reporting.Reporter(config, config.option.report), "cnnspec-report")


def pytest_sessionstart(session):
    devices.require(session.config.option.device)
    devices.set_tf32(session.config)


def pytest_report_header(config):
    from tests import benchmarking

    return [*devices.header(), *benchmarking.header(config)]


def pytest_collection_modifyitems(config, items):
    from tests import benchmarking, repetition, trainings

    repetition.judge_late(items)
    trainings.deselect_replication(config, items)
    benchmarking.deselect(config, items)


def pytest_collection_finish(session):
    from tests import repetition  # imports the framework, so not before pytest_configure

    repetition.start_early(session)


def pytest_terminal_summary(terminalreporter, config):
    from tests import benchmarking, verdict

    verdict.write(terminalreporter, config)
    benchmarking.write(terminalreporter, config)


@pytest.fixture(scope="session")
def settings(request, tmp_path_factory):
    """What this run of the suite was asked to train, and where its runs are kept."""
    from tests import trainings

    return trainings.settings(request.config, tmp_path_factory)


@pytest.fixture(scope="session")
def trained(settings):
    """trained(model, number=0) -> its TrainingRun, trained once per run of the suite, whichever process asks first."""
    from tests import trainings

    return lambda model, number=0: trainings.trained_once(model, settings, number)
