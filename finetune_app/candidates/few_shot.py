"""Few-shot examples: rows of the dataset that are shown to the model before each question.

They come from the train split. A goal without one uses the pairs of its description and the
validation split, and a validation prompt that is shown is then not asked. The test split is never
read. Examples are chosen once for all questions; choosing per question is retrieval.
"""

import statistics
from dataclasses import dataclass
from typing import NamedTuple

from finetune_app.candidates.answer_format import PROMPT_HINT
from finetune_app.candidates.prompt_builder import CHARS_PER_TOKEN
from finetune_app.candidates.specs import Shot
from finetune_app.datasets import near_duplicates
from finetune_app.datasets.label_sets import with_every_label
from finetune_app.datasets.models import Example, ExampleQuerySet, Split
from finetune_app.datasets.text import normalise
from finetune_app.goals.models import Goal

DEFAULT_SHOTS = 4
MAX_SHOTS = 12
MAX_SHOT_CHARS = 2_000  # prompt and answer; a longer one leaves no space for the question
PICK_FROM = 300  # examples, sampled from the whole dataset
TYPICAL_SAMPLE = 40  # examples that each one is compared with to find the most typical
SEARCH_RESULTS = 8
SAMPLE = 5 * SEARCH_RESULTS  # some may be too long to show, or chosen already
CONTEXT_SHARE = 0.5


@dataclass(frozen=True)
class Showable:
    """An example that can be shown; `key` identifies it in forms."""

    key: str
    prompt: str
    answer: str

    @property
    def shot(self) -> Shot:
        return {"prompt": self.prompt, "answer": self.answer}


class Showables(NamedTuple):
    """What can be shown: the train split; while it is empty, the validation split and the pairs of
    the goal's description that are not in the test split.

    sample: some of the rows, always the same; as many as `showables` was asked for.
    """

    rows: ExampleQuerySet
    sample: list[Example]
    pairs: list[Showable]
    uses_validation: bool

    @property
    def any(self) -> bool:
        return bool(self.pairs or self.sample) or self.rows.exists()


def showables(goal: Goal, sample: int = 0) -> Showables:
    """With a sample of so many rows, which of 100,000 takes 80 ms."""
    usable = Example.objects.usable().of_goal(goal.pk)
    train = usable.filter(split=Split.TRAIN)
    some = _sample(train, sample)
    if some or (not sample and train.exists()):
        return Showables(train, some, [], uses_validation=False)
    validation = usable.filter(split=Split.VALIDATION)
    return Showables(validation, _sample(validation, sample), _goal_pairs(goal), True)


def _goal_pairs(goal: Goal) -> list[Showable]:
    tests = Example.objects.kept().filter(dataset__goal=goal, split=Split.TEST)
    sealed = {normalise(prompt) for prompt in tests.values_list("prompt", flat=True)}
    return [
        Showable(f"pair-{at}", pair["prompt"], pair["answer"])
        for at, pair in enumerate(goal.pairs)
        if pair.get("prompt") and pair.get("answer") and normalise(pair["prompt"]) not in sealed
    ]


def as_showable(example: Example) -> Showable | None:
    """None for a conversation of several turns or with tools, and for one that is too long."""
    turns = [message for message in example.messages if message["role"] != "system"]
    if example.tools or len(turns) != 2:
        return None
    if len(turns[0]["content"]) + len(turns[1]["content"]) > MAX_SHOT_CHARS:
        return None
    return Showable(str(example.pk), turns[0]["content"], turns[1]["content"])


def find_by_key(goal: Goal, key: str) -> Showable | None:
    found = showables(goal)
    if key.isdecimal() and len(key) < 16:
        example = found.rows.filter(pk=int(key)).first()
        return as_showable(example) if example else None
    return next((one for one in found.pairs if one.key == key), None)


def find_by_answer(goal: Goal, answer: str) -> Showable | None:
    found = (as_showable(one) for one in showables(goal).rows.filter(answer=answer)[:20])
    return next((one for one in found if one), None)


