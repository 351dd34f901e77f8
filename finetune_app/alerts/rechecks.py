"""Repeats the evaluation of the live candidate at an interval, to see whether it is still as good.

Answers are greedy, so a local model gives the same answers unless its files, its documents or the
engine have changed. A remote model may change any day. A repetition of what was tested is no new
look at the test set.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.alerts.models import Recheck, Watch
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, Release
from finetune_app.evaluation import services as evaluations
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.models import State

log = logging.getLogger(__name__)
TOLERANCE_PERCENT = 2  # percentage points worse that still count as "as good"


@dataclass(frozen=True)
class RecheckResult:
    """Passed prompts then and now, of the prompts that both evaluations share."""

    right_then: int
    right_now: int
    prompts: int
    recheck: Recheck

    @property
    def worse_by(self) -> float:
        """Percentage points; 0 if it is not worse."""
        return max(0.0, 100 * (self.right_then - self.right_now) / self.prompts)

    @property
    def as_good(self) -> bool:
        return self.worse_by <= TOLERANCE_PERCENT

    @property
    def sentence(self) -> str:
        figures = {"then": self.right_then, "now": self.right_now, "n": self.prompts}
        if not self.as_good:
            return (
                _("Not as good as when it went live: right on %(now)d of %(n)d, then on %(then)d.")
                % figures
            )
        if self.right_now > self.right_then:
            return (
                _("Better than when it went live: right on %(now)d of %(n)d, then on %(then)d.")
                % figures
            )
        return (
            _("Still as good as when it went live: right on %(now)d of %(n)d, then on %(then)d.")
            % figures
        )


def baseline_of(deployment: Deployment, current: Release | None) -> Evaluation | None:
    """The evaluation that the live candidate was chosen by: the newest that had finished when it
    went live, else the first after that. None if there is none, or if people judged its answers.

    current: the release that is live."""
    if current is None:
        return None
    of_goal = Evaluation.objects.filter(goal=deployment.goal_id)
    evaluations_of = of_goal.with_candidate(current.candidate)
    finished = evaluations_of.succeeded().without_rechecks()
    before = finished.filter(created_at__lte=current.at).order_by("-pk").first()
    found = before or finished.order_by("pk").first()
    return None if found is None or found.needs_person else found


def start(watch: Watch) -> Recheck:
    """Queue the evaluation once more. Raises PlainError (409) if there is none to repeat, or one is
    running."""
    deployment = watch.deployment
    current = deployment.current
    baseline = baseline_of(deployment, current)
    if baseline is None or current is None:
        raise PlainError(
            _(
                "What is live has not been tested yet, so nothing can be compared. Test it in "
                "step 5."
            ),
            title=_("Nothing to compare with"),
            status=409,
        )
    evaluation = evaluations.start(
        goal=deployment.goal,
        version=baseline.version,
        test_rows=baseline.test_rows,
        user=None,
        candidates=_candidates(baseline, current.candidate),
        must_be_new=True,
    )
    return Recheck.objects.create(watch=watch, evaluation=evaluation, baseline=baseline)


def _candidates(baseline: Evaluation, live: Candidate) -> list[Candidate]:
    """The base candidate and the live one. If the base is live itself, the one that the baseline
    compared it with: an evaluation needs two."""
    if live.pk != baseline.base_id:
        return [baseline.base, live]
    return [baseline.base, baseline.ours]


def start_due() -> None:
    """Start the rechecks that are due. One that cannot be started does not keep others waiting."""
    watches = Watch.objects.exclude(recheck_days=None).filter(deployment__paused_at=None)
    for watch in watches.select_related("deployment__goal"):
        try:
            if _is_due(watch):
                start(watch)
        except PlainError:
            continue  # the page says why; the next run tries again
        except Exception:
            log.exception("the recheck of deployment %d was not started", watch.deployment_id)


def _is_due(watch: Watch) -> bool:
    last = watch.rechecks.first()
    release = watch.deployment.current
    since = last.created_at if last else release.at if release else None
    return since is not None and timezone.now() - since >= timedelta(days=watch.recheck_days or 0)


def latest_result(deployment: Deployment, current: Release | None) -> RecheckResult | None:
    """The newest recheck that says something about the live candidate; None if there is none.

    current: the release that is live."""
    found = Recheck.objects.filter(
        watch__deployment=deployment, evaluation__job__state=State.SUCCEEDED
    ).select_related("evaluation", "baseline", "watch")
    for recheck in found[:5]:
        candidate_id = current.candidate_id if current else 0
        then = _passed_by_row(recheck.baseline, candidate_id)
        now = _passed_by_row(recheck.evaluation, candidate_id)
        both = then.keys() & now.keys()
        if both:
            return RecheckResult(
                sum(then[row] for row in both), sum(now[row] for row in both), len(both), recheck
            )
    return None


def _passed_by_row(evaluation: Evaluation, candidate_id: int) -> dict[int, bool]:
    """Whether the answer was right, by test row."""
    answers = evaluation.answers.filter(candidate=candidate_id)
    return {row: bool(passed) for row, passed in answers.values_list("row", "passed")}
