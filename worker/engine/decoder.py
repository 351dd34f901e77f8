"""Choose the decoder of a model: the fast one where a probe proves that it is correct."""

from __future__ import annotations

import logging

import torch

from finetune_app.core.openvino_installation import openvino_is_used
from worker.engine.adapters import BASE, Adapters
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.generate_decoder import GenerateDecoder
from worker.engine.llama_forward import is_supported
from worker.engine.model_loader import LoadedModel
from worker.engine.packed_linear import fits_second_copy
from worker.engine.padded_decoder import PaddedDecoder
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import SlotDecoder
from worker.engine.step import TOLERANCE, relative_error

log = logging.getLogger(__name__)

SUPPORTED_LAYER_TYPES = {"full_attention", "sliding_attention"}
PROBE_LENGTHS = (1, 4, 7)  # prompts of different lengths in one batch
PROBE_STEPS = 3

Decoder = SlotDecoder | GenerateDecoder
Kind = type[ChunkedDecoder] | type[PaddedDecoder]


def make_decoder(loaded: LoadedModel, adapters: Adapters) -> tuple[Decoder, int]:
    """The decoder of this model, and the KV cache's bytes per token (0: not known)."""
    why = _unsupported(loaded)
    if why is not None:
        return _generate_decoder(loaded, adapters, why)
    for kind in _kinds(loaded):
        try:
            return _probed(kind, loaded, adapters)
        except Exception as problem:  # whatever fails in the probe would fail in use
            why = str(problem) if isinstance(problem, _WrongLogits) else f"it failed: {problem!r}"
        log.warning("%s, %s: %s", loaded.folder.name, kind.__name__, why)
    return _generate_decoder(loaded, adapters, str(why))


class _WrongLogits(Exception):
    pass


def _probed(kind: Kind, loaded: LoadedModel, adapters: Adapters) -> tuple[SlotDecoder, int]:
    decoder = kind(loaded, adapters)
    error, bytes_per_token = _probe(decoder)
    decoder.release_memory()
    if not error <= TOLERANCE[loaded.number_format]:
        raise _WrongLogits(f"the probe was off by {error:.3g}")
    return decoder, bytes_per_token


def _kinds(loaded: LoadedModel) -> list[Kind]:
    """The fastest first."""
    if not is_supported(loaded):
        return [PaddedDecoder]
    own: list[Kind] = [ChunkedDecoder, PaddedDecoder]
    weights = list(loaded.model.parameters())
    if openvino_is_used() and loaded.device.type == "cpu" and fits_second_copy(weights):
        try:
            from worker.engine.openvino.decoder import OpenvinoDecoder
        except (ImportError, AttributeError, OSError) as problem:  # of another version, or broken
            log.warning("OpenVINO cannot be used: %r", problem)
        else:
            return [OpenvinoDecoder, *own]
    return own


def _generate_decoder(loaded: LoadedModel, adapters: Adapters, why: str) -> tuple[Decoder, int]:
    log.warning("%s is decoded by transformers' generate: %s", loaded.folder.name, why)
    return GenerateDecoder(loaded, adapters), 0


def _unsupported(loaded: LoadedModel) -> str | None:
    config = loaded.model.config.get_text_config()
    others = set(getattr(config, "layer_types", None) or ()) - SUPPORTED_LAYER_TYPES
    if others:
        return f"layers of type {', '.join(sorted(others))}"
    if getattr(loaded.model, "_is_stateful", False):
        return "it has a recurrent state"
    return None


@torch.inference_mode()
def _probe(decoder: SlotDecoder) -> tuple[float, int]:
    """Compare the logits of a mixed batch with those of each sequence alone, without a cache.

    Returns the largest relative error (see TOLERANCE), and the KV cache's bytes per token.
    """
    vocabulary = decoder.loaded.model.get_input_embeddings().weight.shape[0]
    request = GenerationRequest([], max_new_tokens=PROBE_STEPS + 1)
    sequences = [
        SequenceState(
            request, [(7 + 13 * i + 29 * n) % vocabulary for i in range(n)], BASE, 99, frozenset()
        )
        for n in PROBE_LENGTHS
    ]
    decoder.add(sequences)
    worst = 0.0
    for _ in range(PROBE_STEPS):
        ready, logits = decoder.next_logits()
        logits = logits.float()
        for i, sequence in enumerate(ready):
            token_ids = sequence.prompt_token_ids + sequence.output_token_ids
            input_ids = torch.tensor([token_ids], device=decoder.loaded.device)
            reference = decoder.loaded.model(input_ids=input_ids, use_cache=False).logits
            expected = reference[0, -1].float()
            worst = max(worst, relative_error(logits[i], expected))
            sequence.append(int(expected.argmax()))
    bytes_per_token = decoder.cache.bytes_per_token()
    for sequence in sequences:
        sequence.cancel_event.set()
    decoder.remove_finished()
    return worst, bytes_per_token
