"""Start evaluations, set answers side by side, draw conclusions."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates.models import EFFORT, Candidate, CandidateKind
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Version
from finetune_app.evaluation import held_out
from finetune_app.evaluation.models import Answer, Comparison, Evaluation, TestSetLook
from finetune_app.evaluation.verdict import Outcome, Verdict, judge
from finetune_app.goals.measures import get_measure
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE, Kind, State

SIGNS = {Comparison.Outcome.BETTER: 1, Comparison.Outcome.SAME: 0, Comparison.Outcome.WORSE: -1}
CALLED: dict[str, str] = {
    CandidateKind.PROMPT: "the model with a good prompt",
    CandidateKind.RAG: "the model with your documents",
    CandidateKind.TUNED: "the tuned model",
    CandidateKind.COMBINED: "the tuned model with your documents",
}


def count_looks(goal: Goal, version: Version) -> int:
    """How often results on these test prompts were seen: the more often, the less they prove.

    Test prompts stay test prompts when a dataset grows, so a look counts as long as at least
    half of the prompts there are now were among those seen.
    """
    looks = [set(rows) for rows in goal.looks.values_list("rows", flat=True)]
    now = {prompt.row for prompt in held_out.read_test_prompts(version)} if looks else set()
    return sum(2 * len(seen & now) >= len(now) for seen in looks)


def record_look(evaluation: Evaluation) -> None:
    """The results are there to be seen now. Safe to repeat."""
    seen = [prompt.row for prompt in held_out.read_test_prompts(evaluation.version)]
    _look, new = TestSetLook.objects.get_or_create(
        evaluation=evaluation, defaults={"goal": evaluation.goal, "rows": seen}
    )
    if new:
        evaluation.looks = count_looks(evaluation.goal, evaluation.version)
        evaluation.save(update_fields=["looks"])


@transaction.atomic
def start(
    *, goal: Goal, version: Version, candidates: Sequence[Candidate], user: User | None
) -> Evaluation:
    """Queue a test of these candidates on the version's test split: first the base that all are
    held against, then the others. The verdict is about the one that took the most effort.

    A second click returns the test that is going already. Raise PlainError when there is nobody
    to hold against the base, or no test prompt.
    """
    goal = Goal.objects.lock(goal.pk)
    if len(candidates) < 2:
        raise PlainError(
            _("There is nothing yet to compare the base model with."),
            title=_("Nothing to test yet"),
        )
    if not version.counts.get("test"):
        raise PlainError(
            _("This version has no test prompts. Keep some examples back and freeze again."),
            title=_("Nothing to test it on"),
        )
    going = goal.evaluations.filter(job__state__in=ACTIVE).first()
    if going:
        return going
    base, *others = candidates
    ours = max(others, key=lambda one: (not one.is_remote, EFFORT[one.kind]))
    job = jobs.create(team=goal.team, kind=Kind.EVALUATION, spec={}, title=_title(ours))
    evaluation = Evaluation.objects.create(
        goal=goal,
        version=version,
        job=job,
        base=base,
        ours=ours,
        measure=goal.measure,
        measure_settings=goal.measure_settings,
        looks=count_looks(goal, version) + 1,
        started_by=user,
        general={} if ours.training_id else _nothing_changed(),
    )
    evaluation.others.set([one for one in others if one != ours])
    return evaluation


def _title(ours: Candidate) -> str:
    if ours.training:
        return _("Test of training %(n)d") % {"n": ours.training.number}
    return _("Test of “%(name)s”") % {"name": ours.name}


def _nothing_changed() -> dict[str, str]:
    """In place of the general check, where no adapter was trained."""
    return {
        "level": "unchanged",
        "sentence": _("Nothing in the model itself was changed, so it has forgotten nothing."),
    }


def already_tested(
    goal: Goal, version: Version, candidates: Sequence[Candidate]
) -> Evaluation | None:
    """The newest finished test of exactly these candidates, by the goal's measure of today."""
    same = goal.evaluations.filter(
        version=version,
        base=candidates[0],
        measure=goal.measure,
        measure_settings=goal.measure_settings,
        job__state=State.SUCCEEDED,
    )
    wanted = {one.pk for one in candidates}
    return next(
        (found for found in same if {one.pk for one in participants(found)} == wanted), None
    )


def participants(evaluation: Evaluation) -> list[Candidate]:
    """All that take part: the base, then by the effort they took."""
    others = [
        *evaluation.others.select_related("base_model", "endpoint", "training", "knowledge"),
        evaluation.ours,
    ]
    return [evaluation.base, *sorted(others, key=lambda one: (EFFORT[one.kind], one.pk))]


