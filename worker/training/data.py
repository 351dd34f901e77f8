"""Rows to tokens, tokens to batches.

The batches of an epoch are a pure function of (lengths, batch size, seed, epoch). Resuming at any
step therefore needs no saved generator state: `Batches` computes the same ones again.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.tool_calls import answer_text
from worker.channel import Channel, UserError
from worker.chat_template import tool_problem
from worker.template import ExampleTooLong, TokenizedExample, tokenize_row
from worker.thinking import CANNOT_THINK, can_think
from worker.training.pairs import PreferencePair, tokenize_pair
from worker.training.spec import TrainingSpec
from worker.training.thoughts import thought_warnings

# Rows are sorted by length within groups of this many batches: enough that the rows of a batch
# have nearly the same length, few enough that an epoch stays well mixed.
BATCHES_PER_GROUP = 16
MAX_VALIDATION_EXAMPLES = 64  # enough for a curve; the evaluation step measures properly
MAX_NAMED = 5  # rows in a warning
NOTHING_TO_LEARN = {
    "supervised": "There are no rows to train on. Add examples, then freeze.",
    "dpo": "No row to train on has a worse answer beside its better one. Add some, then freeze.",
}
PROBE_LENGTHS = (11, 14)  # of two examples that begin with the same tokens
PROBE_SHARED, PROBE_LEARNED = 6, 4  # tokens
CHECK_EVERY_ROWS = 500  # rows tokenized between checks of the lease and the stop button


class TrainingExample(Protocol):
    """What an objective learns from: a conversation, or a pair of them."""

    @property
    def padded_tokens(self) -> int:
        """What it takes in a batch of its own."""
        ...

    @property
    def conversations(self) -> list[TokenizedExample]: ...

    @property
    def left_out(self) -> int: ...

    @property
    def unlearned_answers(self) -> int: ...


E = TypeVar("E", bound=TrainingExample)


class TokenizationStopped(Exception):
    """Stop was pressed before the first step."""


@dataclass(frozen=True)
class DatasetRow:
    """One row of a frozen version; `number` is the one shown on the pages.

    rejected: a worse answer than the last one; empty where there is none.
    """

    number: int
    split: str
    messages: list[Message]
    rejected: str = ""
    tools: list[Tool] = field(default_factory=list)

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def wanted(self) -> str:
        """The expected answer, as a measure compares it."""
        return answer_text(self.messages[-1])


@dataclass(frozen=True)
class Batch:
    """Examples as tensors on one device.

    input_ids: (batch, sequence) int64, padded on the right, which causal attention ignores.
    loss_mask: (batch, sequence) bool; true at inputs whose next token is learned.
    labels: (learned,) int64; those next tokens, in the order of `loss_mask`.
    lengths: (batch,) int64; tokens without padding.
    replay_rows: so many of the last rows are replay, and may begin otherwise than the others.
    """

    input_ids: torch.Tensor
    loss_mask: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor
    replay_rows: int = 0

    @property
    def own_rows(self) -> int:
        return len(self.input_ids) - self.replay_rows

    @property
    def tokens(self) -> int:
        """Of the rows other than replay, without padding."""
        return int(self.lengths[: self.own_rows].sum())


@dataclass(frozen=True)
class TokenizedRows(Generic[E]):
    """Rows as tokens, with the number of each example's row, and the rows that do not fit at all.
    rows: how many were read."""

    examples: list[E]
    numbers: list[int]
    too_long: list[DatasetRow]
    rows: int


@dataclass(frozen=True)
class Examples(Generic[E]):
    """What a run reads. numbers: of the train rows. asked: the validation rows, in the order of
    their examples."""

    train: list[E]
    numbers: list[int]
    validation: list[E]
    asked: list[DatasetRow]

    @property
    def longest(self) -> int:
        """Padded tokens of the longest example."""
        return max(one.padded_tokens for one in (*self.train, *self.validation))


def read_answers(
    spec: TrainingSpec, tokenizer: PreTrainedTokenizerBase, channel: Channel
) -> Examples[TokenizedExample]:
    """The answers to learn, and those to practise on; see `read_examples`."""

    def tokenize(row: DatasetRow) -> list[TokenizedExample]:
        limit, thinking = spec.max_tokens, spec.thinks
        return tokenize_row(tokenizer, row.messages, limit, row.tools, thinking=thinking)

    if spec.thinks and not can_think(tokenizer):
        raise UserError("bad_model", CANNOT_THINK)
    return read_examples(spec, tokenizer, tokenize, lambda row: True, channel)


def read_pairs(
    spec: TrainingSpec, tokenizer: PreTrainedTokenizerBase, channel: Channel
) -> Examples[PreferencePair]:
    """The rows with a worse answer beside the better one; see `read_examples`."""

    def tokenize(row: DatasetRow) -> list[PreferencePair]:
        number, limit = row.number, spec.max_tokens
        return [tokenize_pair(tokenizer, number, row.messages, row.rejected, limit, row.tools)]

    return read_examples(spec, tokenizer, tokenize, lambda row: bool(row.rejected), channel)


def read_examples(
    spec: TrainingSpec,
    tokenizer: PreTrainedTokenizerBase,
    tokenize: Callable[[DatasetRow], list[E]],
    is_wanted: Callable[[DatasetRow], bool],
    channel: Channel,
) -> Examples[E]:
    """The rows to learn from and those to practise on, as tokens; warns of what does not fit.

    tokenize: the examples of a row, the whole conversation first.

    Raises UserError when nothing is left to learn, or for rows with tools where the chat template
    has none, and TokenizationStopped.
    """
    read = partial(read_wanted_rows, spec.version, is_wanted)
    practice = sample_rows(read("validation"), MAX_VALIDATION_EXAMPLES, spec.seed)
    training = read("train")
    require_tools([*training, *practice], tokenizer)
    learned = tokenize_rows(training, tokenize, channel)
    validation = tokenize_rows(practice, tokenize, whole_only=True)
    if not learned.examples:
        problem = NOTHING_TO_LEARN[spec.method]
        if learned.too_long:
            problem = (
                f"Every row has more than {spec.max_tokens:,} tokens. Shorten your examples, or "
                "allow longer ones in the settings."
            )
        raise UserError("bad_data", problem)
    for warning in [
        *warnings(learned, spec.max_tokens),
        *thought_warnings([row.messages for row in training], spec.thinks),
    ]:
        channel.emit("warning", text=warning)
    if validation.too_long:
        count = f"{len(validation.too_long)} of {len(practice)}"
        channel.emit("warning", text=f"{count} practice examples are too long to be measured.")
    asked = [row for row in practice if row not in validation.too_long]
    return Examples(learned.examples, learned.numbers, validation.examples, asked)


def read_wanted_rows(
    path: Path, is_wanted: Callable[[DatasetRow], bool], split: str
) -> list[DatasetRow]:
    return [row for row in read_rows(path, split) if is_wanted(row)]


def read_rows(path: Path, split: str) -> list[DatasetRow]:
    """The rows of one split (train, validation, test), in file order. Raises UserError."""
    try:
        with path.open(encoding="utf-8") as lines:
            rows = [(position, json.loads(line)) for position, line in enumerate(lines, 1)]
    except OSError as error:
        raise UserError(
            "bad_data", "The frozen dataset could not be read. Freeze the dataset again."
        ) from error
    except ValueError as error:
        raise UserError(
            "bad_data", "The frozen dataset is damaged. Freeze the dataset again."
        ) from error
    return [
        DatasetRow(
            row.get("id", position),
            row["split"],
            row["messages"],
            row.get("rejected", ""),
            row.get("tools") or [],
        )
        for position, row in rows
        if row["split"] == split
    ]


def require_tools(rows: Sequence[DatasetRow], tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises UserError, which names the rows, where some have tools and the template has none."""
    numbers = [row.number for row in rows if row.tools]
    if numbers and (problem := tool_problem(tokenizer)):
        count = "1 row uses" if len(numbers) == 1 else f"{len(numbers):,} rows use"
        raise UserError("bad_data", f"{count} tools (row {_named(numbers)}). {problem}")


