"""The handler of evaluation jobs: the child's spec, its events and its result."""

from typing import Any, cast

from django.conf import settings

from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.core.engine_protocol import NUMBER_FORMATS_FILE
from finetune_app.core.files import local_path
from finetune_app.evaluation import looks, services
from finetune_app.evaluation.job_messages import (
    AnswerEvent,
    EvaluationSpec,
    LatencyEvent,
    TrivialAnswersEvent,
)
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.training.answer_length import max_new_tokens

CHECKS = ("general", "refusals", "recall")  # events, and the columns that hold their result


class EvaluationHandler(JobHandler):
    kind = JobKind(
        name="evaluation",
        runner="worker.evaluation.run",
        progress=(NUMBER_FORMATS_FILE,),
        heavy=True,
    )

    def child_spec(self, job: Job) -> ChildSpec:
        evaluation = _evaluation_of(job)
        participants = evaluation.candidates()
        for candidate in participants:
            candidates.require_adapter(candidate)
        folder = settings.DATA_DIR / "evaluations" / str(evaluation.pk)
        folder.mkdir(parents=True, exist_ok=True)
        answered = evaluation.answers.values_list("candidate_id", "row")
        spec: EvaluationSpec = {
            "version": str(local_path(evaluation.version.stored_name)),
            "test_rows": evaluation.test_rows,
            "measure": {"kind": evaluation.measure, "settings": evaluation.measure_settings},
            "candidates": [candidates.candidate_spec(one) for one in participants],
            "answered": [[candidate, row] for candidate, row in answered],
            "max_new_tokens": max_new_tokens(evaluation.measure, evaluation.version),
            "general": True,
            "learned_from": _learned_from(evaluation),
            "seed": 17,
        }
        return ChildSpec(folder, cast(dict[str, Any], spec))

    def record(self, job: Job, event: Event) -> None:
        """Store answers, what a check found or a latency; an event may arrive twice."""
        if event["event"] == "answer":
            evaluation_id = Evaluation.objects.values_list("pk", flat=True).get(job=job)
            services.store_answer(evaluation_id, cast(AnswerEvent, event))
            return
        evaluation = _evaluation_of(job)
        if event["event"] == "trivial_answers":
            services.store_trivial_answers(evaluation, cast(TrivialAnswersEvent, event))
        if event["event"] in CHECKS and event.get("candidate") == evaluation.ours_id:
            found = {name: value for name, value in event.items() if name != "event"}
            setattr(evaluation, event["event"], found)
            evaluation.save(update_fields=[event["event"]])
        elif event["event"] == "latency":
            latency = cast(LatencyEvent, event)
            evaluation.latency_seconds[str(latency["candidate"])] = latency["seconds"]
            evaluation.save(update_fields=["latency_seconds"])

    def finish(self, job: Job, result: Result) -> None:
        """Freeze the candidates, compare their answers and store the verdict."""
        evaluation = _evaluation_of(job)
        if result.get("stopped"):
            return
        formats = result.get("number_formats") or {}
        evaluation.number_format = formats.get(str(evaluation.base_id), "")
        evaluation.save(update_fields=["number_format"])
        for candidate in evaluation.candidates():
            candidates.freeze(
                Candidate.objects.filter(pk=candidate.pk),
                number_format=formats.get(str(candidate.pk), ""),
            )
        looks.record(evaluation)
        services.store_comparisons(evaluation)
        services.store_verdict(evaluation)


def _learned_from(evaluation: Evaluation) -> str:
    """The file of the version that ours was trained on; "" where nothing was trained."""
    training = evaluation.ours.training
    return str(local_path(training.version.stored_name)) if training else ""


def _evaluation_of(job: Job) -> Evaluation:
    return Evaluation.objects.with_details().get(job=job)
