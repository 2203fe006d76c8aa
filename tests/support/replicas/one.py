"""One device, beside which replicas are judged, where Keras' own fit trains on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class One:
    """One device, without a distribution."""

    def made(self, build: Callable[[], Any]) -> Any:
        """A model whose variables are where the replicas look for them."""
        return build()

    def fit(self, model: Any, x: Any, y: Any, batch: int, epochs: int) -> list[float]:
        """Losses of the epochs of Keras' own fit, without shuffling; `batch` is that of all replicas together."""
        return model.fit(x, y, batch_size=batch, epochs=epochs, shuffle=False, verbose=0).history["loss"]
