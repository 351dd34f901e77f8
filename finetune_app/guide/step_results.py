"""What the six steps of some goals have led to so far.

Each kind of result is read when it is first asked for, and then for all goals at once: the bar of
steps asks only for what its goal's method needs, the home page for all, in seven queries.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import TypeVar

from django.db.models import Count, Max

from finetune_app.candidates.models import Candidate
from finetune_app.datasets import status_counts
from finetune_app.goals.models import Goal
from finetune_app.guide import newest_results
from finetune_app.guide.newest_results import NewestEvaluation, NewestTraining
from finetune_app.knowledge.models import Knowledge
from finetune_app.monitoring import retraining
from finetune_app.versions.models import Version

ResultT = TypeVar("ResultT", Candidate, Knowledge, NewestTraining)


class StepResults:
    """By the goal's pk; a goal without a result is missing."""

    def __init__(self, goals: Iterable[Goal]) -> None:
        self._ids = [goal.pk for goal in goals]

    @cached_property
    def examples(self) -> defaultdict[int, status_counts.Answered]:
        return status_counts.begun_and_waiting(self._ids)

    @cached_property
    def versions(self) -> dict[int, Version]:
        """The newest."""
        return {one.goal_id: one.version for one in self._summaries if one.version}

    @cached_property
    def base_models(self) -> dict[int, str]:
        """Names of the chosen ones."""
        return {one.goal_id: one.base_model for one in self._summaries if one.base_model}

    @cached_property
    def live(self) -> set[int]:
        return {one.goal_id for one in self._summaries if one.is_live}

    @cached_property
    def _summaries(self) -> list[newest_results.GoalSummary]:
        return newest_results.goal_summaries(self._ids)

    @cached_property
    def instructions(self) -> dict[int, Candidate]:
        """The newest that a person kept."""
        kept = Candidate.objects.versions().filter(goal__in=self._ids)
        newest = kept.order_by().values("goal").annotate(newest=Max("pk")).values("newest")
        return _by_goal(kept.filter(pk__in=newest).only("goal_id", "created_at"))

    @cached_property
    def knowledge(self) -> dict[int, Knowledge]:
        """Annotated with `document_count`."""
        rows = Knowledge.objects.filter(goal__in=self._ids).select_related("job")
        return _by_goal(rows.annotate(document_count=Count("documents")))

    @cached_property
    def trainings(self) -> dict[int, NewestTraining]:
        """The newest."""
        return _by_goal(self._newest_trainings)

    @cached_property
    def trained(self) -> dict[int, NewestTraining]:
        """The newest with an adapter."""
        return _by_goal(one for one in self._newest_trainings if one.has_adapter)

    @cached_property
    def _newest_trainings(self) -> list[NewestTraining]:
        return newest_results.newest_trainings(self._ids)

    @cached_property
    def evaluations(self) -> dict[int, NewestEvaluation]:
        """The newest."""
        return newest_results.newest_evaluations(self._ids)

    @cached_property
    def new_examples(self) -> dict[int, retraining.NewExamples]:
        """Examples that no version has yet, of live goals; by dataset."""
        return retraining.new_examples_since(
            version for goal_id, version in self.versions.items() if goal_id in self.live
        )


def _by_goal(results: Iterable[ResultT]) -> dict[int, ResultT]:
    """By the goal's pk; the last result of a goal wins."""
    return {one.goal_id: one for one in results}