def prompt_baseline_of(evaluation: Evaluation) -> Candidate | None:
    """The same model with a good prompt, where it takes part beside what took more effort."""
    if evaluation.ours.kind == CandidateKind.PROMPT:
        return None
    return evaluation.others.filter(
        kind=CandidateKind.PROMPT, base_model=evaluation.base.base_model_id
    ).first()


def go_on(*, evaluation: Evaluation) -> None:
    """Answer what is still unanswered."""
    if evaluation.job.state not in CAN_CONTINUE:
        raise PlainError(_("This evaluation is not stopped, so there is nothing to continue."))
    jobs.ask_continue(evaluation.job)


def stop(*, evaluation: Evaluation) -> None:
    jobs.ask_stop(evaluation.job)


def delete(*, evaluation: Evaluation) -> None:
    evaluation.delete()


def by_choice(evaluation: Evaluation) -> bool:
    """Whether a person decides."""
    return get_measure(evaluation.measure, evaluation.measure_settings).needs_person


def store_comparisons(evaluation: Evaluation) -> None:
    """Set base and ours side by side, prompt by prompt. Safe to repeat."""
    answers = answers_of(evaluation)
    measure = get_measure(evaluation.measure, evaluation.measure_settings)
    for prompt in held_out.read_test_prompts(evaluation.version):
        base = answers.get((evaluation.base_id, prompt.index))
        ours = answers.get((evaluation.ours_id, prompt.index))
        if base is None or ours is None:
            continue
        outcome = Comparison.Outcome.OPEN
        if not measure.needs_person:
            sign = outcome_of(base, ours, graded=measure.graded).sign
            outcome = next(word for word, value in SIGNS.items() if value == sign)
        Comparison.objects.update_or_create(
            evaluation=evaluation,
            index=prompt.index,
            defaults={"prompt": prompt.prompt, "wanted": prompt.wanted}
            | ({} if measure.needs_person else {"outcome": outcome}),
        )


def outcome_of(first: Answer, second: Answer, *, graded: bool) -> Outcome:
    if graded:
        return Outcome.of_scores(first.score or 0.0, second.score or 0.0)
    return Outcome.of_passes(bool(first.passed), bool(second.passed))


def conclude(evaluation: Evaluation) -> Verdict | None:
    """Draw the verdict from what there is and store it; None while a person must still choose."""
    rows = list(evaluation.comparisons.exclude(outcome=Comparison.Outcome.OPEN))
    if not rows:
        return None
    common = {
        "general_level": evaluation.general.get("level"),
        "looks": evaluation.looks,
        "ours": CALLED.get(evaluation.ours.kind, f"“{evaluation.ours.name}”"),
    }
    if by_choice(evaluation):
        chosen = [Outcome(SIGNS[Comparison.Outcome(row.outcome)]) for row in rows]
        verdict = judge(chosen, voted=True, **common)
    else:
        verdict = _by_measure(evaluation, [row.index for row in rows], common)
    evaluation.verdict = asdict(verdict)
    evaluation.save(update_fields=["verdict"])
    return verdict


def _by_measure(evaluation: Evaluation, indexes: list[int], common: dict[str, Any]) -> Verdict:
    answers = answers_of(evaluation)
    graded = get_measure(evaluation.measure, evaluation.measure_settings).graded
    prompted = prompt_baseline_of(evaluation)
    ours = evaluation.ours_id

    def held_against(first: int) -> list[Outcome]:
        """Without the prompts that only the first could not be asked: nobody won those."""
        both = [(answers.get((first, i)), answers.get((ours, i))) for i in indexes]
        return [
            outcome_of(a, b, graded=graded)
            for a, b in both
            if a is not None and b is not None and (b.refused or not a.refused)
        ]

    return judge(
        held_against(evaluation.base_id),
        prompt_result=held_against(prompted.pk) if prompted else None,
        wrong=None if graded else sum(not answers[ours, index].passed for index in indexes),
        unasked=sum(
            answer.refused
            for (of, _index), answer in answers.items()
            if prompted and of == prompted.pk
        ),
        **common,
    )


def answers_of(evaluation: Evaluation) -> dict[tuple[int, int], Answer]:
    """By candidate and place."""
    return {(answer.candidate_id, answer.index): answer for answer in evaluation.answers.all()}


def answer_columns(result: dict[str, Any]) -> dict[str, Any]:
    """An "answer" event as the columns of an Answer."""
    return {
        "row": result["row"],
        "text": result.get("text", ""),
        "passed": result.get("passed"),
        "score": result.get("score"),
        "why": (result.get("why") or "")[:200],
        "tokens": result.get("tokens") or 0,
        "seconds": result.get("seconds") or 0.0,
        "prompt_tokens": result.get("prompt_tokens") or 0,
        "passages": result.get("passages") or [],
        "refused": result.get("finish_reason") == "refused",
    }
