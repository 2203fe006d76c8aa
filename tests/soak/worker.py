"""A process of `cnnspec soak`: `python -m tests.soak.worker device` or `core N`. It takes orders and tells, line by line.

Orders on stdin, JSON: {"place": name, "core": N or null, "seconds": s}. What it tells goes to the stdout that it was given;
whatever a framework prints goes to stderr. It ends when its stdin does.
"""

import json
import os
import sys
from pathlib import Path


def pin(core):
    """Let all threads of this process run on one core alone."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), {core})
        except ProcessLookupError:
            continue  # it ended meanwhile


def main(words):
    """Serve orders until stdin ends; returns the exit code."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message):
        told.write(json.dumps(message) + "\n")
        told.flush()

    place, core, device = words[0], int(words[1]) if words[1] != "all" else None, words[2]
    if core is not None:
        os.sched_setaffinity(0, {core})  # before the framework makes its threads: it then makes one
    try:
        soaker, facts = prepared(tell, place, device)
    except Refused as error:
        tell({"refused": str(error)})
        return 2
    tell({"ready": facts})
    for line in sys.stdin:
        order = json.loads(line)
        if order["core"] is not None:
            pin(order["core"])
        soaker.turn(order["place"], order["seconds"])
        tell({"done": order["place"]})
    return 0


class Refused(Exception):
    """Nothing can be soaked here; the message says why and what to do."""


def prepared(tell, place, device):
    """(Soaker, facts of this stack), ready for turns. Raises Refused."""
    from cnnspec import frameworks
    from cnnspec.errors import CnnspecError
    from tests.soak.turns import Soaker

    try:
        frameworks.require()
        from cnnspec import stack
        from cnnspec.devices.words import describe
        from tests.soak import draws, products, steps

        stack.require(device)
        gpu = stack.on_gpu()
        operations = [products.on_stack(gpu), draws.on_stack(), *steps.on_this_stack()]
        soaker = Soaker(operations, tell)
        soaker.start(place)
    except ArithmeticError as error:
        tell({"mismatch": {"place": place, "operation": "expected results", "call": 1, "before": 0, "lines": [str(error)]}})
        raise Refused(str(error)) from error
    except (CnnspecError, NotImplementedError) as error:
        raise Refused(str(error)) from error
    facts = stack.current()
    return soaker, {"device": facts["device"], "threads": facts["threads"], "stack": describe(facts), "gpu": gpu}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
