"""Answers to validation prompts while the model learns, by the engine's own decoder.

The decoder shares the weights of the model that is being trained, and reads the adapter as it is
at that moment. How many prompts: `validation_prompts` and `sample_prompts` in spec.py.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase

from finetune_app.basemodels.training_work import ANSWERED_AT_ONCE, answer_limit
from finetune_app.core.thinking import SHORT, THOUGHT_TOKENS
from finetune_app.core.tool_calls import compared_text
from finetune_app.goals.measures import Measure, get_measure
from finetune_app.training.protocol import SampleAnswer
from worker.engine.adapters import BASE, AdapterConfig, Adapters
from worker.engine.decoder import make_decoder
from worker.engine.model_loader import DTYPES, LoadedModel
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState
from worker.engine.thought import Thought
from worker.template import prompt_token_ids, stop_token_ids
from worker.thinking import thought_tokens
from worker.training.adapter_export import adapter_tensors
from worker.training.data import DatasetRow
from worker.training.full_model import FullModel
from worker.training.model_loader import AdaptedModel
from worker.training.packing import masked_attention
from worker.training.spec import TrainingSpec

CURRENT = "current"  # name of the adapter as it is now
START = "start"  # and as it was before the first update


@dataclass(frozen=True)
class _Prompt:
    row: DatasetRow
    token_ids: list[int]
    request: GenerationRequest


class ValidationAnswers:
    """Answers the same prompts again and again. Makes its decoder at the first use."""

    def __init__(
        self,
        adapted: AdaptedModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[DatasetRow],
        spec: TrainingSpec,
    ) -> None:
        self._adapted, self._tokenizer, self._spec = adapted, tokenizer, spec
        self._measure = computable_measure(spec.measure)
        count = spec.sample_prompts
        if self._measure and spec.method == "supervised":
            count = max(count, spec.validation_prompts)
        self._prompts = [_prompt(tokenizer, row, spec) for row in rows[:count]]
        self._decoder: Any = None
        self._adapters: Adapters | None = None

    @property
    def prompt_tokens(self) -> int:
        return sum(len(prompt.token_ids) for prompt in self._prompts)

    @property
    def answer_tokens(self) -> int:
        """About as many as a trained model writes."""
        return sum(prompt.request.max_tokens for prompt in self._prompts) * 2 // 3

    @property
    def longest_answer(self) -> int:
        """The most tokens that one of them may have."""
        return max((prompt.request.max_tokens for prompt in self._prompts), default=0)

    def ask(self, step: int) -> tuple[list[SampleAnswer], float | None]:
        """The sample answers after `step`, and the mean score of all answers."""
        answers = self._answers(self._prompts, CURRENT, step)
        samples = self._samples(answers)
        measure, count = self._measure, self._spec.validation_prompts
        if measure is None or not count or not answers or self._spec.method == "dpo":
            return samples, None  # preference is measured on pairs (dpo.py)
        scores = [
            measure.check(answer, prompt.row.wanted)
            for answer, prompt in zip(answers[:count], self._prompts, strict=False)
        ]
        values = [one.value if measure.graded else float(one.passed) for one in scores]
        return samples, fmean(values)

    def ask_start(self) -> list[SampleAnswer]:
        """The sample answers before the first update."""
        adapter = START if self._spec.start_adapter else BASE
        return self._samples(self._answers(self._prompts[: self._spec.sample_prompts], adapter, 0))

    def _samples(self, answers: list[str]) -> list[SampleAnswer]:
        return [
            {
                "prompt": prompt.row.prompt[-1]["content"],
                "wanted": prompt.row.wanted,
                "answer": answer,
                "passed": self._passed(answer, prompt.row.wanted),
            }
            for prompt, answer in zip(
                self._prompts[: self._spec.sample_prompts], answers, strict=False
            )
        ]

    def _passed(self, answer: str, wanted: str) -> bool | None:
        return self._measure.check(answer, wanted).passed if self._measure else None

    def _answers(self, prompts: Sequence[_Prompt], adapter: str, step: int) -> list[str]:
        """Greedy answers, in the order of the prompts."""
        if not prompts:
            return []
        name = adapter
        if self._is_full:
            # The weights themselves change, so nothing that was computed from them may be reused.
            self._adapters, name = None, BASE
        with torch.no_grad(), self._computing_for(adapter):
            decoder, adapters = self._open()
            if name != BASE:
                config: AdapterConfig = {"lora_alpha": self._spec.alpha}
                adapters.put(name, self._tensors(name), config, step)
            sequences = [self._sequence(prompt, name) for prompt in prompts]
            try:
                _decode(decoder, sequences)
            finally:
                decoder.reset()
                adapters.select([])  # its hooks must not change what is trained
        texts = [one.completion(self._tokenizer).text.strip() for one in sequences]
        return [
            compared_text(text, prompt.row.tools)
            for text, prompt in zip(texts, prompts, strict=True)
        ]

    def _tensors(self, adapter: str) -> dict[str, torch.Tensor]:
        if adapter == START and self._spec.start_adapter:
            return load_file(self._spec.start_adapter / "adapter_model.safetensors")
        return adapter_tensors(self._adapted)

    def _sequence(self, prompt: _Prompt, adapter: str) -> SequenceState:
        request, eos_token_ids = prompt.request, frozenset(stop_token_ids(self._tokenizer))
        thought = Thought.for_request(request, thought_tokens(self._tokenizer), eos_token_ids)
        room = min(request.max_tokens, self._spec.max_tokens - len(prompt.token_ids))
        return SequenceState(
            request, prompt.token_ids, adapter, max(1, room), eos_token_ids, thought=thought
        )

    @property
    def _is_full(self) -> bool:
        return isinstance(self._adapted.model, FullModel)

    def _weights_of(self, adapter: str) -> AbstractContextManager[None]:
        if self._is_full and adapter != BASE:
            return nullcontext()
        return self._adapted.model.disable_adapter()

    @contextmanager
    def _computing_for(self, adapter: str) -> Iterator[None]:
        """The layers compute without the adapter; the decoder adds it. Where every weight is
        trained, they compute with the weights that are asked for."""
        model = self._adapted.model
        was_training = model.training
        model.eval()
        try:
            with self._weights_of(adapter), masked_attention(model.get_base_model()):
                yield
        finally:
            model.train(was_training)

    def _open(self) -> tuple[Any, Adapters]:
        if self._adapters is None:
            model: Any = self._adapted.model.get_base_model()
            loaded = LoadedModel(
                folder=self._spec.base_model,
                model=model,
                tokenizer=self._tokenizer,
                number_format=self._adapted.number_format,
                dtype=DTYPES[self._adapted.number_format],
                device=self._adapted.device,
                eos_token_ids=frozenset(stop_token_ids(self._tokenizer)),
                context_length=self._spec.max_tokens,
            )
            self._adapters = Adapters(model, loaded.dtype, may_merge=False)
            self._decoder, _ = make_decoder(loaded, self._adapters)
        return self._decoder, self._adapters


def computable_measure(measure: dict[str, Any]) -> Measure | None:
    """None where a person decides, or where it takes another model beside the training."""
    if not measure:
        return None
    found = get_measure(measure["kind"], measure.get("settings", {}))
    return None if found.needs_person or found.needs_embedder else found


def _prompt(tokenizer: PreTrainedTokenizerBase, row: DatasetRow, spec: TrainingSpec) -> _Prompt:
    """The limits are enough to judge progress: half more than the wanted answer and its thought."""
    token_ids = prompt_token_ids(tokenizer, row.prompt, row.tools, thinking=spec.thinks)

    def enough(text: str, most: int) -> int:
        wanted = len(tokenizer(text)["input_ids"])
        return min(most, answer_limit(wanted))

    thought, most = row.messages[-1].get("reasoning_content"), THOUGHT_TOKENS[spec.thinking]
    request = GenerationRequest(
        [],
        max_new_tokens=enough(row.wanted, spec.max_new_tokens),
        thought_tokens=enough(thought, most) if thought else min(most, THOUGHT_TOKENS[SHORT]),
    )
    return _Prompt(row, token_ids, request)


def _decode(decoder: Any, sequences: Sequence[SequenceState]) -> None:
    waiting = deque(sequences)
    while waiting or decoder.sequences:
        free = ANSWERED_AT_ONCE - len(decoder.sequences)
        new = [waiting.popleft() for _ in range(min(free, len(waiting)))]
        if new:
            decoder.add(new)
        decoder.step()
        decoder.remove_finished()
