"""Uploaded files and fine-tuning jobs.

A job becomes a goal, a frozen dataset version and a training by the services that the pages use, so
the goal is on the pages like any other.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts import storage
from finetune_app.accounts.models import Team, User
from finetune_app.basemodels import services as basemodels
from finetune_app.checks import services as checks
from finetune_app.checks.models import Severity
from finetune_app.core.errors import PlainError
from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Split
from finetune_app.datasets.schemas import RowToAdd
from finetune_app.fine_tuning_api.job_request import JobRequest
from finetune_app.fine_tuning_api.lookup import ModelToTrain
from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob, Purpose
from finetune_app.fine_tuning_api.training_file import (
    MAX_FILE_BYTES,
    FileNotes,
    read_training_rows,
    read_validation_rows,
    unread_notices,
)
from finetune_app.gateway.json_body import JsonObject
from finetune_app.goals import services as goals
from finetune_app.goals.measures import Proposal
from finetune_app.goals.models import Goal, GoalKind, Method
from finetune_app.imports.cell_values import RowError
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ENDED
from finetune_app.training import services as trainings
from finetune_app.training.models import Training
from finetune_app.versions import services as versions

MAX_TEAM_BYTES = 2 * 1024**3  # of all files of a team
PAIRS_IN_GOAL = 3  # pairs of the file that become the goal's examples


def save_file(
    *,
    team: Team,
    name: str,
    purpose: str,
    file: "File[bytes]",
    lifetime: timedelta | None = None,
    counted: int = 0,
) -> ApiFile:
    """Store an upload. Its content is read only by a job. It stays for its `lifetime`; None: until
    somebody deletes it. `counted`: bytes of it that its team stores already, in parts.

    Raises PlainError if it is empty or too large.
    """
    size = file.size or 0
    if not size:
        raise PlainError(_("The file is empty."))
    require_room(team, size, purpose, counted)
    saved = ApiFile(team=team, name=name[:200] or "file.jsonl", purpose=purpose, size=size)
    saved.expires_at = timezone.now() + lifetime if lifetime else None
    saved.storage_path = default_storage.save(saved.path_of_upload, file)
    saved.save()
    return saved


def require_room(team: Team, size: int, purpose: str = Purpose.FINE_TUNE, counted: int = 0) -> None:
    """Raises PlainError if a file of `size` bytes is too large, by itself or for its team."""
    if size > MAX_FILE_BYTES:
        what_to_do = (
            _("Split it into several batches.")
            if purpose == Purpose.BATCH
            else _("Bring it in on the dataset page, which takes larger ones.")
        )
        too_large = _("The file is larger than %(n)d MB.") % {"n": MAX_FILE_BYTES // 1024**2}
        raise PlainError(f"{too_large} {what_to_do}", status=413)
    if size + (team.api_files.aggregate(all=Sum("size"))["all"] or 0) > MAX_TEAM_BYTES:
        raise PlainError(
            _(
                "Your team's files fill the %(n)d GB there are for them. Delete some that "
                "are not needed any more."
            )
            % {"n": MAX_TEAM_BYTES // 1024**3},
            status=413,
        )
    storage.require_space(team, size - counted)


@dataclass(frozen=True)
class JobFiles:
    """The files of a job, read. `held_back`: rows of the validation file. `problem`: why they
    cannot be learned from, and the parameter of the request that named the file; then there are no
    rows."""

    training_file: ApiFile
    validation_file: ApiFile | None = None
    rows: list[RowToAdd] = field(default_factory=list)
    held_back: list[RowToAdd] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)  # what of them is not read
    problem: str = ""
    problem_param: str = ""


def read_files(file: ApiFile, validation_file: ApiFile | None) -> JobFiles:
    """Not in a transaction: large files take seconds to read, and SQLite has one for all."""
    found = JobFiles(file, validation_file)
    notes = FileNotes()
    try:
        rows = read_training_rows(file, Split.TRAIN if validation_file else "", notes)
    except RowError as problem:
        return replace(found, problem=str(problem), problem_param="training_file")
    notices = unread_notices(file, notes)
    if validation_file is None:
        return replace(found, rows=rows, notices=notices)
    notes = FileNotes()
    try:
        held_back = read_validation_rows(validation_file, notes)
    except RowError as problem:
        return replace(found, problem=str(problem), problem_param="validation_file")
    notices += unread_notices(validation_file, notes)
    return replace(found, rows=rows, held_back=held_back, notices=notices)


def start_job(
    *, team: Team, by: User | None, request: JobRequest, model: ModelToTrain, files: JobFiles
) -> FineTuningJob:
    """A queued job, or a failed one whose `problem` says what is wrong with the files.

    Raises PlainError if the base model is not installed.
    """
    job = create_job(team=team, by=by, request=request, model=model, files=files)
    if not job.problem:
        freeze_and_train(job=job, by=by, starts_from=model.starts_from)
    return job


def create_job(
    *,
    team: Team,
    by: User | None,
    request: JobRequest,
    model: ModelToTrain,
    files: JobFiles,
    tests: Sequence[RowToAdd] = (),
    measure: Proposal | None = None,
) -> FineTuningJob:
    """A job with its goal and examples, to be frozen and trained next; or with a `problem`.

    tests: rows of the test split, beside those of the files. measure: None for the proposed one.
    Raises PlainError if the base model is not installed.
    """
    with transaction.atomic():
        job = FineTuningJob(
            team=team,
            model=request.model,
            suffix=request.suffix,
            seed=trainings.DEFAULT_SEED if request.seed is None else request.seed,
            method=request.method,
            hyperparameters=asdict(request.hyperparameters),
            metadata=request.metadata,
            training_file=files.training_file.api_id,
            validation_file=files.validation_file.api_id if files.validation_file else "",
            notices=files.notices,
            problem=files.problem,
            problem_param=files.problem_param,
        )
        job.goal = _create_goal(job, files.rows, by)
        if measure:
            goals.choose_measure(goal=job.goal, kind=measure.kind, settings=measure.settings)
        basemodels.choose(goal=job.goal, slug=model.base_model, user=by)
        job.save()
        if job.problem:
            return job
        dataset = datasets.dataset_of(job.goal)
        rows = [*files.rows, *files.held_back, *tests]
        datasets.add_rows(dataset=dataset, by=by, rows=rows, source=files.training_file.name)
    return job


def freeze_and_train(*, job: FineTuningJob, by: User | None, starts_from: Training | None) -> None:
    """Where that is not possible, the job gets a `problem`. Not in a transaction: the examples are
    checked and written to a file."""
    dataset = datasets.dataset_of(job.goal)
    try:
        if checks.is_large(dataset):  # freezing checks only smaller ones, and no program can
            checks.run_checks(dataset)
        versions.freeze(dataset=dataset, by=by)
        chosen = _training_settings(job.hyperparameters) | {"seed": job.seed}
        job.training = trainings.start(
            goal=job.goal, user=by, chosen=chosen, method=job.method, starts_from=starts_from
        )
    except PlainError as problem:
        found = dataset.findings.filter(severity=Severity.ERROR).values_list("message", flat=True)
        job.problem = " ".join(found) or problem.message
        job.problem_param = "training_file"
    job.save()


def pause_job(*, job: FineTuningJob) -> None:
    """Stop it at the next step, where it can be resumed. Raises PlainError if it has ended."""
    if job.training is None or job.training.job.state in ENDED:
        raise _has_ended(job)
    if not trainings.stop(training=job.training):
        job.training.job.refresh_from_db()
        if job.training.job.state in ENDED:  # meanwhile
            raise _has_ended(job)


def resume_job(*, job: FineTuningJob) -> None:
    """Raises PlainError if it is not paused."""
    if job.training is None:
        raise _has_ended(job)
    trainings.resume(training=job.training)


def cancel_job(*, job: FineTuningJob) -> None:
    """Raises PlainError if it has ended."""
    if job.training is None or not jobs.cancel(job.training.job):
        raise _has_ended(job)


def _has_ended(job: FineTuningJob) -> PlainError:
    return PlainError(_("The job %(id)s has ended already.") % {"id": job.api_id})


def _create_goal(job: FineTuningJob, rows: list[RowToAdd], by: User | None) -> Goal:
    pairs = [
        {
            "prompt": row["messages"][-2]["content"][:2000],
            "answer": row["messages"][-1]["content"][:2000],
        }
        for row in rows[:PAIRS_IN_GOAL]
    ]
    goal = goals.create_goal(
        team=job.team,
        user=by,
        name=job.suffix or _("From a program"),
        description=_("Answer as in the file that a program sent."),
        kind=GoalKind.TASK,
        pairs=pairs,
    )
    return goals.choose_method(goal=goal, method=Method.FINE_TUNE)


def _training_settings(hyperparameters: JsonObject) -> JsonObject:
    """OpenAI's hyperparameters as training settings, without those that are "auto"."""
    names = {
        "n_epochs": "epochs",
        "batch_size": "batch_size",
        "learning_rate_multiplier": trainings.RATE_FACTOR,
        "beta": "beta",
    }
    chosen = {name: hyperparameters.get(theirs) for theirs, name in names.items()}
    return {name: value for name, value in chosen.items() if isinstance(value, int | float)}
