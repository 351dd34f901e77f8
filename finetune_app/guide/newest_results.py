"""The newest version, training and evaluation of goals: a few columns of each, for the bar of steps
that every page of a goal shows. In SQL: written by Django, the statements were a fifth of a page's
time (docs/decisions/0092-the-bar-of-steps-in-sql.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_app.core.rows import rows
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.verdict.types import StoredVerdict
from finetune_app.jobs.models import Job
from finetune_app.versions.models import Version

# What a goal has one of at most: a newest version, a base model, a deployment.
SUMMARIES = """
    SELECT version.id, version.number, version.counts, version.dataset_id, version.created_at,
        goal.id AS of_goal, model.name AS base_model,
        deployment.id IS NOT NULL AND deployment.paused_at IS NULL AS is_live
    FROM goals_goal goal
    LEFT JOIN datasets_dataset dataset ON dataset.goal_id = goal.id
    LEFT JOIN versions_version version ON version.id = (
        SELECT MAX(version.id) FROM versions_version version
        WHERE version.dataset_id = dataset.id
    )
    LEFT JOIN basemodels_basemodelchoice choice ON choice.goal_id = goal.id
    LEFT JOIN basemodels_basemodel model ON model.id = choice.base_model_id
    LEFT JOIN deployment_deployment deployment ON deployment.goal_id = goal.id
    WHERE goal.id IN ({keys})
"""
# Of each goal the newest that has an adapter and the newest that has none, oldest first.
TRAININGS = """
    SELECT job.id, job.state, job.done, job.total, job.message, job.created_at, job.ended_at,
        training.id AS of_training, training.goal_id AS of_goal,
        training.adapter_sha256 <> '' AS has_adapter, version.number AS of_version
    FROM training_training training
    JOIN jobs_job job ON job.id = training.job_id
    JOIN versions_version version ON version.id = training.version_id
    WHERE training.id IN (
        SELECT MAX(training.id) FROM training_training training
        JOIN jobs_job job ON job.id = training.job_id
        WHERE training.goal_id IN ({keys}) AND job.state <> 'cancelled'
        GROUP BY training.goal_id, CASE WHEN training.adapter_sha256 = '' THEN 0 ELSE 1 END
    )
    ORDER BY training.id
"""
# Rechecks left out, as by EvaluationQuerySet.without_rechecks.
EVALUATIONS = """
    SELECT evaluation.id, evaluation.goal_id, evaluation.created_at, evaluation.verdict,
        ours.training_id AS of_training, job.state AS job_state, job.message AS job_message
    FROM evaluation_evaluation evaluation
    JOIN jobs_job job ON job.id = evaluation.job_id
    JOIN candidates_candidate ours ON ours.id = evaluation.ours_id
    WHERE evaluation.id IN (
        SELECT MAX(evaluation.id) FROM evaluation_evaluation evaluation
        JOIN jobs_job job ON job.id = evaluation.job_id
        WHERE evaluation.goal_id IN ({keys}) AND job.state <> 'cancelled' AND NOT EXISTS (
            SELECT 1 FROM alerts_recheck recheck WHERE recheck.evaluation_id = evaluation.id
        )
        GROUP BY evaluation.goal_id
    )
"""


@dataclass(frozen=True)
class NewestTraining:
    """job: its state, progress, message and times. version: the number of what it learned from."""

    pk: int
    goal_id: int
    job: Job
    has_adapter: bool
    version: int


@dataclass(frozen=True)
class NewestEvaluation:
    """job: its state and message. training_id: of what it tested, if that is a tuned model."""

    pk: int
    goal_id: int
    job: Job
    created_at: datetime
    verdict: StoredVerdict
    training_id: int | None


@dataclass(frozen=True)
class GoalSummary:
    """version: the newest; `longest` and the like are left out. base_model: its name. is_live:
    whether a deployment answers."""

    goal_id: int
    version: Version | None
    base_model: str | None
    is_live: bool


def goal_summaries(goals: Sequence[int]) -> list[GoalSummary]:
    return [
        GoalSummary(one.of_goal, None if one.pk is None else one, one.base_model, bool(one.is_live))
        for one in rows(Version, SUMMARIES, goals)
    ]


def newest_trainings(goals: Sequence[int]) -> list[NewestTraining]:
    """Of each goal the newest with an adapter and the newest without one, oldest first."""
    return [
        NewestTraining(job.of_training, job.of_goal, job, bool(job.has_adapter), job.of_version)
        for job in rows(Job, TRAININGS, goals)
    ]


def newest_evaluations(goals: Sequence[int]) -> dict[int, NewestEvaluation]:
    return {
        one.goal_id: NewestEvaluation(
            one.pk,
            one.goal_id,
            Job(state=one.job_state, message=one.job_message),
            one.created_at,
            one.verdict,
            one.of_training,
        )
        for one in rows(Evaluation, EVALUATIONS, goals)
    }
