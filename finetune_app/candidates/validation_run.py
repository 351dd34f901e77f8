"""Asks a candidate the validation prompts, and stores and judges its answers.

Each request of the page asks a few prompts, so that the page stays responsive and answers are kept
if it is closed half-way.
"""

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.candidates.answer_length import max_new_tokens
from finetune_app.candidates.batch_inference import CandidateAnswer, generate
from finetune_app.candidates.models import Candidate, ValidationAnswer
from finetune_app.candidates.validation_prompts import (
    ValidationPrompt,
    candidate_fingerprint,
    json_digest,
    prompts_of_goal,
    results_of,
)
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Example
from finetune_app.goals.embedding import with_embedder
from finetune_app.goals.measures import Measure, NeedsEmbedder, get_measure
from finetune_app.goals.models import Goal

PROMPTS_PER_REQUEST = 4


def ask_next_prompts(*, goal: Goal, candidate: Candidate) -> bool:
    """Ask the next few prompts and return whether any are left.

    Raises PlainError when one could not be answered; the answers before it are stored.
    """
    prompts = prompts_of_goal(goal)
    left = [one.prompt for one in results_of(goal, candidate, prompts) if one.answer is None]
    if not left:
        return False
    result = generate(
        candidate,
        [list(one.messages) for one in left[:PROMPTS_PER_REQUEST]],
        max_new_tokens=max_new_tokens(max(len(one.wanted) for one in prompts)),
    )
    _store(goal, candidate, left, result.answers)
    if result.error:
        raise PlainError(result.error, status=502, title=_("No answer"))
    return len(left) > len(result.answers)


def _store(
    goal: Goal,
    candidate: Candidate,
    prompts: Sequence[ValidationPrompt],
    answers: Mapping[int, CandidateAnswer],
) -> None:
    fingerprint, judge = candidate_fingerprint(candidate), Judge(goal)
    rows = []
    for index, answer in answers.items():
        passed, why = judge(answer, prompts[index].wanted)
        rows.append(
            ValidationAnswer(
                goal=goal,
                candidate_fingerprint=fingerprint,
                prompt_fingerprint=prompts[index].fingerprint,
                example_id=prompts[index].example_id,
                text=answer.text,
                passed=passed,
                why=why[:200],
                measure_fingerprint=judge.fingerprint,
                finish_reason=answer.finish_reason,
                seconds=answer.seconds,
            )
        )
    examples = Example.objects.filter(dataset__goal=goal)
    with transaction.atomic():
        # Another tab may have stored the same answers a moment ago.
        ValidationAnswer.objects.bulk_create(rows, ignore_conflicts=True)
        # An answer may repeat its prompt, so it is deleted together with the example.
        ValidationAnswer.objects.filter(goal=goal).exclude(
            example_id__in=examples.values("pk")
        ).delete()


def judge_stored_answers(*, goal: Goal) -> None:
    """Judge stored answers again after the goal's measure has changed."""
    judge = Judge(goal)
    answers = ValidationAnswer.objects.filter(goal=goal)
    stale = answers.exclude(measure_fingerprint=judge.fingerprint)
    if not stale.exists():
        return
    wanted = {one.fingerprint: one.wanted for one in prompts_of_goal(goal)}
    rows = list(stale.filter(prompt_fingerprint__in=wanted))
    for row in rows:
        rejection = row.why if row.finish_reason == "refused" else ""
        answer = CandidateAnswer(row.text, row.finish_reason, rejection=rejection)
        row.passed, why = judge(answer, wanted[row.prompt_fingerprint])
        row.why, row.measure_fingerprint = why[:200], judge.fingerprint
    ValidationAnswer.objects.bulk_update(rows, ["passed", "why", "measure_fingerprint"])


class Judge:
    """Applies the goal's measure, as an evaluation does."""

    def __init__(self, goal: Goal) -> None:
        self.measure: Measure | None = None
        if goal.measure:
            self.measure = with_embedder(get_measure(goal.measure, goal.measure_settings), goal)
        self.fingerprint = json_digest([goal.measure, goal.measure_settings])

    def __call__(self, answer: CandidateAnswer, wanted: str) -> tuple[bool | None, str]:
        """Whether the answer is right (None: a person has to decide), and why."""
        if answer.rejection:
            return False, answer.rejection
        if self.measure is None or self.measure.needs_person:
            return None, ""
        try:
            score = self.measure.check(answer.text, wanted)
        except NeedsEmbedder as problem:
            self.fingerprint = ""  # judged again when the page is next seen
            return None, str(problem)
        if answer.finish_reason == "length" and not score.passed:
            return False, _("Cut off. %(why)s") % {"why": score.why}
        return score.passed, score.why
