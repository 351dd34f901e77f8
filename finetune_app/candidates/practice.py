"""Practice prompts: the few questions on which instructions are tried, and how they did.

They come from the validation split; test is read by Evaluation alone. Always the same ones, so
that the scores of two versions can be compared, and chosen by hash, so that they lie all over a
file that was sorted.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.candidates.composing import Message
from finetune_app.candidates.models import Candidate, Try
from finetune_app.datasets.models import Example, Split
from finetune_app.datasets.splits import place
from finetune_app.goals.models import Goal

MOST = 12


@dataclass(frozen=True)
class Practice:
    """`row` is the example's id; `messages` are what is asked, `wanted` the answer kept back."""

    row: int
    messages: tuple[Message, ...]
    wanted: str

    @property
    def prompt(self) -> str:
        """What was asked, as people read it; a conversation of several turns whole."""
        turns = [message for message in self.messages if message["role"] != "system"]
        if len(turns) == 1:
            return turns[0]["content"]
        return "\n\n".join(f"{_speaker(turn)}: {turn['content']}" for turn in turns)

    @property
    def fingerprint(self) -> str:
        return digest([list(self.messages), self.wanted])


@dataclass(frozen=True)
class Tried:
    """A practice prompt and what came of it; None while it was not asked."""

    practice: Practice
    answer: Try | None


@dataclass(frozen=True)
class Score:
    """How many of the practice prompts were asked and right. `judged`: a program can tell."""

    right: int
    tried: int
    total: int
    judged: bool

    @property
    def is_whole(self) -> bool:
        return 0 < self.total == self.tried

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else 0.0


def prompts(goal: Goal) -> list[Practice]:
    rows = Example.objects.usable().filter(dataset__goal=goal, split=Split.VALIDATION)
    known = rows.order_by().values_list("pk", "prompt_hash", "dataset__seed")
    order = sorted(known, key=lambda row: (place(row[2], row[1]), row[0]))
    chosen = [pk for pk, _hash, _seed in order[:MOST]]
    found = {row.pk: row for row in rows.filter(pk__in=chosen)}
    return [
        Practice(pk, tuple(found[pk].messages[:-1]), found[pk].messages[-1]["content"])
        for pk in chosen
        if pk in found
    ]


def fingerprint(candidate: Candidate) -> str:
    """Of all that makes a candidate answer as it does, whatever it is called."""
    return digest(
        [
            candidate.base_model_id,
            candidate.endpoint_id,
            candidate.instructions.strip(),
            [[shot["prompt"], shot["answer"]] for shot in candidate.shots],
            candidate.sampling,
            candidate.knowledge_id,
            candidate.knowledge_index,
            candidate.passages,
            candidate.training_id,
            candidate.adapter_sha256,
        ]
    )


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def unseen_by(candidate: Candidate, asked: Sequence[Practice]) -> list[Practice]:
    """Without those that it is shown as examples: it would only have to repeat their answers."""
    shown = {(shot["prompt"], shot["answer"]) for shot in candidate.shots}
    return [one for one in asked if (one.messages[-1]["content"], one.wanted) not in shown]


def results(goal: Goal, candidate: Candidate, asked: Sequence[Practice]) -> list[Tried]:
    """Each practice prompt with what this candidate said to it."""
    asked = unseen_by(candidate, asked)
    tries = Try.objects.of(
        goal, [fingerprint(candidate)], [practice.fingerprint for practice in asked]
    )
    found = {one.question: one for one in tries}
    return [Tried(practice, found.get(practice.fingerprint)) for practice in asked]


def scores(
    goal: Goal, candidates: Iterable[Candidate], asked: Sequence[Practice]
) -> dict[int, Score]:
    """The score of each kept candidate, by its pk, in one query."""
    candidates = list(candidates)
    recipes = {candidate.pk: fingerprint(candidate) for candidate in candidates}
    tries = Try.objects.of(
        goal, list(recipes.values()), [practice.fingerprint for practice in asked]
    )
    found: dict[tuple[str, str], bool | None] = {
        (recipe, question): passed
        for recipe, question, passed in tries.values_list("recipe", "question", "passed")
    }
    scores = {}
    for candidate in candidates:
        its = [(recipes[candidate.pk], one.fingerprint) for one in unseen_by(candidate, asked)]
        scores[candidate.pk] = _score([found[key] for key in its if key in found], len(its))
    return scores


def score_of(tried: Sequence[Tried]) -> Score:
    return _score([one.answer.passed for one in tried if one.answer], len(tried))


def _score(passed: Sequence[bool | None], total: int) -> Score:
    return Score(passed.count(True), len(passed), total, judged=None not in passed)


def _speaker(turn: Message) -> str:
    return str(_("Model") if turn["role"] == "assistant" else _("You"))
