"""Example shots: training examples that are shown before each question.

Only train is read. Shots are chosen once and then stand fixed before every question; chosen anew
for each question they would be a search, which is what documents are for.
"""

import statistics

from finetune_app.candidates.composing import LETTERS_A_TOKEN
from finetune_app.datasets import similar
from finetune_app.datasets.models import Example, ExampleQuerySet, Split
from finetune_app.datasets.splits import place
from finetune_app.datasets.text import normalise
from finetune_app.goals.models import Goal

Shot = dict[str, str]

PICKED = 4
MOST = 12
LONGEST = 2_000  # characters; a longer one would crowd out the question
LOOKED_AT = 300  # examples among which to pick, from all over the file
COMPARED = 40  # examples that stand for all when asking how typical one is
FOUND = 8  # shown for a search
SHARE = 0.5  # of what a model can see


def trainable(goal: Goal) -> ExampleQuerySet:
    return Example.objects.usable().filter(dataset__goal=goal, split=Split.TRAIN)


def shot_of(example: Example) -> Shot | None:
    """None for a conversation of several turns, and for what is too long to be shown."""
    turns = [message for message in example.messages if message["role"] != "system"]
    if len(turns) != 2 or len(turns[0]["content"]) + len(turns[1]["content"]) > LONGEST:
        return None
    return {"prompt": turns[0]["content"], "answer": turns[1]["content"]}


def search(goal: Goal, text: str, chosen: list[Shot]) -> list[Example]:
    """Training examples that could be shown; without words to look for, a few from all over."""
    rows = trainable(goal)
    taken = {(shot["prompt"], shot["answer"]) for shot in chosen}
    some = rows.search(text)[: 5 * FOUND] if text else _spread(rows, 5 * FOUND)
    shown = [one for one in some if shot_of(one) and (one.prompt, one.answer) not in taken]
    return shown[:FOUND]


def pick(goal: Goal, *, room: int, count: int = PICKED) -> list[Shot]:
    """The most typical example first, then those most unlike what is there already.

    Where the answers are sorts (or other texts that come again), each new one shows another sort
    as long as there are some. `room`: tokens that the model can see.
    """
    some = [shot for one in _spread(trainable(goal), LOOKED_AT) if (shot := shot_of(one))]
    texts = similar.without_shared_ends([normalise(shot["prompt"]) for shot in some])
    left = dict(enumerate(texts))
    chosen: list[int] = []
    while left and len(chosen) < count:
        fresh = [at for at in left if some[at]["answer"] not in {some[c]["answer"] for c in chosen}]
        among = fresh or list(left)
        best = _most_typical(texts, among) if not chosen else _most_different(texts, among, chosen)
        chosen.append(best)
        del left[best]
    return within([some[at] for at in chosen], room)


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
        return statistics.fmean(similar.likeness(texts[at], one) for one in sample), -at

    return max(among, key=how_typical)


def _most_different(texts: list[str], among: list[int], chosen: list[int]) -> int:
    """The one whose nearest neighbour among the chosen is the farthest away."""
    return min(
        among, key=lambda at: (max(similar.likeness(texts[at], texts[c]) for c in chosen), at)
    )
