"""What a worker asks and tells about the reading of documents."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from finetune_app.core.errors import PlainError
from finetune_app.core.files import delete_folder, local_folder, publish_folder
from finetune_app.datasets.models import Example, Split
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import ACTIVE, Job
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Knowledge

PRACTICE = 200  # questions that are asked at most


class IndexHandler(JobHandler):
    kind = JobKind(name="index", runner="worker.knowledge.run")

    def child_spec(self, job: Job) -> ChildSpec:
        """Which documents there are is decided now, not when the job was asked for."""
        knowledge = Knowledge.objects.select_related("goal").filter(job=job).first()
        if knowledge is None:  # another job has taken its place
            raise PlainError("The documents changed meanwhile.")
        documents = [
            {"id": one.pk, "name": one.name, "folder": str(local_folder(one.folder))}
            for one in knowledge.documents.readable()
        ]
        return ChildSpec(
            folder=Path(settings.DATA_DIR) / _folder(job),
            spec={"documents": documents, "questions": practice_questions(knowledge)},
        )

    def before_finish(self, job: Job, result: Result) -> None:
        """The index, and what was read for it, go to the store."""
        if result.get("stopped"):
            return
        publish_folder(_folder(job))
        knowledge = Knowledge.objects.filter(job=job).first()
        for document in knowledge.documents.waiting() if knowledge else ():
            publish_folder(document.folder)

    def finish(self, job: Job, result: Result) -> None:
        """Search the new index from now on, and delete the one before."""
        if result.get("stopped"):
            return self.fail(job)
        knowledge = Knowledge.objects.filter(pk=job.spec["knowledge"]).first()
        number = job.spec["number"]
        in_use = knowledge is not None and services.switch(
            job=job,
            number=number,
            told=result["documents"],
            about=result["index"],
            practice=result["practice"],
        )
        if not in_use or not result["index"]["passages"]:
            self.fail(job)
        if knowledge is None or not in_use:
            return None
        if not being_tested(knowledge):
            whole = knowledge.folder
            transaction.on_commit(lambda: services.forget_indexes(whole, but=number))
        return None

    def fail(self, job: Job) -> None:
        """Nothing is left of an index that is not whole."""
        folder = _folder(job)
        transaction.on_commit(lambda: delete_folder(folder))


def practice_questions(knowledge: Knowledge) -> list[dict[str, Any]]:
    """What may be looked at before an evaluation: never the sealed split."""
    rows = Example.objects.usable().filter(
        dataset__goal=knowledge.goal_id, split__in=(Split.VALIDATION, Split.TRAIN)
    )
    return [
        {"id": row.pk, "question": row.prompt, "answer": row.answer}
        for row in rows.order_by("-split", "number")[:PRACTICE]
        if row.prompt.strip()
    ]


def being_tested(knowledge: Knowledge) -> bool:
    """A test under way may search the index before; it goes with the next change."""
    return Job.objects.filter(
        team=knowledge.goal.team_id, kind="evaluation", state__in=ACTIVE
    ).exists()


def _folder(job: Job) -> str:
    return f"knowledge/{job.spec['knowledge']}/index-{job.spec['number']}"
