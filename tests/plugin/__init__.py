"""What pytest does beyond running tests: options, devices, shared trainings, the verdict, the report.

Each option is declared in the module that reads it. No module imports the framework at its top: the modules are imported
before the command line is read, and --device must hide GPUs before the framework is imported.
"""

import pytest


def group(parser: pytest.Parser) -> pytest.OptionGroup:
    """The group of this project's options in `pytest --help`."""
    return parser.getgroup("cnnspec", "cnnspec: verify a TensorFlow stack")
