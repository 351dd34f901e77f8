"""What the six steps of some goals have led to so far.

Each kind of result is read when it is first asked for, and then for all goals at once: the bar of
steps asks only for what its goal's method needs, the home page for all, in eight queries.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from django.db.models import Count, F, Max, Model, Q, QuerySet

from finetune_app.candidates.models import Candidate
from finetune_app.datasets import status_counts
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.knowledge.models import Knowledge
from finetune_app.monitoring import retraining
from finetune_app.training.models import Training
from finetune_app.versions.models import Version

ModelT = TypeVar("ModelT", bound=Model)


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
        rows = Version.objects.filter(dataset__goal__in=self._ids)
        newest = rows.filter(_newest(rows, "dataset"))
        return _by_goal(newest.annotate(of_goal=F("dataset__goal")), "of_goal")

    @cached_property
    def base_models(self) -> dict[int, str]:
        """Names of the chosen ones."""
        found = self._models_and_deployments
        return {pk: name for pk, name, _since, _paused in found if name}

    @cached_property
    def live(self) -> set[int]:
        found = self._models_and_deployments
        return {pk for pk, _name, since, paused in found if since and not paused}

    @cached_property
    def _models_and_deployments(
        self,
    ) -> list[tuple[int, str | None, datetime | None, datetime | None]]:
        """What each goal has one of at most, in one query: the base model's name; since when it has
        a deployment, and since when that is paused."""
        rows = Goal.objects.filter(pk__in=self._ids).order_by()
        return list(
            rows.values_list(
                "pk",
                "base_choice__base_model__name",
                "deployment__created_at",
                "deployment__paused_at",
            )
        )

    @cached_property
    def instructions(self) -> dict[int, Candidate]:
        """The newest that a person kept."""
        kept = Candidate.objects.versions().filter(goal__in=self._ids)
        return _by_goal(kept.filter(_newest(kept)).only("goal_id", "created_at"))

    @cached_property
    def knowledge(self) -> dict[int, Knowledge]:
        """Annotated with `document_count`."""
        rows = Knowledge.objects.filter(goal__in=self._ids).select_related("job")
        return _by_goal(rows.annotate(document_count=Count("documents")))

    @cached_property
    def trainings(self) -> dict[int, Training]:
        """The newest."""
        return _by_goal(self._newest_trainings)

    @cached_property
    def trained(self) -> dict[int, Training]:
        """The newest with an adapter."""
        return _by_goal(one for one in self._newest_trainings if one.adapter_sha256)

    @cached_property
    def _newest_trainings(self) -> list[Training]:
        """The newest of each goal and the newest that has an adapter, oldest first."""
        rows = Training.objects.filter(goal__in=self._ids).exclude(job__state=State.CANCELLED)
        some = rows.filter(_newest(rows) | _newest(rows.with_adapter()))
        return list(
            some.select_related("job", "version")
            .defer("spec", "warnings", "job__spec", "job__result", "job__detail")
            .order_by("pk")
        )

    @cached_property
    def evaluations(self) -> dict[int, Evaluation]:
        """The newest."""
        rows = Evaluation.objects.filter(goal__in=self._ids).exclude(job__state=State.CANCELLED)
        return _by_goal(
            rows.filter(_newest(rows))
            .select_related("job", "ours")
            .defer("general", "refusals", "recall", "job__spec", "job__result", "job__detail")
        )

    @cached_property
    def new_examples(self) -> dict[int, retraining.NewExamples]:
        """Examples that no version has yet, of live goals; by dataset."""
        return retraining.new_examples_since(
            version for goal_id, version in self.versions.items() if goal_id in self.live
        )


def _newest(rows: QuerySet[ModelT], group: str = "goal") -> Q:
    """The condition that a row is the newest of its group."""
    newest = rows.order_by().values(group).annotate(newest=Max("pk")).values("newest")
    return Q(pk__in=newest)


def _by_goal(rows: Iterable[ModelT], attribute: str = "goal_id") -> dict[int, ModelT]:
    """By the goal's pk; the last row of a goal wins."""
    return {getattr(row, attribute): row for row in rows}
