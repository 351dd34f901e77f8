"""Which pairs of answers a voter is shown, in which order and on which side; never with names.

Among the pairs of ours and base are a few control pairs: ours beside an answer that needs no model.
They never count. A voter who prefers those says something about the task or the voter.
"""

from itertools import islice, zip_longest
from random import Random
from typing import TypedDict

from django.db.models import Q

from finetune_app.evaluation.models import Evaluation, Vote
from finetune_app.goals.presenters import PresentedAnswer, present_answer

MAX_PAIRS_BY_LINK = 40  # about a quarter of an hour; without the control pairs
PAIRS_PER_CONTROL = 8
MIN_CONTROLS, MAX_CONTROLS = 2, 5
CONTROLS: list[str] = Vote.Control.values

Texts = dict[tuple[str, int], str]  # (side, index of the prompt) -> text


class Pair(TypedDict):
    """Two sides of one prompt: "ours" and "base", or "ours" and a trivial baseline."""

    index: int
    left: str
    right: str


class ShownText(TypedDict):
    shown: PresentedAnswer
    empty: bool


class Ballot(TypedDict):
    """A prompt and two answers, without names."""

    prompt: str
    a: ShownText
    b: ShownText


def control_of(pair: Pair) -> str:
    """The baseline beside ours; empty where the pair counts."""
    return next((side for side in (pair["left"], pair["right"]) if side in CONTROLS), "")


def draw_pairs(evaluation: Evaluation, random: Random, limit: int | None = None) -> list[Pair]:
    """At most `limit` pairs of ours and base, and control pairs among them, in random order.

    Without the prompts that both answered word for word the same: nobody has to choose there.
    """
    texts = _texts(evaluation)
    indexes = different_answers(texts)
    random.shuffle(indexes)
    pairs = [_pair(index, "base", random) for index in indexes[:limit]]
    count = min(max(len(pairs) // PAIRS_PER_CONTROL, MIN_CONTROLS), MAX_CONTROLS, len(pairs))
    pairs += [_pair(index, side, random) for side, index in _controls(texts, random, count)]
    random.shuffle(pairs)
    return pairs


def count_different(evaluation: Evaluation) -> int:
    """How many prompts have two different answers to choose between."""
    return len(different_answers(_texts(evaluation)))


def different_answers(texts: Texts) -> list[int]:
    """The indexes of the prompts that ours and base answered differently."""
    return [
        index
        for side, index in texts
        if side == "ours" and not _same(texts, ("base", index), ("ours", index))
    ]


def make_ballot(evaluation: Evaluation, pair: Pair) -> Ballot:
    """Reads the same rows for every pair, so that not even the time tells a control pair."""
    index = pair["index"]
    texts = _texts(evaluation, index)
    return {
        "prompt": texts["prompt", index],
        "a": _shown(texts.get((pair["left"], index), "")),
        "b": _shown(texts.get((pair["right"], index), "")),
    }


def _shown(text: str) -> ShownText:
    return {"shown": present_answer(text), "empty": not text.strip()}


def _pair(index: int, other: str, random: Random) -> Pair:
    left, right = random.sample(["ours", other], 2)
    return {"index": index, "left": left, "right": right}


def _controls(texts: Texts, random: Random, count: int) -> list[tuple[str, int]]:
    """(baseline, index), the baselines in turn, where ours said something else."""
    found = []
    for baseline in CONTROLS:
        fit = [
            (side, index)
            for (side, index), text in texts.items()
            if side == baseline
            and text.strip()
            and texts.get(("ours", index), "").strip()
            and not _same(texts, (side, index), ("ours", index))
        ]
        random.shuffle(fit)
        found.append(fit)
    in_turn = (one for some in zip_longest(*found) for one in some if one is not None)
    return list(islice(in_turn, count))


def _same(texts: Texts, one: tuple[str, int], other: tuple[str, int]) -> bool:
    return texts.get(one, "").strip() == texts.get(other, "").strip()


def _texts(evaluation: Evaluation, index: int | None = None) -> Texts:
    """The prompts (side "prompt"), the answers and the control answers: of one prompt, or of all.

    Where the question was not scored as an answer (a person decides), the prompt itself repeats it.
    """
    of_prompts = Q() if index is None else Q(index=index)
    prompts = dict(evaluation.comparisons.filter(of_prompts).values_list("index", "prompt"))
    names = {evaluation.base_id: "base", evaluation.ours_id: "ours"}
    answers = evaluation.answers.filter(of_prompts, candidate__in=names)
    trivial = evaluation.trivial_answers.filter(of_prompts, baseline__in=CONTROLS)
    texts: Texts = {}
    for at, prompt in prompts.items():
        texts["prompt", at] = texts[Vote.Control.REPEAT.value, at] = prompt
    for baseline, at, text in trivial.values_list("baseline", "index", "text"):
        texts[baseline, at] = text
    for candidate_id, at, text in answers.values_list("candidate_id", "index", "text"):
        texts[names[candidate_id], at] = text
    return {key: text for key, text in texts.items() if key[1] in prompts}
