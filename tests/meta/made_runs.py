"""Made-up runs, as pytest reports them to its plugins, for the tests of the verdict."""

import types

CHECK = {"model": "model1", "quantity": "test errors", "used": 0.5, "conclusive": True, "text": "0.5"}
FEW = ("check", CHECK | {"conclusive": False})


def reported(nodeid, *properties, when="call"):
    """A report of a test, as pytest makes it."""
    return types.SimpleNamespace(nodeid=nodeid, when=when, user_properties=list(properties))


class Terminal:
    """What pytest's terminal reporter has: reports by outcome. `lines` are those written to it, with (text, colour)."""

    def __init__(self, **reports):
        self.reports, self.lines = reports, []

    def getreports(self, name):
        return self.reports.get(name, [])

    def section(self, title):
        self.lines.append((f"== {title}", ""))

    def line(self, text, **colours):
        self.lines.append((text, " ".join(name for name, on in colours.items() if on)))


def passed(*modules):
    """Reports of a passed test of each module."""
    return [reported(f"tests/{module}.py::test_a") for module in modules]
