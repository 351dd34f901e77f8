"""Makes a goal large: rows, trainings with their evaluations, logged requests, and other goals.

`grow` adds to a goal that has been through all six steps, such as that of tests/factories.py. Used
by benchmarks/pages.py and tests/load/test_pages.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

POINTS = 300  # of a training's curve
SAMPLES = 12  # answers of its two validation prompts
TEST_PROMPTS = 300  # of an evaluation
OTHER_ROWS = 60  # of each other goal


@dataclass(frozen=True)
class Size:
    """How much is added."""

    rows: int
    trainings: int
    requests: int
    goals: int  # of the same team


def grow(goal: Any, size: Size) -> None:
    """Adds all of it; the month of requests is added up by the hour, as the clock does."""
    from benchmarks import monitoring

    owner = goal.created_by
    other = goal.team.members.exclude(pk=owner.pk).first() or owner
    version = fill_rows(goal.dataset, size.rows, owner, other)
    for _n in range(size.trainings):
        train_and_evaluate(goal, version, owner)
    live = goal.deployment
    monitoring.fill_log(live, list(live.releases.order_by("number")), keys_of(live), size.requests)
    add_up_again()
    for n in range(size.goals):
        other_goal(goal, n, owner)
    gather_statistics()


def gather_statistics() -> None:
    """As PostgreSQL does by itself a minute after so much was written."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def fill_rows(dataset: Any, rows: int, owner: Any, other: Any) -> Any:
    """Rows and their check; the version frozen with them."""
    from benchmarks import table
    from finetune_app.checks import services as checks
    from finetune_app.versions.services import freeze

    table.fill_dataset(dataset, rows, owner, other)
    checks.run_checks(dataset)
    dataset.findings.filter(severity="error").update(severity="warning")
    dataset.refresh_from_db()
    checks.MAX_ROWS_IN_REQUEST = 0  # so that they are not checked again
    version, _is_new = freeze(dataset=dataset, by=owner)
    return version


def keys_of(live: Any) -> list[Any]:
    from finetune_app.api_keys.models import ApiKey

    made = [
        ApiKey(team=live.team, name=f"key {n}", prefix=f"p{n}", ending="x", digest=f"large {n}")
        for n in range(4)
    ]
    return ApiKey.objects.bulk_create(made)


def add_up_again() -> None:
    """From the first request on: the hours of the month may have been passed as empty."""
    from benchmarks import monitoring
    from finetune_app.request_log.models import HourlyAnswers, HourlyUsage, RollupCursor

    for model in (HourlyAnswers, HourlyUsage, RollupCursor):
        model.objects.all().delete()
    monitoring.add_up()


# ---- Trainings ----


def train_and_evaluate(goal: Any, version: Any, by: Any) -> None:
    """The next training of the goal, its curve, its candidate and its evaluation."""
    from finetune_app.training.models import Point, SampleAnswer, Training
    from tests.factories_live import job

    first = goal.trainings.earliest("pk")
    goal.last_training += 1
    goal.save(update_fields=["last_training"])
    training = Training.objects.create(
        goal=goal,
        number=goal.last_training,
        version=version,
        base_model=first.base_model,
        job=job(goal.team, "training"),
        spec=first.spec,
        stored_in=first.folder,  # the files of the first serve them all
        adapter_sha256="2" * 64,
        started_by=by,
    )
    Point.objects.bulk_create(
        Point(training=training, step=step, loss=2 / step, validation_loss=2.1 - step / POINTS)
        for step in range(1, POINTS + 1)
    )
    SampleAnswer.objects.bulk_create(
        SampleAnswer(
            training=training,
            step=25 * step,
            index=index,
            prompt="Is it ready?",
            wanted="repair_status",
            answer="repair_status",
            passed=True,
        )
        for step in range(1, SAMPLES // 2 + 1)
        for index in range(2)
    )
    evaluate(training, version, by)


def evaluate(training: Any, version: Any, by: Any) -> None:
    """Base and tuned on the test prompts; the tuned model is right where the base model is not in
    half of them."""
    from django.utils import timezone

    from finetune_app.candidates.models import Candidate, CandidateKind
    from finetune_app.evaluation.models import Answer, Comparison, Evaluation
    from finetune_app.evaluation.services import store_verdict
    from tests.factories_live import job

    goal = training.goal
    base = goal.candidates.filter(kind=CandidateKind.BASE).earliest("pk")
    tuned = Candidate.objects.create(
        goal=goal,
        kind=CandidateKind.TUNED,
        name="Tuned",
        base_model=training.base_model,
        training=training,
        frozen_at=timezone.now(),
    )
    evaluation = Evaluation.objects.create(
        goal=goal,
        version=version,
        base=base,
        ours=tuned,
        measure=goal.measure,
        job=job(goal.team, "evaluation"),
        started_by=by,
        general={"level": "green", "sentence": "It writes everyday English as before."},
    )
    Answer.objects.bulk_create(answers(evaluation))
    Comparison.objects.bulk_create(
        Comparison(
            evaluation=evaluation,
            index=index,
            prompt=f"Is my bike number {index} ready?",
            wanted="repair_status",
            outcome=Comparison.Outcome.BETTER if index % 2 else Comparison.Outcome.SAME,
        )
        for index in range(TEST_PROMPTS)
    )
    store_verdict(evaluation)


def answers(evaluation: Any) -> Iterator[Any]:
    from finetune_app.evaluation.models import Answer

    for index in range(TEST_PROMPTS):
        for candidate in (evaluation.base, evaluation.ours):
            passed = candidate == evaluation.ours and index % 2 == 1
            yield Answer(
                evaluation=evaluation,
                candidate=candidate,
                index=index,
                row=index,
                text="repair_status" if passed else "I see",
                passed=passed,
                score=float(passed),
            )


# ---- Other goals ----


def other_goal(goal: Any, n: int, by: Any) -> None:
    """A goal of the same team with rows, a version and a training."""
    from finetune_app.datasets.models import Dataset, Example
    from finetune_app.goals.models import Goal
    from finetune_app.training.models import Training
    from finetune_app.versions.models import Version
    from tests.factories_live import job

    made = Goal.objects.create(
        team=goal.team, name=f"Goal {n}", description="Sort each email.", created_by=by
    )
    dataset = Dataset.objects.create(goal=made, last_number=OTHER_ROWS)
    Example.objects.bulk_create(
        Example(
            dataset=dataset,
            number=number,
            prompt=f"Email {number}: is my bike ready?",
            answer="repair_status",
            prompt_hash=str(number),
            messages=[
                {"role": "user", "content": f"Email {number}: is my bike ready?"},
                {"role": "assistant", "content": "repair_status"},
            ],
            split=("train", "train", "train", "validation", "test")[number % 5],
        )
        for number in range(1, OTHER_ROWS + 1)
    )
    version = Version.objects.create(
        dataset=dataset,
        number=1,
        sha256="0" * 64,
        counts={"train": 36, "validation": 12, "test": 12},
    )
    first = goal.trainings.earliest("pk")
    Training.objects.create(
        goal=made,
        number=1,
        version=version,
        base_model=first.base_model,
        job=job(goal.team, "training"),
        spec=first.spec,
        stored_in=first.folder,
        adapter_sha256="2" * 64,
        started_by=by,
    )
