"""Writes to documents: add, delete, read again.

Every change ends in a new index, made by a job. Adding waits for the job under way; deleting ends
it, because what it is writing holds the deleted text.
"""

import hashlib
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.core.errors import PlainError
from finetune_app.core.files import delete_folder, is_local
from finetune_app.datasets.text import clean_name
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Document, Knowledge

ROOM_TO_BREATHE = 200 * 1024 * 1024  # bytes of disk that an upload leaves free
ROOM_A_BYTE = 4  # an upload, its text, its vectors and its part of an index
# What goes into a prompt whole: a few pages, in a model that sees so many tokens. A cautious share
# of what candidates.prompt_builder lays before it, so that it never has to leave anything out.
A_FEW_PAGES = 12_000  # characters
CHARS_PER_TOKEN = 0.75


def knowledge_of(goal: Goal) -> Knowledge:
    found, _created = Knowledge.objects.get_or_create(goal=goal)
    return found


def fits_whole(knowledge: Knowledge, context: int, beside: int = 0) -> bool:
    """Whether all documents go into every prompt of a model that sees `context` tokens, so that
    nothing need be searched for. `beside` are the characters that stand there anyway."""
    most = min(A_FEW_PAGES, context * CHARS_PER_TOKEN)
    return bool(knowledge.characters) and knowledge.characters + beside <= most


def add_document(*, goal: Goal, by: User, file: "File[Any]", name: str) -> Document:
    """Keep a file and have it read. Raise PlainError when it cannot be taken."""
    size = file.size or 0
    name = clean_name(name)
    if not size:
        raise PlainError(_("“%s” is empty. Bring the file that holds the text.") % name)
    if size > settings.MAX_UPLOAD_BYTES:
        raise PlainError(too_large(name), status=413)
    _require_room(goal.team, size)
    knowledge = knowledge_of(goal)
    digest = _sha256(file)
    same = knowledge.documents.filter(sha256=digest).first()
    if same:
        raise PlainError(
            _("“%(name)s” is here already, as “%(same)s”.") % {"name": name, "same": same.name}
        )
    folder = f"{knowledge.folder}/documents/{uuid.uuid4().hex}"
    default_storage.save(f"{folder}/upload", file)
    try:
        with transaction.atomic():
            document = Document.objects.create(
                knowledge=knowledge, name=name, folder=folder, sha256=digest, size=size, added_by=by
            )
            _have_read(knowledge)
    except BaseException:
        delete_folder(folder)
        raise
    return document


def too_large(name: str) -> str:
    most = settings.MAX_UPLOAD_BYTES // (1024 * 1024)
    return _(
        "“%(name)s” is larger than %(most)d MB, the most we take at once. Bring it in smaller "
        "parts."
    ) % {"name": name, "most": most}


