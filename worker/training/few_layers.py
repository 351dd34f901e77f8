"""A model with a few of its layers, for probes of what does not depend on their number: all the
layers of a large model would take many seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

MOST_LAYERS = 3  # the first ones and the last


@contextmanager
def few_layers(decoder: Any) -> Iterator[list[int]]:
    """Meanwhile `decoder.layers` are few of them; yields their indices. A decoder that has no such
    list stays whole."""
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        yield []
        return
    chosen = list(range(len(layers)))
    if len(chosen) > MOST_LAYERS:
        chosen = [*chosen[: MOST_LAYERS - 1], chosen[-1]]
    decoder.layers = nn.ModuleList(layers[at] for at in chosen)
    try:
        yield chosen
    finally:
        decoder.layers = layers
