"""The few validation prompts that the workbench asks, and the results of a candidate on them.

They come from the validation split: only an evaluation reads the test split. They are chosen by
hash, so that they stay the same between versions and do not all come from one part of the file.
On pages they are called practice prompts.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.candidates.models import Candidate, ValidationAnswer
from finetune_app.core.chat_messages import Message
from finetune_app.core.thinking import NO
from finetune_app.datasets.models import Example, Split
from finetune_app.goals.models import Goal

MAX_PROMPTS = 12


@dataclass(frozen=True)
class ValidationPrompt:
    """An example of the validation split: what is asked, and the expected answer."""

    example_id: int
    messages: tuple[Message, ...]
    wanted: str

    @property
    def prompt(self) -> str:
        """The messages as one text for the page, without a system message."""
        turns = [message for message in self.messages if message["role"] != "system"]
        if len(turns) == 1:
            return turns[0]["content"]
        return "\n\n".join(f"{_role_name(turn)}: {turn['content']}" for turn in turns)

    @property
    def fingerprint(self) -> str:
        return json_digest([list(self.messages), self.wanted])


@dataclass(frozen=True)
class PromptResult:
    """A validation prompt and a candidate's answer; None when it has not been asked yet."""

    prompt: ValidationPrompt
    answer: ValidationAnswer | None


@dataclass(frozen=True)
class ValidationScore:
    """How many of `total` prompts were asked (`tried`) and answered correctly (`right`).

    judged: the goal's measure decides without a person.
    """

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


def prompts_of_goal(goal: Goal) -> list[ValidationPrompt]:
    """Without rows that have tools: instructions alone are tried here."""
    usable = Example.objects.usable().of_goal(goal.pk)
    rows = usable.filter(split=Split.VALIDATION, tools=[])
    return [
        ValidationPrompt(row.pk, tuple(row.messages[:-1]), row.messages[-1]["content"])
        for row in rows.order_by("prompt_hash", "pk")[:MAX_PROMPTS]
    ]


def candidate_fingerprint(candidate: Candidate) -> str:
    """A hash of everything that decides how a candidate answers; its name is not part of it."""
    return json_digest(
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
            # Only of one that thinks, so that answers stored by earlier releases still apply.
            *([candidate.thinking] if candidate.thinking != NO else []),
        ]
    )


def json_digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def without_shots(
    candidate: Candidate, prompts: Sequence[ValidationPrompt]
) -> list[ValidationPrompt]:
    """Leave out prompts whose answer the candidate is shown as a few-shot example."""
    shown = {(shot["prompt"], shot["answer"]) for shot in candidate.shots}
    return [one for one in prompts if (one.messages[-1]["content"], one.wanted) not in shown]


def results_of(
    goal: Goal, candidate: Candidate, prompts: Sequence[ValidationPrompt]
) -> list[PromptResult]:
    prompts = without_shots(candidate, prompts)
    answers = ValidationAnswer.objects.to_prompts(
        goal, [candidate_fingerprint(candidate)], [one.fingerprint for one in prompts]
    )
    found = {answer.prompt_fingerprint: answer for answer in answers}
    return [PromptResult(one, found.get(one.fingerprint)) for one in prompts]


def scores_by_candidate(
    goal: Goal, candidates: Iterable[Candidate], prompts: Sequence[ValidationPrompt]
) -> dict[int, ValidationScore]:
    """The score of each saved candidate, by its pk, in one query."""
    candidates = list(candidates)
    hashes = {candidate.pk: candidate_fingerprint(candidate) for candidate in candidates}
    answers = ValidationAnswer.objects.to_prompts(
        goal, list(hashes.values()), [one.fingerprint for one in prompts]
    )
    found: dict[tuple[str, str], bool | None] = {
        (candidate, prompt): passed
        for candidate, prompt, passed in answers.values_list(
            "candidate_fingerprint", "prompt_fingerprint", "passed"
        )
    }
    scores = {}
    for candidate in candidates:
        asked = without_shots(candidate, prompts)
        keys = [(hashes[candidate.pk], one.fingerprint) for one in asked]
        scores[candidate.pk] = _score([found[key] for key in keys if key in found], len(keys))
    return scores


def score_of(results: Sequence[PromptResult]) -> ValidationScore:
    return _score([one.answer.passed for one in results if one.answer], len(results))


def _score(passed: Sequence[bool | None], total: int) -> ValidationScore:
    return ValidationScore(passed.count(True), len(passed), total, judged=None not in passed)


def _role_name(turn: Message) -> str:
    return str(_("Model") if turn["role"] == "assistant" else _("You"))
