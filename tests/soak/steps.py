"""Training steps that a soak repeats: whole models on integers, with exact results, and steps as users take them."""

import numpy as np

from cnnspec import stack
from cnnspec.compat import loss_of_step
from cnnspec.facts import reading
from tests.soak.operations import Operation
from tests.support import repeats
from tests.support.exact import cases, digests, on_stack, operands

DRAWS = ("wide inputs", "wide kernels")
BATCH = 128
AGREE = 4  # steps among which two that follow each other must agree; if none do, the turns show it
MODELS = ("model2", "model4")  # the cheapest, and the one with every kind of layer


class ExactSteps(Operation):
    """Output and all gradients of whole models whose every sum is exact, at batch 128; `digests` has the results."""

    kind = "exact steps"
    variants = len(DRAWS)

    def start(self):
        chosen = [case for case in cases.cases().values() if len(case.layers) > 1]
        self.name = f"exact training step of {' and '.join(case.name for case in chosen)}"
        self.branches = on_stack.Branches(chosen, by_batch=True)
        self.branches.compile(next(iter(on_stack.MODES)))
        self.due, self.given = [], []
        for draw in DRAWS:
            found = [operands.expected(case, draw, BATCH) for case in chosen]
            for case, results in zip(chosen, found, strict=True):
                if digests.stored()[case.name][digests.key(BATCH, draw)] != cases.digest(results):
                    raise ArithmeticError(
                        f"NumPy's float64 results of {case.name}, {draw}, are not those of {digests.FILE.name}: this "
                        "processor errs"
                    )
            self.due.append(self.results(found))
            self.given.append([operands.drawn(case, draw) for case in chosen])
        for variant in range(self.variants):  # the first of them compiles the step
            raw = self.compute(variant)
            if not self.same(variant, raw):
                yield variant, raw

    def compute(self, variant):
        return self.branches.results(self.given[variant])

    def expected(self, variant):
        return self.due[variant]

    def results(self, raw):
        found = {}
        for case, results in zip(self.branches.cases, raw, strict=True):
            found |= {f"{case.name}, {what}": array for what, array in results.named()}
        return found


class RepeatedSteps(Operation):
    """Loss and gradients of one step of a model, from the same weights and batch: those of the first such step.

    To the bit on one thread of a CPU. Else partial sums may be added up in another order: within the bound of `repeats`.
    What is expected is no exact result: it is the first step that the one before it confirms.
    """

    kind = "repeated steps"

    def __init__(self, model):
        self.model, self.name = model, f"training step of {model}, as `train_on_batch` takes it"

    def start(self):
        self.built, self.names = repeats.watched(self.model)
        self.batch = repeats.digits()
        self.limit = repeats.allowed(reading.tolerance("repeats"))[0]
        self.due = self.compute(0)
        for _ in range(AGREE):
            before, self.due = self.due, self.compute(0)
            if self.same(0, before):
                break
        return iter(())

    def compute(self, variant):
        loss = np.float32(loss_of_step(self.built, *self.batch))
        return {"loss": loss, **dict(zip(self.names, repeats.gradients(self.built), strict=True))}

    def expected(self, variant):
        return self.due

    def same(self, variant, raw):
        if super().same(variant, raw):
            return True
        return all(repeats.difference(raw[what], due) <= self.limit for what, due in self.due.items())


def on_this_stack():
    """Every operation on steps, or the reason why this stack has none."""
    if stack.precision() != "float32":
        raise NotImplementedError(
            f"Keras' policy is {stack.precision()}: results are rounded, so that no step is exact; run with float32"
        )
    return [ExactSteps(), *(RepeatedSteps(model) for model in MODELS)]