def _require_room(team: Team, size: int) -> None:
    taken = Document.objects.filter(knowledge__goal__team=team).aggregate(Sum("size"))["size__sum"]
    most = settings.MAX_TEAM_DOCUMENT_BYTES
    if (taken or 0) + size > most:
        raise PlainError(
            _("Your team's documents would take more than %(most)d GB. Delete some first.")
            % {"most": most // 1024**3},
            status=413,
        )
    if shutil.disk_usage(settings.DATA_DIR).free < ROOM_A_BYTE * size + ROOM_TO_BREATHE:
        raise PlainError(
            _("There is not enough room on the disk for this file. Free some, then try again."),
            status=507,
        )


def _sha256(file: "File[Any]") -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


@transaction.atomic
def delete_document(*, document: Document) -> None:
    """Its upload, its text and every index that held it go at once; what is left is made
    searchable again without it."""
    knowledge = _locked(document.knowledge_id)
    if knowledge.job and knowledge.job.is_active:
        jobs.cancel(knowledge.job)
    folder, whole = document.folder, knowledge.folder
    document.delete()
    Knowledge.objects.filter(pk=knowledge.pk).update(
        index=0, passages=0, characters=0, practice={}, job=None
    )
    knowledge.refresh_from_db()

    def forget() -> None:
        delete_folder(folder)
        forget_indexes(whole)

    transaction.on_commit(forget)
    if knowledge.documents.readable().exists():
        _have_read(knowledge)


@transaction.atomic
def read_again(*, goal: Goal) -> None:
    """All documents, also those that could not be read; what was read and embedded in today's way
    is not done twice. Raise PlainError when there is none."""
    knowledge = _locked(knowledge_of(goal).pk)
    if not knowledge.documents.exists():
        raise PlainError(_("There are no documents to read yet."))
    knowledge.documents.filter(state=Document.State.FAILED).update(
        state=Document.State.WAITING, message=""
    )
    _have_read(knowledge)


def stop(*, goal: Goal) -> None:
    """End the reading under way; what was read already is kept."""
    knowledge = Knowledge.objects.filter(goal=goal).select_related("job").first()
    if knowledge and knowledge.job:
        jobs.cancel(knowledge.job)


def is_missing(knowledge: Knowledge) -> bool:
    """Whether the index in use is not in its place: after a restore, or by somebody's hand."""
    name = f"{knowledge.index_folder}/index.json"
    if not knowledge.index or (Path(settings.DATA_DIR) / name).exists():
        return False
    return is_local() or not default_storage.exists(name)


def make_missing() -> int:
    """Have every index made that is missing; how many. A backup leaves them out."""
    missing = [one for one in Knowledge.objects.exclude(index=0) if is_missing(one)]
    for knowledge in missing:
        with transaction.atomic():
            Knowledge.objects.filter(pk=knowledge.pk).update(index=0)
            _have_read(knowledge)
    return len(missing)


def _locked(pk: int) -> Knowledge:
    locked = Knowledge.objects.select_for_update(of=("self",)).select_related("job", "goal__team")
    return locked.get(pk=pk)


def _have_read(knowledge: Knowledge) -> None:
    """A job for what waits; one that is under way sees to the rest when it ends (jobs.finish)."""
    knowledge = _locked(knowledge.pk)
    job = knowledge.job
    if job and job.is_active and not job.cancel_asked:
        return
    number = knowledge.last_index + 1
    knowledge.last_index = number
    knowledge.job = jobs.create(
        team=knowledge.goal.team,
        kind="index",
        title=_("Reading your documents"),
        spec={"knowledge": knowledge.pk, "number": number},
    )
    knowledge.save(update_fields=["last_index", "job"])


# ---- When the job is done ----


@transaction.atomic
def switch(
    *,
    job: Job,
    number: int,
    told: Iterable[dict[str, Any]],
    about: dict[str, Any],
    practice: dict[str, Any],
) -> bool:
    """Search the new index from now on. False when it may not be used: its job is not the newest,
    or it holds a document that was deleted meanwhile."""
    knowledge = _locked(int(job.spec["knowledge"]))
    by_id = {one["id"]: one for one in told}
    here = {document.pk: document for document in knowledge.documents.all()}
    if knowledge.job_id != job.pk or not by_id.keys() <= here.keys():
        return False
    for pk, one in by_id.items():
        _note(here[pk], one)
    Knowledge.objects.filter(pk=knowledge.pk).update(
        index=number if about["passages"] else 0,
        embedder=about["embedder"],
        passages=about["passages"],
        characters=about["characters"],
        indexed_at=job.ended_at,
        practice=practice,
    )
    if knowledge.documents.waiting().exists():  # added while this was read
        _have_read(knowledge)
    return True


def _note(document: Document, told: dict[str, Any]) -> None:
    problem = told["problem"]
    Document.objects.filter(pk=document.pk).update(
        state=Document.State.FAILED if problem else Document.State.READY,
        message=problem,
        pages=told["pages"],
        characters=told["characters"],
        passages=told["passages"],
    )


def forget_indexes(whole: str, *, but: int = 0) -> None:
    """Delete the folders of all indexes below `whole` ("knowledge/3") but one."""
    names = {path.name for path in (Path(settings.DATA_DIR) / whole).glob("index-*")}
    if not is_local():
        with suppress(FileNotFoundError):
            names |= set(default_storage.listdir(whole)[0])
    for name in names:
        if name.startswith("index-") and name != f"index-{but}":
            delete_folder(f"{whole}/{name}")
