"""Loops as long as full MNIST's, without rounding: rows, elements and batches as many as it has, or more.

The embedded digits have 32 batches of training and 125 of evaluation, full MNIST has 469 and 1,875; a train set of its
images has more than 2^24 elements. Here rows are whole numbers, and so is each product and sum.
"""

import keras
import numpy as np

from tests.support.bookkeeping import loss
from tests.support.in_turn import Answer

ROWS = 65 * 1024  # more than 2^16: row numbers of 16 bits come round
COLUMNS = 256  # more than 2^24 elements
DIGITS = 32 ** np.arange(4)  # the first columns hold the digits of the row's number to base 32
TRAINED = 128  # images of a batch: 520 batches of an epoch
VALIDATED = 80 * TRAINED  # rows; the validation on full MNIST has 79 batches
EVALUATED = 60_000  # rows; in evaluate's own batches, of 32, 1,875 of them


def rows():
    """Images (ROWS, COLUMNS), small whole numbers, and their labels (ROWS, 1), 1 to 5."""
    number = np.arange(ROWS, dtype=np.int32)[:, None]
    x = ((number % 7 + 3 * np.arange(COLUMNS, dtype=np.int32)) % 7).astype("float32")
    x[:, : len(DIGITS)] = number // DIGITS % 32
    return x, (1 + number // 7 % 5).astype("float32")


def answers():
    """`fit` with validation, `predict` and `evaluate` of all rows, beside what they must give: a list of Answers."""
    x, y = rows()
    model = keras.Sequential([keras.Input(shape=(COLUMNS,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.zeros((COLUMNS, 1), "float32")])
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(1.0))
    # In float64: a batch moves the weights by its mean of label · image, and its loss before that is −mean · weights.
    moves = (x * y).reshape(-1, TRAINED, COLUMNS).mean(axis=1, dtype=np.float64)
    weights = moves.cumsum(axis=0)
    losses = -(moves[1:] * weights[:-1]).sum(axis=1)
    validated = -float(moves[: VALIDATED // TRAINED].mean(axis=0) @ weights[-1])
    kept, validation = x.copy(), (x[:VALIDATED], y[:VALIDATED])
    log = model.fit(x, y, batch_size=TRAINED, shuffle=False, verbose=0, validation_data=validation).history
    found = [
        Answer("the weights after an epoch", weights[-1].tolist(), model.get_weights()[0][:, 0].tolist()),
        Answer("loss of the epoch", losses.sum() / len(moves), float(log["loss"][0]), exact=False),
        Answer("validation loss", validated, float(log["val_loss"][0]), exact=False),
    ]
    x[:, -1] = kept[:, -1] = np.arange(ROWS) % 8191  # 13 bits, more than float16 has
    numbered = np.arange(COLUMNS) % 5
    numbered[: len(DIGITS)], numbered[-1] = DIGITS, 1
    model.layers[-1].set_weights([numbered[:, None].astype("float32")])
    predicted = model.predict(x, batch_size=TRAINED, verbose=0)[:, 0]
    wrong = np.flatnonzero(predicted != x @ numbered.astype("float32"))  # exact: whole numbers below 2^24
    found.append(Answer("rows that predict gives back wrong, the first of them", [], wrong[:1].tolist()))
    changed = np.flatnonzero((x != kept).any(axis=1))
    found.append(Answer("rows of the caller's array that are changed, the first of them", [], changed[:1].tolist()))
    thousands = np.zeros(COLUMNS)
    thousands[2:4] = 1, 32  # a prediction is the row's number in thousands of 1,024: of no two parts the same mean
    model.layers[-1].set_weights([thousands[:, None].astype("float32")])
    due = -float((y[:EVALUATED, 0] * (x[:EVALUATED] @ thousands)).mean())
    evaluated = float(np.ravel(model.evaluate(x[:EVALUATED], y[:EVALUATED], verbose=0))[0])
    found.append(Answer("evaluate", due, evaluated, exact=False))
    return found
