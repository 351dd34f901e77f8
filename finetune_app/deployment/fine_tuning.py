"""OpenAI's fine-tuning platform on this machine: a file becomes a goal, a frozen version and a
training, by the same services as the pages use, so a person finds the goal on the pages."""

from collections.abc import Iterator
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels import services as basemodels
from finetune_app.checks.models import Severity
from finetune_app.core.errors import PlainError
from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Split
from finetune_app.datasets.splits import held_back
from finetune_app.deployment.models import ApiFile, ApiJob, ApiKey
from finetune_app.goals import services as goals
from finetune_app.goals.models import GoalKind, Method
from finetune_app.imports.column_mapping import Message, RowError, messages_from_row, parse_json
from finetune_app.jobs import services as jobs
from finetune_app.training import services as trainings
from finetune_app.versions.services import freeze

LEAST, MOST = 10, 50_000  # rows of a training file
MAX_BYTES = 100 * 1024 * 1024
MAX_TEAM_BYTES = 2 * 1024**3  # of all files that programs of a team have sent
MAPPING = {"style": "messages", "messages": "messages", "system": "", "split": ""}
SHOWN = 3  # pairs of the file that become the goal's examples


def keep_file(*, team: Team, name: str, purpose: str, file: File) -> ApiFile:
    """Raise PlainError for what cannot be trained on, judged by its size alone."""
    size = file.size or 0
    if not size:
        raise PlainError(_("The file is empty."))
    if size > MAX_BYTES:
        raise PlainError(
            _(
                "The file is larger than 100 MB. Bring it in on the dataset page, "
                "which takes larger ones."
            ),
            status=413,
        )
    if size + (team.api_files.aggregate(all=Sum("size"))["all"] or 0) > MAX_TEAM_BYTES:
        raise PlainError(
            _(
                "Your team's files fill the 2 GB there are for them. Delete some that "
                "are not needed any more."
            ),
            status=413,
        )
    kept = ApiFile(team=team, name=name[:200] or "file.jsonl", purpose=purpose, size=size)
    kept.kept_as = default_storage.save(f"api-files/{kept.public_id.hex}/upload", file)
    kept.save()
    return kept


def start(
    *,
    key: ApiKey,
    model: str,
    file: ApiFile,
    validation: ApiFile | None,
    suffix: str,
    seed: int | None,
    asked: dict[str, Any],
    metadata: dict[str, str],
) -> ApiJob:
    """A job that is queued, or one that failed because the file is no good: then `problem` says
    what to mend. Raise PlainError where the model is not here."""
    by = key.created_by
    with transaction.atomic():
        job = ApiJob(
            team=key.team,
            model=model,
            suffix=suffix,
            seed=seed or trainings.SEED,
            asked=asked,
            metadata=metadata,
            training_file=file.api_id,
            validation_file=validation.api_id if validation else "",
        )
        try:
            rows = _rows(file, Split.TRAIN if validation else "")
            held = _held_back(validation) if validation else []
        except RowError as problem:
            rows, held, job.problem = [], [], str(problem)
        job.goal = _goal(job, rows, by)
        basemodels.choose(goal=job.goal, slug=model, user=by)
        job.save()
        if job.problem:
            return job
        dataset = datasets.dataset_of(job.goal)
        datasets.add_rows(dataset=dataset, by=by, rows=[*rows, *held], source=file.name)
    _freeze_and_train(job, by)
    return job


def _freeze_and_train(job: ApiJob, by: User | None) -> None:
    dataset = datasets.dataset_of(job.goal)
    try:
        freeze(dataset=dataset, by=by)
        chosen = _chosen(job.asked) | {"seed": job.seed}
        job.training = trainings.start(goal=job.goal, user=by, chosen=chosen)
    except PlainError as problem:
        found = dataset.findings.filter(severity=Severity.ERROR).values_list("message", flat=True)
        job.problem = " ".join(found) or problem.message
    job.save()


def _goal(job: ApiJob, rows: list[dict[str, Any]], by: User | None) -> Any:
    pairs = [
        {
            "prompt": row["messages"][-2]["content"][:2000],
            "answer": row["messages"][-1]["content"][:2000],
        }
        for row in rows[:SHOWN]
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


def _chosen(asked: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's hyperparameters as our settings; "auto" leaves ours."""
    found: dict[str, Any] = {}
    if isinstance(asked.get("n_epochs"), int):
        found["epochs"] = asked["n_epochs"]
    if isinstance(asked.get("batch_size"), int):
        found["batch_size"] = asked["batch_size"]
    return found


def pause(*, job: ApiJob) -> None:
    if job.training:
        trainings.stop(training=job.training)


def resume(*, job: ApiJob) -> None:
    """Raise PlainError when it is not paused."""
    if job.training:
        trainings.go_on(training=job.training)


def cancel(*, job: ApiJob) -> None:
    if job.training:
        jobs.cancel(job.training.job)


# ---- From a file to rows ----


def _rows(file: ApiFile, split: str) -> list[dict[str, Any]]:
    """All of them or none: a program that sends a broken file wants to know. Raises RowError."""
    rows = [{"messages": messages, "split": str(split)} for messages in _conversations(file)]
    if len(rows) < LEAST:
        raise RowError(f"The file has {len(rows)} examples; at least {LEAST} are needed.")
    return rows


def _held_back(file: ApiFile) -> list[dict[str, Any]]:
    """A validation file: every second example guides the training, the others are sealed for the
    test, so that the evaluation has something that nobody has looked at."""
    found = [
        {"messages": messages, "split": str(held_back(at))}
        for at, messages in enumerate(_conversations(file))
    ]
    if len(found) < 2:
        raise RowError("The validation file has fewer than two examples.")
    return found


def _conversations(file: ApiFile) -> Iterator[list[Message]]:
    with default_storage.open(file.kept_as) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if number > MOST:
                raise RowError(f"The file has more than {MOST:,} lines.")
            try:
                cells = parse_json(line.decode("utf-8-sig"))
                if not isinstance(cells, dict):
                    raise RowError("It is not an object with “messages”.")
                messages = messages_from_row(cells, MAPPING)
                if len(messages) < 2:
                    raise RowError("Nobody asks anything in this conversation.")
                yield messages
            except (RowError, ValueError, RecursionError) as problem:
                what = str(problem) if isinstance(problem, RowError) else "It is not valid JSON."
                raise RowError(f"Line {number}: {what}") from problem
