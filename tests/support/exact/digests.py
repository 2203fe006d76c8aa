"""The published digests: what every correct machine gives for each case. `python -m tests.support.exact.digests` makes them.

They come from the float64 implementation in NumPy, never from a stack.
"""

import functools
import sys

from cnnspec.facts import reading, schema
from cnnspec.files import write_whole
from tests.support.exact import cases, operands

FILE = reading.BASELINES / "exact.toml"
COMMAND = "python -m tests.support.exact.digests"
# Each batch size after another one.
STEPS = ((32, "mixed signs"), (128, "wide inputs"), (96, "mixed signs"), (128, "wide kernels"))
HEAD = f"""# What every correct machine gives for each case, batch and draw of operands of tests/test_exact.py:
# SHA-256, first 16 hex digits, of output, input gradient, kernel and bias gradients (float32, row-major, −0 as 0).
source = "the float64 implementation in cnnspec/oracle/ (NumPy), no stack: {COMMAND}"
"""


@functools.cache
def stored():
    """{case: {"32, mixed signs": digest, …}}."""
    return reading.read_toml(FILE, schema.EXACT, f"make it: {COMMAND}")["digests"]


def key(batch, draw):
    """Name of a step in the file."""
    return f"{batch}, {draw}"


def computed(case):
    """{step: digest} of one case, by NumPy alone."""
    return {key(batch, draw): cases.digest(operands.expected(case, draw, batch)) for batch, draw in sorted(set(STEPS))}


def main():
    """Write the file."""
    lines = [HEAD]
    for name, case in cases.cases().items():
        lines.append(f'[digests."{name}"]')
        lines += [f'"{step}" = "{digest}"' for step, digest in computed(case).items()]
        lines.append("")
        print(name, file=sys.stderr)
    write_whole(FILE, "\n".join(lines))


if __name__ == "__main__":
    main()
