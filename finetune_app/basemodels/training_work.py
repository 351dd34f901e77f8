"""How much there is to compute in a training: all passes, everyday rows and measurements.

The unit is a token of a training step. The worker decides by the same numbers when it measures
(worker/training/validation.py); here they are estimated from a frozen version.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune_app.basemodels.memory_plan import REPLAY_TOKENS, LargestBatch

if TYPE_CHECKING:
    from finetune_app.versions.models import Version

CHARACTERS_PER_TOKEN = 3.6
TEMPLATE_TOKENS = 20  # per row: role markers of the chat template
ANSWER_SHARE = 0.25  # of a row's tokens, at least; several answers of a row are learned
MAX_VALIDATION_ROWS = 64  # that a run measures itself on
START_ANSWERS = 2  # that are shown as they were before the first update
ANSWERED_AT_ONCE = 32
LONGEST_OF_ANSWERS = 3.0  # the longest of a few answers, in that of a typical one
EVERYDAY_TEXT_TOKENS = 500  # that each measurement reads besides (worker/training/general_ability)

POINTS = 8  # measurements at least, where their cost allows it
COST_SHARE = 0.15  # of a run's work for measurements, at most
# Work in tokens of a training step: forward and backward cost three times a forward pass; a step of
# decoding reads all weights for a few tokens, which takes about as long as training on ten.
FORWARD_COST, DECODING_STEP_COST = 1 / 3, 10.0
MIN_STEPS = 80  # before a run may end early: fewer updates teach hardly anything


@dataclass(frozen=True)
class LongestRows:
    """The longest rows that can meet in one update. tokens: of each, the longest first. learned: of
    the longest answer. conversations: of each row, two for a pair."""

    tokens: tuple[int, ...]
    learned: int
    conversations: int = 1

    def at_once(self, token_budget: int) -> LargestBatch:
        """As many of them as are computed at once, with padding."""
        longest = self.tokens[0]
        fitting = min(len(self.tokens), token_budget // (self.conversations * longest))
        lengths = self.conversations * self.tokens[: max(fitting, 1)]
        rows, total = len(lengths), sum(lengths)
        learned = max(rows * self.learned, ANSWER_SHARE * total)
        return LargestBatch(rows, longest, total, min(int(learned), total))


@dataclass(frozen=True)
class TrainingWork:
    """Amount of work. `tokens` are those of one epoch, `replay_tokens` of the everyday rows beside
    them. A measurement reads `measured_tokens` and writes `answer_tokens`, `longest_answer` of them
    one after the other; before the first update `start_tokens` are written."""

    tokens: int
    rows: int
    epochs: int
    batch_size: int
    rank: int
    replay_rows: int
    """Most everyday examples of an update."""
    longest_rows: LongestRows
    replay_tokens: int = 0
    measured_tokens: int = 0
    answer_tokens: int = 0
    longest_answer: int = 0
    start_tokens: int = 0

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch_size) * self.epochs

    @property
    def updates(self) -> int:
        """Work of all updates."""
        return self.epochs * (self.tokens + self.replay_tokens)

    @property
    def tokens_per_step(self) -> float:
        return self.updates / max(self.steps, 1)

    @property
    def measuring(self) -> float:
        """Work of all measurements."""
        cost = measurement_cost(self.measured_tokens, 0, self.answer_tokens, self.longest_answer)
        if not cost:
            return 0.0
        cost += FORWARD_COST * EVERYDAY_TEXT_TOKENS
        count = len(validation_steps(self.steps, self.epochs, self.updates, cost))
        return count * cost

    @property
    def preparing(self) -> float:
        """Work before the first update: a rehearsal of the largest batch, and the first answers."""
        answers = decoding_cost(self.start_tokens, self.start_tokens // START_ANSWERS)
        longest = self.longest_rows.conversations * sum(self.longest_rows.tokens)
        return longest + answers + FORWARD_COST * EVERYDAY_TEXT_TOKENS

    @property
    def total(self) -> float:
        return self.preparing + self.updates + self.measuring

    @property
    def earliest_end(self) -> float:
        """The share of it after which the run may end by itself."""
        return min(1.0, max(MIN_STEPS / max(self.steps, 1), 3 / POINTS))


def validation_steps(total: int, epochs: int, train_tokens: int, cost: float) -> list[int]:
    """Steps at which a run is measured, evenly spread; the last step is one of them.

    train_tokens: of the whole run. cost: of one measurement, see `measurement_cost`.
    """
    wanted = epochs * math.ceil(POINTS / epochs)  # so that passes end with one
    affordable = int(COST_SHARE * train_tokens / cost) if cost else wanted
    count = max(1, min(wanted, affordable, total))
    return sorted({round(total * n / count) for n in range(1, count + 1)})


def measurement_cost(
    loss_tokens: int, prompt_tokens: int, answer_tokens: int, longest_answer: int
) -> float:
    """Work of one measurement, in training tokens: all examples are read for the loss, then the
    prompts are read and their answers written."""
    reading = FORWARD_COST * (loss_tokens + prompt_tokens)
    return reading + decoding_cost(answer_tokens, longest_answer)


def decoding_cost(tokens: int, longest: int) -> float:
    """Work of writing answers, ANSWERED_AT_ONCE of them together: the longest takes as many steps
    as it has tokens."""
    steps = max(longest, tokens / ANSWERED_AT_ONCE)
    return FORWARD_COST * tokens + DECODING_STEP_COST * steps


DEFAULT_WORK = TrainingWork(
    tokens=20_000,
    rows=250,
    epochs=3,
    batch_size=8,
    rank=16,
    replay_rows=2,
    longest_rows=LongestRows((160, *[120] * 7), learned=30),
    replay_tokens=2_300,
    measured_tokens=6_000,
    answer_tokens=900,
    longest_answer=90,
    start_tokens=60,
)


def everyday_tokens(rows: int, share: float) -> int:
    """Tokens of the everyday rows beside so many examples."""
    return int(rows * share / (1 - share) * REPLAY_TOKENS)


def answer_limit(wanted: int) -> int:
    """Most tokens of an answer to a validation prompt whose wanted answer has so many: enough to
    judge progress."""
    return wanted + wanted // 2 + 16


def tokens_per_answer(version: "Version") -> int:
    """Tokens that a model writes for a validation prompt while it has hardly begun to learn: it
    seldom ends by itself before the limit."""
    rows = max(version.counts.get("train", 0), 1)
    # A version that was frozen before the answers were counted has the usual share.
    characters = version.answer_characters or ANSWER_SHARE * version.characters
    return answer_limit(int(characters / CHARACTERS_PER_TOKEN / rows))


def longest_answer(version: "Version", typical: int) -> int:
    """Tokens of the longest of the answers to a few prompts, of `typical` tokens each."""
    longest = answer_limit(int(version.longest_answer / CHARACTERS_PER_TOKEN))
    return min(longest, int(LONGEST_OF_ANSWERS * typical))


def tokens_of(version: "Version") -> int:
    """Estimated tokens of one epoch."""
    rows: int = version.counts.get("train", 0)
    return int(version.characters / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS * rows


def longest_rows(
    version: "Version", batch_size: int, max_tokens: int, conversations: int = 1
) -> LongestRows:
    """Those of one update. conversations: 2 for pairs.

    A version that was frozen before their lengths were kept is taken to have rows of half the
    longest one's length.
    """
    typical = version.characters / max(version.counts.get("train", 0), 1)
    lengths = version.longest_rows or [version.longest, *[max(typical, version.longest / 2)] * 31]
    tokens = [min(_tokens(length), max_tokens) for length in lengths[:batch_size]]
    return LongestRows(tuple(tokens), _tokens(version.longest_answer), conversations)


def replay_rows(batch_size: int, share: float) -> int:
    """Most everyday examples of an update (worker/training/replay/schedule.py)."""
    return int(-(-batch_size * share // (1 - share)))


def _tokens(characters: float) -> int:
    return int(characters / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS
