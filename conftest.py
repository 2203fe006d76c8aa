"""What pytest loads beside the tests. Devices come first: they set threads before anything imports the framework."""

pytest_plugins = [
    "pytester",
    "tests.plugin.progress",
    "tests.plugin.devices",
    "tests.plugin.levels",
    "tests.plugin.workers",
    "tests.plugin.trainings",
    "tests.plugin.baselines",
    "tests.plugin.benchmarks",
    "tests.plugin.known_differences",
    "tests.plugin.verdict",
    "tests.plugin.outcome",
    "tests.plugin.places",
    "tests.plugin.report",
]
