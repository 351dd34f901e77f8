"""Job handler of an index job: what the worker gets, and what becomes of its result."""

from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.db import transaction

from finetune_app.core.errors import PlainError
from finetune_app.core.files import delete_folder, local_folder, publish_folder
from finetune_app.datasets.models import Example, Split
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.schemas import IndexResult, IndexSpec, PracticeQuestion

MAX_QUESTIONS = 200


class IndexHandler(JobHandler):
    kind = JobKind(name="index", runner="worker.knowledge.run")

    def child_spec(self, job: Job) -> ChildSpec:
        """The documents as they are when the job starts, not when it was queued. Those of a rebuilt
        index are the ones that were read before."""
        knowledge = Knowledge.objects.select_related("goal").filter(job=job).first()
        if knowledge is None:  # replaced by another job
            raise PlainError("The documents changed meanwhile.")
        documents = knowledge.documents.readable()
        if job.spec.get("rebuilt"):
            documents = documents.exclude(pk__in=knowledge.documents.waiting())
        spec: IndexSpec = {
            "documents": [
                {"id": one.pk, "name": one.name, "folder": str(local_folder(one.folder))}
                for one in documents
            ],
            "questions": _practice_questions(knowledge),
        }
        return ChildSpec(Path(settings.DATA_DIR) / _folder(job), cast(dict[str, Any], spec))

    def before_finish(self, job: Job, result: Result) -> None:
        """Upload the index, and the files of the documents that were read, to the object store."""
        if result.get("stopped"):
            return
        publish_folder(_folder(job))
        knowledge = Knowledge.objects.filter(job=job).first()
        for document in knowledge.documents.waiting() if knowledge else ():
            publish_folder(document.folder)

    def finish(self, job: Job, result: Result) -> None:
        """Switch to the new index, and delete those that nothing searches any more."""
        if result.get("stopped"):
            return self.fail(job)
        knowledge = Knowledge.objects.filter(pk=job.spec["knowledge"]).first()
        found = cast(IndexResult, result)
        is_accepted = knowledge is not None and services.accept_index(job=job, result=found)
        if not is_accepted or not found["index"]["passages"]:
            self.fail(job)
        if knowledge is None or not is_accepted:
            return None
        folder = knowledge.folder
        kept = {job.spec["number"], *services.pinned_indexes(knowledge)}
        transaction.on_commit(lambda: services.delete_indexes(folder, keep=kept))
        return None

    def fail(self, job: Job) -> None:
        """Delete the unfinished index."""
        folder = _folder(job)
        transaction.on_commit(lambda: delete_folder(folder))


def _practice_questions(knowledge: Knowledge) -> list[PracticeQuestion]:
    """Validation examples first, then training examples; never the test split."""
    rows = Example.objects.usable().filter(
        dataset__goal=knowledge.goal_id, split__in=(Split.VALIDATION, Split.TRAIN)
    )
    return [
        {"id": row.pk, "question": row.prompt, "answer": row.answer}
        for row in rows.order_by("-split", "number")[:MAX_QUESTIONS]
        if row.prompt.strip()
    ]


def _folder(job: Job) -> str:
    return f"knowledge/{job.spec['knowledge']}/index-{job.spec['number']}"
