"""Rows to tokens, tokens to batches.

The batches of an epoch are a pure function of (lengths, batch size, seed, epoch). Resuming at
any step therefore needs no saved position of a generator: `Batches` makes the same ones again.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from worker.channel import Channel, UserError
from worker.template import Message, TokenizedExample, tokenize_example

# Rows are sorted by length within groups of this many batches: enough that rows of a batch
# have nearly the same length, few enough that an epoch stays well mixed.
BATCHES_PER_GROUP = 16
CHECK_EVERY_ROWS = 500  # rows made to tokens between looks at the lease and the stop button


class TokenizationStopped(Exception):
    """The person pressed Stop before the first step."""


@dataclass(frozen=True)
class DatasetRow:
    """One row of a frozen version; its number is the one the person knows it by."""

    number: int
    split: str
    messages: list[Message]

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def wanted(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Batch:
    """Rows as tensors on one device.

    ids (rows, tokens) is padded on the right, which causal attention never looks at.
    learned (rows, tokens) marks the *inputs* whose next token is taught; labels (learned) are
    those next tokens, in the order of `learned`. lengths (rows) counts real tokens.
    """

    input_ids: torch.Tensor
    loss_mask: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())


def read_rows(path: Path, split: str) -> list[DatasetRow]:
    """The rows of one split, in file order."""
    try:
        with path.open(encoding="utf-8") as lines:
            rows = [(place, json.loads(line)) for place, line in enumerate(lines, 1)]
    except OSError as error:
        raise UserError(
            "bad_data", "The frozen dataset could not be read. Freeze the dataset again."
        ) from error
    except ValueError as error:
        raise UserError(
            "bad_data", "The frozen dataset is damaged. Freeze the dataset again."
        ) from error
    return [
        DatasetRow(row.get("id", place), row["split"], row["messages"])
        for place, row in rows
        if row["split"] == split
    ]


def pick(rows: Sequence[DatasetRow], most: int, seed: int) -> list[DatasetRow]:
    """At most so many rows, from all over: those of a file sorted by label begin alike."""
    return random.Random(seed).sample(rows, min(most, len(rows)))


def tokenize_rows(
    rows: Sequence[DatasetRow],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    channel: Channel | None = None,
) -> list[TokenizedExample]:
    """Rows as tokens; a row whose answer does not fit is named by its number.

    Raises `Stopped` when a channel is given and says so: many rows take minutes.
    """
    examples = []
    for done, row in enumerate(rows, 1):
        if channel and done % CHECK_EVERY_ROWS == 0:
            channel.check()
            if channel.stopping():
                raise TokenizationStopped
        try:
            examples.append(tokenize_example(tokenizer, row.messages, max_tokens))
        except UserError as error:
            raise UserError(error.code, f"Row {row.number}: {error.message}") from error
    return examples


def warnings(examples: Sequence[TokenizedExample]) -> list[str]:
    """What was shortened or left unlearned, in sentences; never silent."""
    cut = [e.truncated_tokens for e in examples if e.truncated_tokens]
    unlearned = sum(e.unlearned_answers for e in examples)
    told = []
    if cut:
        told.append(
            f"{len(cut)} of {len(examples)} rows are too long: the beginning of their prompt "
            f"was cut (at most {max(cut)} tokens)."
        )
    if unlearned:
        told.append(
            f"{unlearned} earlier answers are read but not learned, because this model's chat "
            "template rewrites earlier turns. The last answer of each row is learned."
        )
    return told


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Row numbers of every batch of an epoch: shuffled, with like lengths together."""
    rng = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    group = batch_size * BATCHES_PER_GROUP
    batches = []
    for start in range(0, len(order), group):
        like = sorted(order[start : start + group], key=lambda row: lengths[row])
        batches += [like[i : i + batch_size] for i in range(0, len(like), batch_size)]
    rng.shuffle(batches)
    return batches


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """How many batches an epoch has, without making them."""
    full, rest = divmod(rows, batch_size * BATCHES_PER_GROUP)
    return full * BATCHES_PER_GROUP + -(-rest // batch_size)


class Batches:
    """The rows of the batch at any step; those of the epoch last asked for are kept."""

    def __init__(self, examples: Sequence[TokenizedExample], batch_size: int, seed: int) -> None:
        self._lengths = [len(example.input_ids) for example in examples]
        self._batch_size, self._seed = batch_size, seed
        self.an_epoch = steps_per_epoch(len(examples), batch_size)
        self._epoch: int | None = None
        self._kept: list[list[int]] = []

    def at(self, step: int) -> list[int]:
        """Numbers of the rows that belong to update `step` (from 0)."""
        epoch, position = divmod(step, self.an_epoch)
        if epoch != self._epoch:
            self._kept = epoch_batches(self._lengths, self._batch_size, self._seed, epoch)
            self._epoch = epoch
        return self._kept[position]


def micro_batches(
    examples: Sequence[TokenizedExample], rows: Sequence[int], token_budget: int
) -> list[list[int]]:
    """Split a batch into parts of at most `token_budget` padded tokens (one row at least)."""
    parts: list[list[int]] = []
    for row in sorted(rows, key=lambda row: len(examples[row].input_ids)):
        longest = len(examples[row].input_ids)
        if parts and (len(parts[-1]) + 1) * longest <= token_budget:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def collate(examples: Sequence[TokenizedExample], device: torch.device) -> Batch:
    """Pad on the right and shift: position t is taught to produce token t + 1."""
    longest = max(len(example.input_ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    learned = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        ids[row, :length] = torch.tensor(example.input_ids)
        learned[row, : length - 1] = torch.tensor(example.loss_mask[1:], dtype=torch.bool)
    labels = ids.roll(-1, dims=1)[learned]
    lengths = torch.tensor([len(example.input_ids) for example in examples])
    return Batch(ids.to(device), learned.to(device), labels.to(device), lengths)
