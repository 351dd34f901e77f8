"""What the workbench pages show: the draft, its results, hints, and the saved versions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

from django.utils.safestring import SafeString

from finetune_app.candidates import drafts, few_shot, validation_prompts
from finetune_app.candidates.diff import changed_answers, diff_prompts
from finetune_app.candidates.models import (
    Candidate,
    ValidationAnswer,
    WorkbenchDraft,
)
from finetune_app.candidates.validation_prompts import (
    PromptResult,
    ValidationPrompt,
    ValidationScore,
)
from finetune_app.core import charts
from finetune_app.goals.models import Goal
from finetune_app.goals.presenters import PresentedAnswer, present_answer

MAX_VERSIONS = 30


@dataclass(frozen=True)
class VersionRow:
    """A saved version in the list. `host` is empty for a local model."""

    candidate: Candidate
    score: ValidationScore
    host: str
    is_best: bool


@dataclass(frozen=True)
class WriterChoice:
    """A model that can rewrite the instructions."""

    value: str
    name: str
    host: str


class AnswerParts(PresentedAnswer):
    """An answer for components/answer.html."""

    answer: ValidationAnswer


class ResultRow(TypedDict):
    """A validation prompt and the draft's answer (`given`), if it was asked."""

    prompt: str
    wanted: PresentedAnswer
    given: AnswerParts | None


class ChangedRow(TypedDict):
    """A validation prompt that only one of two versions answers correctly."""

    prompt: str
    wanted: PresentedAnswer
    before: AnswerParts
    after: AnswerParts


def draft_context(draft: WorkbenchDraft, text: str, writers: Iterable[Candidate]) -> dict[str, Any]:
    """Context of the workbench; `text` searches the examples that can be shown, `writers` can
    write instructions."""
    goal, candidate = draft.goal, draft.as_candidate()
    prompts = validation_prompts.prompts_of_goal(goal)
    results = validation_prompts.results_of(goal, candidate, prompts)
    score = validation_prompts.score_of(results)
    showable = few_shot.showables(goal, 0 if text else few_shot.SAMPLE)
    found = few_shot.search(showable, text, draft.shots)
    return {
        "draft": draft,
        "fingerprint": validation_prompts.candidate_fingerprint(candidate),
        "results": [_result_row(one) for one in results],
        "score": score,
        "bar": charts.bar(score.right, score.total) if score.total else SafeString(""),
        "hints": drafts.hints_for(candidate, results, showable) if score.is_whole else [],
        "writers": [WriterChoice(writer_value(one), one.model_name, _host(one)) for one in writers],
        "proposal": diff_prompts(draft.instructions.strip(), draft.proposal)
        if draft.proposal
        else None,
        "found": found,
        "q": text,
        "has_showable": bool(found) or showable.any,
        "uses_validation": showable.uses_validation,
        "versions": _version_rows(goal, prompts),
        "host": _host(candidate),
    }


def versions_of(goal: Goal) -> list[Candidate]:
    """The saved versions, the newest first."""
    saved = goal.candidates.versions()
    return list(saved.select_related("base_model", "endpoint").order_by("-revision")[:MAX_VERSIONS])


def comparison_context(goal: Goal, version: Candidate, other: Candidate) -> dict[str, Any]:
    """Two versions, the earlier one first: the changes in prompt, model and answers."""
    is_earlier = bool(other.pk and other.revision < version.revision)
    old, new = (other, version) if is_earlier else (version, other)
    prompts = validation_prompts.prompts_of_goal(goal)
    before, after = (validation_prompts.results_of(goal, one, prompts) for one in (old, new))
    changed: list[ChangedRow] = [
        {
            "prompt": one.prompt.prompt,
            "wanted": present_answer(one.prompt.wanted),
            "before": _answer_parts(one.before, one.prompt),
            "after": _answer_parts(one.after, one.prompt),
        }
        for one in changed_answers(before, after)
    ]
    return {
        "version": version,
        "other": other,
        "old": old,
        "new": new,
        "diff": diff_prompts(old.instructions, new.instructions, old.shots, new.shots),
        "before": validation_prompts.score_of(before),
        "after": validation_prompts.score_of(after),
        "changed": changed,
        "others": [one for one in versions_of(goal) if one.pk != version.pk],
    }


def writer_value(writer: Candidate) -> str:
    if writer.endpoint_id:
        return f"endpoint:{writer.endpoint_id}"
    return f"base:{writer.base_model_id}"


def _result_row(result: PromptResult) -> ResultRow:
    return {
        "prompt": result.prompt.prompt,
        "wanted": present_answer(result.prompt.wanted),
        "given": _answer_parts(result.answer, result.prompt) if result.answer else None,
    }


def _answer_parts(answer: ValidationAnswer, prompt: ValidationPrompt) -> AnswerParts:
    """A wrong answer has its differences marked."""
    wanted = prompt.wanted if answer.passed is False else None
    return {"answer": answer, **present_answer(answer.text, wanted)}


def _version_rows(goal: Goal, prompts: list[ValidationPrompt]) -> list[VersionRow]:
    versions = versions_of(goal)
    scores = validation_prompts.scores_by_candidate(goal, versions, prompts)
    best = max(
        (score.share for score in scores.values() if score.is_whole and score.judged), default=0
    )
    return [
        VersionRow(
            candidate=one,
            score=scores[one.pk],
            host=_host(one),
            is_best=best > 0 and scores[one.pk].is_whole and scores[one.pk].share == best,
        )
        for one in versions
    ]


def _host(candidate: Candidate) -> str:
    """The host of a remote model; empty for a local one."""
    return candidate.endpoint.url.split("/")[2] if candidate.endpoint else ""
