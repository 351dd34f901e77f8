"""Example shots: examples that are shown before each question.

They come from train. Where nothing is trained there is no train; then they come from the pairs
that the goal was described with and from the practice prompts, and a prompt that is shown is not
asked (practice.py). Test is never read. Shots are chosen once and then stand fixed before every
question; chosen anew for each question they would be a search, which is what documents are for.
"""

import statistics
from dataclasses import dataclass

from finetune_app.candidates.composing import LETTERS_A_TOKEN
from finetune_app.datasets import near_duplicates
from finetune_app.datasets.models import Example, ExampleQuerySet, Split
from finetune_app.datasets.splits import place
from finetune_app.datasets.text import normalise
from finetune_app.datasets.text_search import saying
from finetune_app.goals.models import Goal

Shot = dict[str, str]

PICKED = 4
MOST = 12
LONGEST = 2_000  # characters; a longer one would crowd out the question
LOOKED_AT = 300  # examples among which to pick, from all over the file
COMPARED = 40  # examples that stand for all when asking how typical one is
FOUND = 8  # shown for a search
SHARE = 0.5  # of what a model can see


@dataclass(frozen=True)
class Showable:
    """Something that can be shown; `key` names it on the page."""

    key: str
    prompt: str
    answer: str

    @property
    def shot(self) -> Shot:
        return {"prompt": self.prompt, "answer": self.answer}


def rows_of(goal: Goal) -> ExampleQuerySet:
    """The examples that may be shown: train, or practice where there is no train."""
    usable = Example.objects.usable().filter(dataset__goal=goal)
    train = usable.filter(split=Split.TRAIN)
    return train if train.exists() else usable.filter(split=Split.VALIDATION)


def only_practice(goal: Goal) -> bool:
    return not Example.objects.usable().filter(dataset__goal=goal, split=Split.TRAIN).exists()


def from_goal(goal: Goal) -> list[Showable]:
    """The goal's own pairs, where there is no train; not those that are also in the test."""
    if not only_practice(goal):
        return []
    tests = Example.objects.kept().filter(dataset__goal=goal, split=Split.TEST)
    sealed = {normalise(prompt) for prompt in tests.values_list("prompt", flat=True)}
    return [
        Showable(f"pair-{at}", pair["prompt"], pair["answer"])
        for at, pair in enumerate(goal.pairs)
        if pair.get("prompt") and pair.get("answer") and normalise(pair["prompt"]) not in sealed
    ]


def can_show(goal: Goal) -> bool:
    return rows_of(goal).exists() or bool(from_goal(goal))


def showable(example: Example) -> Showable | None:
    """None for a conversation of several turns, and for what is too long to be shown."""
    turns = [message for message in example.messages if message["role"] != "system"]
    if len(turns) != 2 or len(turns[0]["content"]) + len(turns[1]["content"]) > LONGEST:
        return None
    return Showable(str(example.pk), turns[0]["content"], turns[1]["content"])


def find(goal: Goal, key: str) -> Showable | None:
    """What a button on the page named; None for anything else."""
    if key.isdecimal() and len(key) < 16:
        example = rows_of(goal).filter(pk=int(key)).first()
        return showable(example) if example else None
    return next((one for one in from_goal(goal) if one.key == key), None)


def with_answer(goal: Goal, answer: str) -> Showable | None:
    """An example of this answer."""
    found = (showable(one) for one in rows_of(goal).filter(answer=answer)[:20])
    return next((one for one in found if one), None)


def answers(goal: Goal, most: int) -> list[str]:
    """Right answers, from which the wanted form can be told."""
    pairs = [one.answer for one in from_goal(goal)]
    return pairs + list(rows_of(goal).values_list("answer", flat=True)[:most])


def search(goal: Goal, text: str, chosen: list[Shot]) -> list[Showable]:
    """What could be shown; without words to look for, a few from all over."""
    rows = rows_of(goal)
    some = rows.filter(saying(text))[: 5 * FOUND] if text else _spread(rows, 5 * FOUND)
    look = text.casefold()
    pairs = [
        one
        for one in from_goal(goal)
        if look in one.prompt.casefold() or look in one.answer.casefold()
    ]
    found = [*pairs, *(one for row in some if (one := showable(row)))]
    return [one for one in found if one.shot not in chosen][:FOUND]


def pick(goal: Goal, *, room: int, count: int = PICKED) -> list[Shot]:
    """The most typical example first, then those most unlike what is there already.

    Where the answers are sorts (or other texts that come again), each new one shows another sort
    as long as there are some. Of practice prompts at most a third, since the rest are to be
    asked. `room`: tokens that the model can see.
    """
    pairs = [one.shot for one in from_goal(goal)][:count]
    some = [one.shot for row in _spread(rows_of(goal), LOOKED_AT) if (one := showable(row))]
    if only_practice(goal):
        count = min(count, len(pairs) + len(some) // 3)
    everything = [*pairs, *some]
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
    return within([everything[at] for at in chosen], room)


def within(shots: list[Shot], room: int) -> list[Shot]:
    """As many of the first ones as leave the model half its sight."""
    letters = room * LETTERS_A_TOKEN * SHARE
    kept: list[Shot] = []
    for shot in shots:
        letters -= len(shot["prompt"]) + len(shot["answer"])
        if letters < 0:
            break
        kept.append(shot)
    return kept


def _spread(rows: ExampleQuerySet, most: int) -> list[Example]:
    """Some rows from all over the file, always the same ones."""
    known = rows.order_by().values_list("pk", "prompt_hash", "dataset__seed")
    order = sorted(known, key=lambda row: (place(row[2] + 1, row[1]), row[0]))
    chosen = [pk for pk, _hash, _seed in order[:most]]
    found = {row.pk: row for row in rows.filter(pk__in=chosen)}
    return [found[pk] for pk in chosen if pk in found]


def _most_typical(texts: list[str], among: list[int]) -> int:
    """The one most like a sample of the others."""
    sample = [texts[at] for at in among[:COMPARED]]

    def how_typical(at: int) -> tuple[float, int]:
        return statistics.fmean(near_duplicates.likeness(texts[at], one) for one in sample), -at

    return max(among, key=how_typical)


def _most_different(texts: list[str], among: list[int], chosen: list[int]) -> int:
    """The one whose nearest neighbour among the chosen is the farthest away."""
    return min(
        among,
        key=lambda at: (max(near_duplicates.likeness(texts[at], texts[c]) for c in chosen), at),
    )
