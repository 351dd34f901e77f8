"""Which decode loop serves this model: the fast one where a probe proves that it is right."""

from __future__ import annotations

import logging

import torch

from worker.engine.adapters import BASE, Adapters
from worker.engine.generate_decoder import GenerateDecoder
from worker.engine.llama_forward import is_supported
from worker.engine.model_loader import LoadedModel
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import SlotDecoder

log = logging.getLogger(__name__)

ATTENTION = {"full_attention", "sliding_attention"}
PROBE_LENGTHS = (1, 4, 7)  # prompts of different lengths in one batch
PROBE_STEPS = 3
# Spread of the scores' differences, relative to their own, that rounding explains. (The starter:
# fp32 3e-6, bf16 0.04 with layers computed in another order; positions left out 0.5.)
TOLERANCE = {"fp32": 1e-3, "bf16": 0.15}

Decoder = SlotDecoder | GenerateDecoder


def make_decoder(loaded: LoadedModel, adapters: Adapters) -> tuple[Decoder, int]:
    """The decoder for this model, and its cache's bytes per token of a row (0: not known)."""
    why = _unsuitable(loaded)
    if why is not None:
        return _plainly(loaded, adapters, why)
    for own_forward in [True, False] if is_supported(loaded) else [False]:
        decoder = SlotDecoder(loaded, adapters, own_forward)
        try:
            error, size = _probe(decoder)
        except Exception as problem:  # any failure of the probe means: not this way
            why = f"the probe failed: {problem!r}"
        else:
            if error <= TOLERANCE[loaded.number_format]:
                return decoder, size
            why = f"the probe was off by {error:.3g}"
        log.warning("%s, own forward %s: %s", loaded.folder.name, own_forward, why)
    return _plainly(loaded, adapters, str(why))


def _plainly(loaded: LoadedModel, adapters: Adapters, why: str) -> tuple[Decoder, int]:
    log.warning("%s is decoded by plain generate: %s", loaded.folder.name, why)
    return GenerateDecoder(loaded, adapters), 0


def _unsuitable(loaded: LoadedModel) -> str | None:
    config = loaded.model.config.get_text_config()
    others = set(getattr(config, "layer_types", None) or ()) - ATTENTION
    if others:
        return f"layers of kind {', '.join(sorted(others))}"
    if getattr(loaded.model, "_is_stateful", False):
        return "it keeps a running state"
    return None


@torch.inference_mode()
def _probe(decoder: SlotDecoder) -> tuple[float, int]:
    """Decode a few tokens in a mixed batch and one by one without a cache; compare the scores.

    Returns how far they are apart, relative to their spread, and the cache's bytes per token.
    """
    vocabulary = decoder.loaded.model.get_input_embeddings().weight.shape[0]
    ask = GenerationRequest([], max_new_tokens=PROBE_STEPS + 1)
    rows = [
        SequenceState(
            ask, [(7 + 13 * i + 29 * n) % vocabulary for i in range(n)], BASE, 99, frozenset()
        )
        for n in PROBE_LENGTHS
    ]
    decoder.join(rows)
    worst = 0.0
    for _ in range(PROBE_STEPS):
        fast = decoder.next_logits().float()
        for i, row in enumerate(decoder.rows):
            ids = torch.tensor([row.prompt + row.written], device=decoder.loaded.device)
            slow = decoder.loaded.model(input_ids=ids, use_cache=False).logits[0, -1].float()
            worst = max(worst, float((fast[i] - slow).std() / (slow.std() + 1e-6)))
            row.add(int(slow.argmax()))
    size = decoder.cache.bytes_per_token()
    for row in rows:
        row.unwanted.set()
    decoder.drop_finished()
    return worst, size
