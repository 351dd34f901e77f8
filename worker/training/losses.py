"""What a model expects of the tokens that are learned."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from peft import PeftModel

from worker.training.data import Batch, probe_batch
from worker.training.few_layers import few_layers
from worker.training.full_model import FullModel
from worker.training.lm_head import LMHead, TokenLosses, token_losses, with_replay
from worker.training.packing import pack, reads_packed

PROBE_TOKENS = 4
PROBE_SIZES = (1, 8, 64)  # factors of the probe's states
# Largest difference of the logits of packed examples, relative to their standard deviation, that
# rounding explains, as in worker/engine/decoder.py.
PACKING_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15}
log = logging.getLogger(__name__)


class Loss(Protocol):
    """Of every learned token of a batch.

    `probabilities` (last, vocabulary), fp32, are the targets of so many last learned tokens, in the
    place of labels. Within `without_adapter` everything is computed by the base model.

    pads: whether a short example in a batch costs as much as the longest.
    shares: whether what all rows begin with is computed once.
    """

    @property
    def pads(self) -> bool: ...

    @property
    def shares(self) -> bool: ...

    def __call__(self, batch: Batch, probabilities: torch.Tensor | None = None) -> TokenLosses: ...

    def states(self, batch: Batch) -> torch.Tensor:
        """What enters the LM head at each learned token, (learned, width)."""
        ...

    def head_probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """Token probabilities that follow from such states: (states, vocabulary), fp32."""
        ...

    def without_adapter(self) -> AbstractContextManager[None]: ...


class CausalLMLoss:
    """Loss of any causal language model; logits are computed only where something is learned.

    The LM head can be most of a small model's work (49,152 logits for each token). A hook takes the
    states of the learned positions from its input, and `LMHead` computes their losses, chunk by
    chunk. Where the model does something else with its logits, which a probe finds, the hook gives
    the head these states, and the logits are the model's own, all at once.
    """

    shares = False

    def __init__(self, model: PeftModel | FullModel) -> None:
        self._model = model
        self._intercept: Callable[[torch.Tensor], torch.Tensor] | None = None
        base: Any = model.get_base_model()
        base.get_output_embeddings().register_forward_pre_hook(self._replace_input)
        self._head = LMHead(base)
        self.packs = False
        embedding = base.get_input_embeddings().weight
        with few_layers(base.get_decoder()):
            self.in_chunks = self._head_agrees(embedding)
        self.packs = reads_packed(base) and self._packing_agrees(embedding)

    def _replace_input(self, _head: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        return inputs if self._intercept is None else (self._intercept(inputs[0]),)

    @property
    def pads(self) -> bool:
        """See `Loss`."""
        return not self.packs

    def __call__(self, batch: Batch, probabilities: torch.Tensor | None = None) -> TokenLosses:
        if self.in_chunks:
            losses = self._head.token_losses
            return with_replay(losses, self.states(batch), batch.labels, probabilities)
        return with_replay(token_losses, self._logits(batch), batch.labels, probabilities)

    def head_probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """See `Loss`."""
        if self.in_chunks:
            return self._head.probabilities(states)
        anything = torch.zeros(1, 1, dtype=torch.long, device=states.device)
        logits = self._forward({"input_ids": anything}, lambda _states: states[None])
        return torch.softmax(logits[0].float(), dim=-1)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """See `Loss`; dropout of the base model is off, too."""
        was_training = self._model.training
        self._model.eval()
        try:
            with self._model.disable_adapter():
                yield
        finally:
            self._model.train(was_training)

    def states(self, batch: Batch) -> torch.Tensor:
        """See `Loss`. The head itself gets none of them."""
        found: list[torch.Tensor] = []

        def take(states: torch.Tensor) -> torch.Tensor:
            found.append(states)
            return states[:, :0]

        inputs, mask = self._inputs(batch)
        self._forward(inputs, take)
        return found[0][mask]

    def _logits(self, batch: Batch) -> torch.Tensor:
        """(learned, vocabulary), fp32."""
        inputs, mask = self._inputs(batch)
        return self._forward(inputs, lambda states: states[mask][None])[0].float()

    def _inputs(self, batch: Batch) -> tuple[dict[str, Any], torch.Tensor]:
        """Arguments of the forward pass, and the mask of the learned positions among them."""
        if self.packs:
            return pack(batch)
        return {"input_ids": batch.input_ids}, batch.loss_mask

    def _forward(
        self, inputs: dict[str, Any], intercept: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """The model's logits, with an input of the LM head that `intercept` makes of its own."""
        self._intercept = intercept
        try:
            logits: torch.Tensor = self._model(**inputs, use_cache=False).logits
        finally:
            self._intercept = None
        return logits

    @torch.no_grad()
    def _head_agrees(self, embedding: torch.Tensor) -> bool:
        """Whether `LMHead` gives the model's own logits: of a few states, which are enlarged, too,
        because soft-capping changes only large ones."""
        given: list[torch.Tensor] = []

        def enlarge(states: torch.Tensor) -> torch.Tensor:
            given.append(torch.cat([states * size for size in PROBE_SIZES], dim=1))
            return given[0]

        token_ids = torch.arange(PROBE_TOKENS, device=embedding.device) % len(embedding)
        try:
            expected = self._forward({"input_ids": token_ids[None]}, enlarge)
            return self._head.agrees(given[0][0], expected[0])
        except Exception as problem:  # whatever fails in the probe would fail in use
            log.warning("the LM head is not computed in chunks: %r", problem)
            return False

    @torch.no_grad()
    def _packing_agrees(self, embedding: torch.Tensor) -> bool:
        """Whether the base model predicts the same when examples lie end to end in one sequence."""
        batch = probe_batch(len(embedding), embedding.device, learn_all=True)
        try:
            with self.without_adapter():
                expected = self._logits(batch)
                self.packs = True
                found = self._logits(batch)
        except Exception as problem:  # as above
            log.warning("examples are padded, not packed: %r", problem)
            return False
        finally:
            self.packs = False
        error = (found - expected).std(dim=-1) / expected.std(dim=-1)
        return bool((error <= PACKING_TOLERANCE[embedding.dtype]).all())