def known_answers(showable: Showables, limit: int) -> list[str]:
    """Correct answers, from which the expected format can be inferred: a sample, since a file may
    be sorted by its answers, and every label where they are labels."""
    answers = list(_by_hash(showable.rows).values_list("answer", flat=True)[:limit])
    answers = with_every_label(answers, showable.rows, PROMPT_HINT)
    return [*(one.answer for one in showable.pairs), *answers]


def search(showable: Showables, text: str, chosen: list[Shot]) -> list[Showable]:
    """Examples that contain the text, without those already chosen; of the sample if it is
    empty."""
    some = showable.rows.containing(text)[:SAMPLE] if text else showable.sample
    wanted = text.casefold()
    pairs = [
        one
        for one in showable.pairs
        if wanted in one.prompt.casefold() or wanted in one.answer.casefold()
    ]
    found = [*pairs, *(one for row in some if (one := as_showable(row)))]
    return [one for one in found if one.shot not in chosen][:SEARCH_RESULTS]


def pick(goal: Goal, *, context_length: int, count: int = DEFAULT_SHOTS) -> list[Shot]:
    """The most typical example, then each time the one least similar to those picked so far.

    When answers repeat, as class labels do, each new example has another answer for as long as
    there are any. At most a third of the validation prompts are picked, so that the rest can be
    asked. `context_length` is in tokens.
    """
    showable = showables(goal, PICK_FROM)
    pairs = [one.shot for one in showable.pairs][:count]
    some = [one.shot for row in showable.sample if (one := as_showable(row))]
    if showable.uses_validation:
        count = min(count, len(pairs) + len(some) // 3)
    everything = [shot for shot in (*pairs, *some) if fitting([shot], context_length)]
    pairs = [shot for shot in pairs if shot in everything]
    texts = near_duplicates.without_shared_ends([normalise(shot["prompt"]) for shot in everything])
    chosen = list(range(len(pairs)))
    left = [at for at in range(len(everything)) if at not in chosen]
    while left and len(chosen) < count:
        shown = {everything[at]["answer"] for at in chosen}
        fresh = [at for at in left if everything[at]["answer"] not in shown]
        among = fresh or left
        best = _most_typical(texts, among) if not chosen else _most_different(texts, among, chosen)
        chosen.append(best)
        left.remove(best)
    return fitting([everything[at] for at in chosen], context_length)


def fitting(shots: list[Shot], context_length: int) -> list[Shot]:
    """The first examples that fit into half of the context."""
    chars_left = context_length * CHARS_PER_TOKEN * CONTEXT_SHARE
    kept: list[Shot] = []
    for shot in shots:
        chars_left -= len(shot["prompt"]) + len(shot["answer"])
        if chars_left < 0:
            break
        kept.append(shot)
    return kept


def _sample(rows: ExampleQuerySet, limit: int) -> list[Example]:
    """The last in the order of a hash: a sample that is always the same. The first ones are the
    validation prompts that are asked."""
    return list(_by_hash(rows)[:limit])


def _by_hash(rows: ExampleQuerySet) -> ExampleQuerySet:
    return rows.order_by("-prompt_hash", "-pk")


def _most_typical(texts: list[str], among: list[int]) -> int:
    """The one most similar to a sample of the others."""
    sample = [texts[at] for at in among[:TYPICAL_SAMPLE]]

    def typicality(at: int) -> tuple[float, int]:
        return statistics.fmean(near_duplicates.jaccard(texts[at], one) for one in sample), -at

    return max(among, key=typicality)


def _most_different(texts: list[str], among: list[int], chosen: list[int]) -> int:
    """The one whose similarity to its nearest chosen example is lowest."""
    return min(
        among,
        key=lambda at: (max(near_duplicates.jaccard(texts[at], texts[c]) for c in chosen), at),
    )
