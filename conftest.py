"""What pytest loads beside the tests. Devices come first: they set threads before anything imports the framework."""

import sys

if not __debug__:  # before pytest warns, which is an error here
    print("error: python -O leaves out the assertions of the tests; run without -O and PYTHONOPTIMIZE", file=sys.stderr)
    raise SystemExit(2)

pytest_plugins = [
    "pytester",
    "tests.plugin.progress",
    "tests.plugin.facts",
    "tests.plugin.devices",
    "tests.plugin.memory",
    "tests.plugin.levels",
    "tests.plugin.workers",
    "tests.plugin.trainings",
    "tests.plugin.baselines",
    "tests.plugin.benchmarks",
    "tests.plugin.known_differences",
    "tests.plugin.verdict",
    "tests.plugin.compilations",
    "tests.plugin.outcome",
    "tests.plugin.report",
    "tests.plugin.ending",
]
