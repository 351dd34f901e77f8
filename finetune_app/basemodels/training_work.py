"""How much there is to compute in a training, estimated from a frozen version."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune_app.basemodels.memory_plan import TOKEN_BUDGET, LargestBatch

if TYPE_CHECKING:
    from finetune_app.versions.models import Version

CHARACTERS_PER_TOKEN = 3.6
TEMPLATE_TOKENS = 20  # per row: role markers of the chat template
ANSWER_SHARE = 0.25  # of a row's tokens, at least; several answers of a row are learned


@dataclass(frozen=True)
class TrainingWork:
    """Amount of work. `tokens` are those of one epoch."""

    tokens: int
    rows: int
    epochs: int
    rank: int
    replay_rows: int
    """Most everyday examples of an update."""
    largest: LargestBatch


DEFAULT_WORK = TrainingWork(
    tokens=20_000,
    rows=250,
    epochs=3,
    rank=16,
    replay_rows=2,
    largest=LargestBatch(rows=8, longest=160, tokens=1_000, learned=250),
)


def tokens_of(version: "Version") -> int:
    """Estimated tokens of one epoch."""
    rows: int = version.counts.get("train", 0)
    return int(version.characters / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS * rows


def largest_batch(
    version: "Version", batch_size: int, max_tokens: int, answers: int = 1
) -> LargestBatch:
    """The longest rows, as many of them as are computed at once. answers: 2 for pairs, which are
    two conversations each.

    A version that was frozen before their lengths were kept is taken to have rows of half the
    longest one's length.
    """
    typical = version.characters / max(version.counts.get("train", 0), 1)
    lengths = version.longest_rows or [version.longest, *[max(typical, version.longest / 2)] * 31]
    tokens = [
        min(_tokens(length), max_tokens) for length in lengths[:batch_size] for _ in range(answers)
    ]
    longest = tokens[0] if tokens else TEMPLATE_TOKENS
    rows = max(answers, min(len(tokens), TOKEN_BUDGET // longest))
    total = sum(tokens[:rows])
    learned = max(rows * _tokens(version.longest_answer), ANSWER_SHARE * total)
    return LargestBatch(rows, longest, total, min(int(learned), total))


def replay_rows(batch_size: int, share: float) -> int:
    """Most everyday examples of an update (worker/training/replay/schedule.py)."""
    return int(-(-batch_size * share // (1 - share)))


def _tokens(characters: float) -> int:
    return int(characters / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS
