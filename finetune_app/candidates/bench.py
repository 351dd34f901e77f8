"""What the workbench shows: the draft, how it does, what to mend, the kept versions."""

from typing import Any

from finetune_app.candidates import drafts, practice, shots
from finetune_app.candidates.differing import difference, outcomes
from finetune_app.candidates.models import Candidate, CandidateKind, WorkbenchDraft
from finetune_app.candidates.practice import Score, Tried
from finetune_app.core import charts
from finetune_app.goals.models import Goal
from finetune_app.goals.presenters import present_answer

VERSIONS = 30


def context(draft: WorkbenchDraft, text: str) -> dict[str, Any]:
    goal, candidate = draft.goal, draft.as_candidate()
    asked = practice.prompts(goal)
    tried = practice.results(goal, candidate, asked)
    score = practice.score_of(tried)
    kept = versions(goal)
    return {
        "draft": draft,
        "candidate": candidate,
        "recipe": practice.fingerprint(candidate),
        "tried": [_row(one) for one in tried],
        "score": score,
        "bar": charts.bar(score.right, score.total) if score.total else "",
        "hints": drafts.hints_for(draft, tried) if score.is_whole else [],
        "writers": [
            {"value": writer_value(one), "name": one.model_name, "host": _host(one)}
            for one in drafts.capable(goal)
        ],
        "proposal": difference(draft.instructions.strip(), draft.proposal)
        if draft.proposal
        else None,
        "found": shots.search(goal, text, draft.shots),
        "q": text,
        "can_show": shots.can_show(goal),
        "only_practice": shots.only_practice(goal),
        "versions": _listed(goal, kept, asked),
        "host": _host(candidate),
    }


def versions(goal: Goal) -> list[Candidate]:
    """The kept ones, the newest first."""
    kept = goal.candidates.filter(kind=CandidateKind.PROMPT, saved=True)
    return list(kept.select_related("base_model", "endpoint").order_by("-revision")[:VERSIONS])


def beside(goal: Goal, kept: Candidate, other: Candidate) -> dict[str, Any]:
    """Two versions, the earlier first: what changed in words, shots, model, and in the answers."""
    old, new = (other, kept) if other.pk and other.revision < kept.revision else (kept, other)
    asked = practice.prompts(goal)
    before, after = (practice.results(goal, one, asked) for one in (old, new))
    return {
        "kept": kept,
        "other": other,
        "old": old,
        "new": new,
        "difference": difference(old.instructions, new.instructions, old.shots, new.shots),
        "before": practice.score_of(before),
        "after": practice.score_of(after),
        "changed": [
            {
                "prompt": one["practice"].prompt,
                "wanted": present_answer(one["practice"].wanted),
                "before": _said(one["before"], one["practice"].wanted),
                "after": _said(one["after"], one["practice"].wanted),
            }
            for one in outcomes(before, after)
        ],
        "others": [one for one in versions(goal) if one.pk != kept.pk],
    }


def writer_value(writer: Candidate) -> str:
    if writer.endpoint_id:
        return f"endpoint:{writer.endpoint_id}"
    return f"base:{writer.base_model_id}"


def _row(one: Tried) -> dict[str, Any]:
    wanted = one.practice.wanted
    return {
        "prompt": one.practice.prompt,
        "wanted": present_answer(wanted),
        "said": _said(one.answer, wanted) if one.answer else None,
    }


def _said(answer: Any, wanted: str) -> dict[str, Any]:
    mark = wanted if answer.passed is False else None
    return {"answer": answer, **present_answer(answer.text, mark)}


def _listed(
    goal: Goal, kept: list[Candidate], asked: list[practice.Practice]
) -> list[dict[str, Any]]:
    found: dict[int, Score] = practice.scores(goal, kept, asked)
    best = max(
        (score.share for score in found.values() if score.is_whole and score.judged), default=0
    )
    return [
        {
            "kept": one,
            "score": found[one.pk],
            "host": _host(one),
            "best": best and found[one.pk].is_whole and found[one.pk].share == best,
        }
        for one in kept
    ]


def _host(candidate: Candidate) -> str:
    """Where it answers, when that is not here."""
    return candidate.endpoint.url.split("/")[2] if candidate.endpoint else ""