def sample_rows(rows: Sequence[DatasetRow], count: int, seed: int) -> list[DatasetRow]:
    """At most `count` rows from the whole file, because its beginning may have one label only."""
    return random.Random(seed).sample(rows, min(count, len(rows)))


def tokenize_rows(
    rows: Sequence[DatasetRow],
    tokenize: Callable[[DatasetRow], list[E]],
    channel: Channel | None = None,
    *,
    whole_only: bool = False,
) -> TokenizedRows[E]:
    """Rows as tokens. With a channel, watches the lease and the stop button: it can take minutes.

    whole_only: one example a row, the whole conversation.

    Raises UserError, which names the row that cannot be rendered, and TokenizationStopped.
    """
    examples: list[E] = []
    numbers: list[int] = []
    too_long: list[DatasetRow] = []
    for done, row in enumerate(rows, 1):
        if channel and done % CHECK_EVERY_ROWS == 0:
            channel.check()
            if channel.stopping():
                raise TokenizationStopped
        try:
            found = tokenize(row)[: 1 if whole_only else None]
            examples += found
            numbers += [row.number] * len(found)
        except ExampleTooLong:
            too_long.append(row)
        except UserError as error:
            raise UserError(error.code, f"Row {row.number}: {error.message}") from error
    return TokenizedRows(examples, numbers, too_long, len(rows))


