"""Takes in what a team brings from OpenAI, and makes a goal, a dataset and a training of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile, File
from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels import services as basemodels
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Split
from finetune_app.datasets.schemas import RowToAdd
from finetune_app.fine_tuning_api import services as fine_tuning
from finetune_app.fine_tuning_api.job_request import Hyperparameters, JobRequest
from finetune_app.fine_tuning_api.lookup import ModelToTrain
from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob, Purpose
from finetune_app.fine_tuning_api.services import JobFiles
from finetune_app.fine_tuning_api.training_file import FileNotes, read_training_rows, unread_notices
from finetune_app.goals import services as goals
from finetune_app.goals.measures import Proposal
from finetune_app.goals.models import Goal, GoalKind, Method
from finetune_app.imports.cell_values import RowError
from finetune_app.openai_import.models import OpenAIImport
from finetune_app.openai_import.openai_job import JobDescription
from finetune_app.openai_import.promptfoo import Suite

LIFETIME = timedelta(days=1)  # of files and of what nobody has made a goal of
PAIRS_IN_GOAL = 3
MAX_SHOWN = 300  # characters of an example


@dataclass(frozen=True)
class Found:
    """What is in the files. `first`: messages of the first example; `system`: the instructions that
    all examples have in common, empty where they differ."""

    rows: int
    pairs: int
    first: list[Message]
    system: str
    notes: list[str]


def bring(
    *,
    team: Team,
    by: User,
    training_file: "File[bytes] | None" = None,
    validation_file: "File[bytes] | None" = None,
    job: JobDescription | None = None,
    suite: Suite | None = None,
) -> OpenAIImport:
    """Keep what was brought for a day. Raises PlainError where a file cannot be kept or read.

    Not in a transaction: large files take seconds to read, and SQLite has one for all.
    """
    item = OpenAIImport(team=team, created_by=by)
    item.job = asdict(job) if job else {}
    item.suite = asdict(suite) if suite else {}
    try:
        item.training_file = _kept(team, training_file)
        item.validation_file = _kept(team, validation_file)
        item.found = asdict(look_into(item.training_file)) if item.training_file else {}
        item.save()
    except BaseException:
        for file in filter(None, (item.training_file, item.validation_file)):
            file.delete()
        raise
    return item


def _kept(team: Team, file: "File[bytes] | None") -> ApiFile | None:
    if file is None:
        return None
    return fine_tuning.save_file(
        team=team,
        name=str(file.name or "openai.jsonl"),
        purpose=Purpose.FINE_TUNE,
        file=file,
        lifetime=LIFETIME,
    )


def file_of(content: bytes, name: str) -> "File[bytes]":
    return ContentFile(content, name=name)


def look_into(file: ApiFile) -> Found:
    """What a training file holds. Raises PlainError for an invalid line."""
    notes = FileNotes()
    try:
        rows = read_training_rows(file, "", notes)
    except RowError as problem:
        raise PlainError(str(problem), status=422, title=_("The training file")) from None
    systems = {_system(row["messages"]) for row in rows}
    return Found(
        rows=len(rows),
        pairs=sum(bool(row.get("rejected")) for row in rows),
        first=[
            Message(role=message["role"], content=message["content"][:MAX_SHOWN])
            for message in rows[0]["messages"]
        ],
        system=systems.pop() if len(systems) == 1 else "",
        notes=[note.replace(file.api_id, file.name) for note in unread_notices(file, notes)],
    )


def _system(messages: list[Message]) -> str:
    return messages[0]["content"] if messages[0]["role"] == "system" else ""


def installed_models(team: Team) -> list[BaseModel]:
    """That can be trained here, the smallest first."""
    return [one for one in basemodels.usable_by(team) if one.is_here]


def make(*, item: OpenAIImport, by: User, name: str, settings: Mapping[str, Any]) -> Goal:
    """The goal, with its dataset and, where there is a training file, a queued training. The same
    goal again where it was made before.

    settings: base_model and the hyperparameters of MakeForm. Raises PlainError.
    """
    files = None
    if item.training_file and not item.goal:
        files = fine_tuning.read_files(item.training_file, item.validation_file)
    with transaction.atomic():
        item = OpenAIImport.objects.select_for_update().get(pk=item.pk)
        if item.goal:
            return item.goal
        before = {"goal": None, "fine_tuning_job": None, "found": item.found, "suite": item.suite}
        if files:
            item.fine_tuning_job = _job(item, files, by, name, settings)
            item.goal = item.fine_tuning_job.goal
        else:
            item.goal = _test(item, by, name)
        item.found = item.suite = {}  # an example that is deleted in the dataset must not stay here
        item.save()
    if item.fine_tuning_job:
        _train(item, item.fine_tuning_job, by, before)
    return item.goal


def _train(item: OpenAIImport, job: FineTuningJob, by: User, before: Mapping[str, Any]) -> None:
    """before: fields of the import. Raises PlainError where it cannot be trained; then all is as it
    was."""
    if not job.problem:
        fine_tuning.freeze_and_train(job=job, by=by, starts_from=None)
    if job.problem:
        with transaction.atomic():
            OpenAIImport.objects.filter(pk=item.pk).update(**before)
            job.goal.delete()  # and the job with it
        raise PlainError(job.problem, status=422, title=_("Nothing was made of it"))


def _job(
    item: OpenAIImport, files: JobFiles, by: User, name: str, settings: Mapping[str, Any]
) -> FineTuningJob:
    chosen = {
        field: settings[field]
        for field in ("n_epochs", "batch_size", "learning_rate_multiplier")
        if settings.get(field) is not None
    }
    if beta := item.job.get("hyperparameters", {}).get("beta"):
        chosen["beta"] = beta
    model = str(settings["base_model"])
    return fine_tuning.create_job(
        team=item.team,
        by=by,
        request=JobRequest(
            model=model,
            training_file=files.training_file.api_id,
            validation_file=files.validation_file.api_id if files.validation_file else "",
            suffix=name,
            seed=item.job.get("seed"),
            method=item.job.get("method", "supervised"),
            hyperparameters=Hyperparameters(**chosen),
            metadata={"openai_job": item.job["job_id"]} if item.job.get("job_id") else {},
        ),
        model=ModelToTrain(model),
        files=files,
        tests=_tests(item),
        measure=_measure(item),
    )


def _test(item: OpenAIImport, by: User, name: str) -> Goal:
    """A goal whose examples are questions to test instructions with."""
    tests, measure = _tests(item), _measure(item)
    assert measure
    goal = goals.create_goal(
        team=item.team,
        user=by,
        name=name,
        description=_("Answer as in the tests of a Promptfoo configuration."),
        kind=GoalKind.TASK,
        pairs=[
            {
                "prompt": row["messages"][-2]["content"][:2000],
                "answer": row["messages"][-1]["content"][:2000],
            }
            for row in tests[:PAIRS_IN_GOAL]
        ],
    )
    goals.choose_method(goal=goal, method=Method.PROMPT)
    goals.choose_measure(goal=goal, kind=measure.kind, settings=measure.settings)
    datasets.add_rows(
        dataset=datasets.dataset_of(goal), by=by, rows=tests, source=_("Promptfoo configuration")
    )
    return goal


def _tests(item: OpenAIImport) -> list[RowToAdd]:
    return [{"messages": row, "split": Split.TEST} for row in item.suite.get("rows", [])]


def _measure(item: OpenAIImport) -> Proposal | None:
    if not item.suite:
        return None
    return Proposal(item.suite["measure"], item.suite["measure_settings"], "")
