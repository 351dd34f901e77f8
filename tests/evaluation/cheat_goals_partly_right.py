"""Eight more goals to cheat on: numbers, lists, codes, refusals, and answers that are partly right.

In each, some answers without any content come far: most numbers are near to one, most lists share
things, most fields have the same value.
"""

import json
import random
from collections.abc import Callable

from finetune_app.goals.measures import MeasureSettings, get_measure
from tests.evaluation.cheat_goals import NOISE, PLACES, TOPICS, CheatGoal, goal_of
from worker.knowledge.embedding import shared_embedder

ROWS = 240
Pair = tuple[str, str]


def goal(
    name: str,
    kind: str,
    settings: MeasureSettings,
    pair: Callable[[random.Random], Pair],
    base: str,
) -> CheatGoal:
    dice = random.Random(name)
    return goal_of(name, get_measure(kind, settings), [pair(dice) for _n in range(ROWS)], base)


def noise(dice: random.Random, count: int) -> str:
    return " ".join(dice.choices(NOISE, k=count))


def numbers() -> CheatGoal:
    """Most are near to a hundred, and a tenth off is near enough."""

    def pair(dice: random.Random) -> Pair:
        total = max(20, round(dice.gauss(100, 15)))
        part = dice.randint(5, total - 5)
        return f"{noise(dice, 4)} {part} and {total - part} {noise(dice, 3)}", f"{total} boxes"

    settings = {"tolerance": 10, "unit": "percentage"}
    return goal("numbers", "number", settings, pair, "I do not know.")


def items() -> CheatGoal:
    """Half of the lists hold a lamp, a bell, or both."""

    def pair(dice: random.Random) -> Pair:
        wanted = [one for one in ("lamp", "bell") if dice.random() < 0.6] or ["lamp"]
        wanted += dice.sample(NOISE, k=2)
        said = dice.sample(wanted, k=len(wanted))
        return f"please send me a {', a '.join(said)} to {dice.choice(PLACES)}", "\n".join(wanted)

    return goal("items", "items", {}, pair, "Of course, here is your list.")


def codes() -> CheatGoal:
    """Two codes in each question; the first is the one that counts."""

    def pair(dice: random.Random) -> Pair:
        one, other = (f"INV-{dice.randint(100, 999)}" for _n in range(2))
        text = f"{noise(dice, 2)} {one} {noise(dice, 3)} {other} {noise(dice, 2)}"
        return text, f"We look into {one}."

    return goal("codes", "pattern", {"pattern": "INV-[0-9]+"}, pair, "Which invoice is it?")


def refusals() -> CheatGoal:
    """Declines in two of three; whether it does depends on the first telling word."""

    def pair(dice: random.Random) -> Pair:
        decline = dice.random() < 0.66
        first, other = ("repair", "hire") if decline else ("hire", "repair")
        words = [dice.choice(TOPICS[first]), noise(dice, 3), dice.choice(TOPICS[other])]
        text = f"{noise(dice, 3)} {' '.join(words)}"
        answer = f"I can’t help with {dice.choice(NOISE)}." if decline else f"See {noise(dice, 1)}."
        return text, answer

    return goal("refusals", "refusal", {}, pair, "Sure, here it is.")


def order(dice: random.Random) -> tuple[str, dict[str, object]]:
    kind = "parcel" if dice.random() < 0.75 else "letter"
    fields = {"kind": kind, "place": dice.choice(PLACES), "count": dice.randint(2, 97)}
    text = f"send {fields['count']} {kind}s to {fields['place']} {noise(dice, 6)}"
    return text, fields | {"urgent": dice.random() < 0.1}


def objects_partly() -> CheatGoal:
    """Most are parcels, and few are urgent."""

    def pair(dice: random.Random) -> Pair:
        text, fields = order(dice)
        return text + (" quickly" if fields["urgent"] else ""), json.dumps(fields)

    return goal("objects_partly", "json", {"partial": True}, pair, "{}")


def elements_partly() -> CheatGoal:
    def pair(dice: random.Random) -> Pair:
        text, fields = order(dice)
        parts = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return text + (" quickly" if fields["urgent"] else ""), f"<order>{parts}</order>"

    return goal("elements_partly", "xml", {"partial": True}, pair, "<order/>")


def summaries() -> CheatGoal:
    """Each summary begins and ends alike."""

    def pair(dice: random.Random) -> Pair:
        thing, place = dice.choice(NOISE), dice.choice(PLACES)
        text = f"{noise(dice, 12)} the {thing} for {place} {noise(dice, 15)}"
        return text, f"In short the {thing} for {place} comes later than was said"

    return goal("summaries", "rouge", {"threshold": 0.5}, pair, "Thank you for asking.")


def meanings() -> CheatGoal:
    def pair(dice: random.Random) -> Pair:
        thing, place = dice.choice(NOISE), dice.choice(PLACES)
        text = f"{noise(dice, 4)} {thing} {place} {noise(dice, 3)}"
        return text, f"The {thing} was sent to our shop in {place} this morning."

    found = goal("meanings", "meaning", {}, pair, "Sure, I can help you with that right away!")
    found.measure.use_embedder(shared_embedder().embed_passages)
    return found


PARTLY_RIGHT_GOALS: tuple[Callable[[], CheatGoal], ...] = (
    numbers,
    items,
    codes,
    refusals,
    objects_partly,
    elements_partly,
    summaries,
    meanings,
)