def count_tokens(examples: Sequence[TrainingExample]) -> int:
    return sum(example.padded_tokens for example in examples)


def warnings(rows: TokenizedRows[E], max_tokens: int) -> list[str]:
    """Sentences about what does not fit, and what is not learned."""
    shortened = sum(bool(example.left_out) for example in rows.examples)
    unlearned = sum(example.unlearned_answers for example in rows.examples)
    sentences = []
    if rows.too_long:
        numbers = [row.number for row in rows.too_long]
        sentences.append(
            f"{len(numbers)} of {rows.rows} rows have more than "
            f"{max_tokens:,} tokens and are not learned (row {_named(numbers)}). Shorten them, or "
            "allow longer examples in the settings."
        )
    if shortened:
        sentences.append(
            f"{shortened} of {len(rows.examples)} conversations are too long: their earliest turns "
            f"are left out, so that {max_tokens:,} tokens are enough."
        )
    if unlearned:
        sentences.append(
            f"{unlearned} earlier answers are read but not learned, because this model's chat "
            "template rewrites earlier turns. The last answer of each row is learned."
        )
    return sentences


def _named(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:MAX_NAMED])) + (", ..." if len(numbers) > MAX_NAMED else "")


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Example indices of every batch of an epoch: shuffled, with similar lengths together."""
    rng = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    group_size = batch_size * BATCHES_PER_GROUP
    batches = []
    for start in range(0, len(order), group_size):
        group = sorted(order[start : start + group_size], key=lambda index: lengths[index])
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    rng.shuffle(batches)
    return batches


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Number of batches of an epoch, without building them."""
    full, rest = divmod(examples, batch_size * BATCHES_PER_GROUP)
    return full * BATCHES_PER_GROUP + -(-rest // batch_size)


class Batches:
    """Example indices of the batch at any step; the last epoch is cached."""

    def __init__(self, examples: Sequence[TrainingExample], batch_size: int, seed: int) -> None:
        self._lengths = [example.padded_tokens for example in examples]
        self._batch_size, self._seed = batch_size, seed
        self.steps_per_epoch = steps_per_epoch(len(examples), batch_size)
        self._epoch: int | None = None
        self._batches: list[list[int]] = []

    def at(self, step: int) -> list[int]:
        """Indices of the examples of update `step` (from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._batches = epoch_batches(self._lengths, self._batch_size, self._seed, epoch)
            self._epoch = epoch
        return self._batches[position]


def collate(
    examples: Sequence[TokenizedExample], device: torch.device, *, replay_rows: int = 0
) -> Batch:
    """Pad on the right and shift the mask: position t learns to produce token t + 1."""
    longest = max(len(example.input_ids) for example in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.long)
    loss_mask = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        input_ids[row, :length] = torch.tensor(example.input_ids)
        loss_mask[row, : length - 1] = torch.tensor(example.loss_mask[1:], dtype=torch.bool)
    labels = input_ids.roll(-1, dims=1)[loss_mask]
    lengths = torch.tensor([len(example.input_ids) for example in examples])
    return Batch(
        input_ids.to(device), loss_mask.to(device), labels.to(device), lengths, replay_rows
    )


def probe_batch(vocabulary: int, device: torch.device, *, learn_all: bool = False) -> Batch:
    """Two short examples of different lengths, with the same beginning."""
    examples = []
    for row, length in enumerate(PROBE_LENGTHS):
        ids = [(7 + 29 * n + 13 * row * (n >= PROBE_SHARED)) % vocabulary for n in range(length)]
        mask = [learn_all or n >= length - PROBE_LEARNED for n in range(length)]
        examples.append(TokenizedExample(ids, mask))
    return collate(examples, device)
