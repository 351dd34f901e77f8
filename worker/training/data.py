"""Rows to tokens, tokens to batches.

The batches of an epoch are a pure function of (lengths, batch size, seed, epoch). Resuming at any
step therefore needs no saved generator state: `Batches` computes the same ones again.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from worker.channel import Channel, UserError
from worker.template import ExampleTooLong, TokenizedExample, tokenize_example
from worker.training.spec import TrainingSpec

# Rows are sorted by length within groups of this many batches: enough that the rows of a batch
# have nearly the same length, few enough that an epoch stays well mixed.
BATCHES_PER_GROUP = 16
MAX_VALIDATION_EXAMPLES = 64  # enough for a curve; the evaluation step measures properly
MAX_NAMED = 5  # rows in a warning
CHECK_EVERY_ROWS = 500  # rows tokenized between checks of the lease and the stop button


class TokenizationStopped(Exception):
    """Stop was pressed before the first step."""


@dataclass(frozen=True)
class DatasetRow:
    """One row of a frozen version; `number` is the one shown on the pages."""

    number: int
    split: str
    messages: list[Message]

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def wanted(self) -> str:
        """The expected answer."""
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Batch:
    """Examples as tensors on one device.

    input_ids: (batch, sequence) int64, padded on the right, which causal attention ignores.
    loss_mask: (batch, sequence) bool; true at inputs whose next token is learned.
    labels: (learned,) int64; those next tokens, in the order of `loss_mask`.
    lengths: (batch,) int64; tokens without padding.
    """

    input_ids: torch.Tensor
    loss_mask: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return int(self.lengths.sum())


@dataclass(frozen=True)
class TokenizedRows:
    """Rows as tokens, and the rows that do not fit at all."""

    examples: list[TokenizedExample]
    too_long: list[DatasetRow]


@dataclass(frozen=True)
class Examples:
    """What a run reads. asked: the validation rows, in the order of their examples."""

    train: list[TokenizedExample]
    validation: list[TokenizedExample]
    asked: list[DatasetRow]

    @property
    def longest(self) -> int:
        """Tokens of the longest example."""
        return max(len(one.input_ids) for one in (*self.train, *self.validation))


def read_examples(
    spec: TrainingSpec, tokenizer: PreTrainedTokenizerBase, channel: Channel
) -> Examples:
    """The rows to learn from and those to practise on, as tokens; warns of what does not fit.

    Raises UserError when nothing is left to learn, and TokenizationStopped.
    """
    practice = sample_rows(
        read_rows(spec.version, "validation"), MAX_VALIDATION_EXAMPLES, spec.seed
    )
    learned = tokenize_rows(read_rows(spec.version, "train"), tokenizer, spec.max_tokens, channel)
    validation = tokenize_rows(practice, tokenizer, spec.max_tokens)
    if not learned.examples:
        problem = "There are no rows to train on. Add examples, then freeze."
        if learned.too_long:
            problem = (
                f"Every row has more than {spec.max_tokens:,} tokens. Shorten your examples, or "
                "allow longer ones in the settings."
            )
        raise UserError("bad_data", problem)
    for warning in warnings(learned, spec.max_tokens):
        channel.emit("warning", text=warning)
    if validation.too_long:
        count = f"{len(validation.too_long)} of {len(practice)}"
        channel.emit("warning", text=f"{count} practice examples are too long to be measured.")
    asked = [row for row in practice if row not in validation.too_long]
    return Examples(learned.examples, validation.examples, asked)


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
        DatasetRow(row.get("id", position), row["split"], row["messages"])
        for position, row in rows
        if row["split"] == split
    ]


def sample_rows(rows: Sequence[DatasetRow], count: int, seed: int) -> list[DatasetRow]:
    """At most `count` rows from the whole file, because its beginning may have one label only."""
    return random.Random(seed).sample(rows, min(count, len(rows)))


def tokenize_rows(
    rows: Sequence[DatasetRow],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    channel: Channel | None = None,
) -> TokenizedRows:
    """Rows as tokens. With a channel, watches the lease and the stop button: it can take minutes.

    Raises UserError, which names the row that cannot be rendered, and TokenizationStopped.
    """
    examples, too_long = [], []
    for done, row in enumerate(rows, 1):
        if channel and done % CHECK_EVERY_ROWS == 0:
            channel.check()
            if channel.stopping():
                raise TokenizationStopped
        try:
            examples.append(tokenize_example(tokenizer, row.messages, max_tokens))
        except ExampleTooLong:
            too_long.append(row)
        except UserError as error:
            raise UserError(error.code, f"Row {row.number}: {error.message}") from error
    return TokenizedRows(examples, too_long)


def count_tokens(examples: Sequence[TokenizedExample]) -> int:
    return sum(len(example.input_ids) for example in examples)


def warnings(rows: TokenizedRows, max_tokens: int) -> list[str]:
    """Sentences about what does not fit, and what is not learned."""
    shortened = sum(bool(example.left_out) for example in rows.examples)
    unlearned = sum(example.unlearned_answers for example in rows.examples)
    sentences = []
    if rows.too_long:
        numbers = [str(row.number) for row in rows.too_long]
        named = ", ".join(numbers[:MAX_NAMED]) + (", ..." if len(numbers) > MAX_NAMED else "")
        sentences.append(
            f"{len(numbers)} of {len(numbers) + len(rows.examples)} rows have more than "
            f"{max_tokens:,} tokens and are not learned (row {named}). Shorten them, or allow "
            "longer examples in the settings."
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

    def __init__(self, examples: Sequence[TokenizedExample], batch_size: int, seed: int) -> None:
        self._lengths = [len(example.input_ids) for example in examples]
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


def micro_batches(
    examples: Sequence[TokenizedExample], indices: Sequence[int], token_budget: int
) -> list[list[int]]:
    """Split a batch into parts of at most `token_budget` padded tokens, or a single example."""
    parts: list[list[int]] = []
    for index in sorted(indices, key=lambda index: len(examples[index].input_ids)):
        longest = len(examples[index].input_ids)
        if parts and (len(parts[-1]) + 1) * longest <= token_budget:
            parts[-1].append(index)
        else:
            parts.append([index])
    return parts


def collate(examples: Sequence[TokenizedExample], device: torch.device) -> Batch:
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
    return Batch(input_ids.to(device), loss_mask.to(device), labels.to(device), lengths)
