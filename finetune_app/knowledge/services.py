"""Add and delete documents, and switch to their new index.

Every change queues a job that makes a new index. Adding waits for the active job; deleting cancels
it, because its index contains the deleted text.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from finetune_app.accounts import storage
from finetune_app.accounts.models import Team, User
from finetune_app.core.errors import PlainError
from finetune_app.core.files import delete_folder, is_local, local_folder
from finetune_app.datasets.text import clean_name
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.knowledge.passage_counts import (
    MAX_WHOLE_CHARACTERS,
    WHOLE_CHARS_PER_CONTEXT_TOKEN,
)
from finetune_app.knowledge.schemas import DocumentResult, IndexManifest, IndexResult

MIN_FREE_BYTES = 200 * 1024 * 1024  # left on the disk after an upload
DISK_PER_UPLOADED_BYTE = 4  # for the upload, its text, its vectors and its share of the index

IndexUser = Callable[[Knowledge], Collection[int]]
_index_users: list[IndexUser] = []


def get_knowledge(goal: Goal) -> Knowledge:
    found, _created = Knowledge.objects.get_or_create(goal=goal)
    return found


def fits_whole(characters: int, context_length: int, other_chars: int = 0) -> bool:
    """Whether all documents fit into every prompt, so that nothing need be searched, except beside
    a long conversation.

    characters: of the documents.
    context_length: of the model, in tokens.
    other_chars: characters of the rest of the prompt.
    """
    limit = min(MAX_WHOLE_CHARACTERS, context_length * WHOLE_CHARS_PER_CONTEXT_TOKEN)
    return bool(characters) and characters + other_chars <= limit


def add_document(*, goal: Goal, by: User, file: "File[Any]", name: str) -> Document:
    """Store a file and queue its indexing.

    Raises PlainError if it is empty, too large, already there, or does not fit on the disk.
    """
    size = file.size or 0
    name = clean_name(name)
    if not size:
        raise PlainError(_("“%s” is empty. Bring the file that holds the text.") % name)
    if size > settings.MAX_UPLOAD_BYTES:
        raise PlainError(_too_large(name), status=413)
    _require_space(goal.team, size)
    knowledge = get_knowledge(goal)
    digest = _sha256(file)
    _require_new(knowledge, digest, name)
    folder = f"{knowledge.folder}/documents/{uuid.uuid4().hex}"
    default_storage.save(f"{folder}/upload", file)
    try:
        with transaction.atomic():
            _require_new(_lock(knowledge.pk), digest, name)  # it may have been added meanwhile
            document = Document.objects.create(
                knowledge=knowledge, name=name, folder=folder, sha256=digest, size=size, added_by=by
            )
            _queue_index_job(knowledge)
    except BaseException:
        delete_folder(folder)
        raise
    return document


def _require_new(knowledge: Knowledge, digest: str, name: str) -> None:
    duplicate = knowledge.documents.filter(sha256=digest).first()
    if duplicate:
        raise PlainError(
            _("“%(name)s” is here already, as “%(same)s”.") % {"name": name, "same": duplicate.name}
        )


def _too_large(name: str) -> str:
    megabytes = settings.MAX_UPLOAD_BYTES // (1024 * 1024)
    return _(
        "“%(name)s” is larger than %(most)d MB, the most we take at once. "
        "Split it into smaller files."
    ) % {"name": name, "most": megabytes}


def _require_space(team: Team, size: int) -> None:
    storage.require_space(team, size)
    used = Document.objects.filter(knowledge__goal__team=team).aggregate(Sum("size"))["size__sum"]
    limit = settings.MAX_TEAM_DOCUMENT_BYTES
    if (used or 0) + size > limit:
        raise PlainError(
            _("Your team's documents would take more than %(most)d GB. Delete some first.")
            % {"most": limit // 1024**3},
            status=413,
        )
    if storage.free_disk_bytes() < DISK_PER_UPLOADED_BYTE * size + MIN_FREE_BYTES:
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
    """Delete the document, its files and every index that contains it, and queue a new index of the
    others."""
    knowledge = _lock(document.knowledge_id)
    if knowledge.job and knowledge.job.is_active:
        jobs.cancel(knowledge.job)
    document_folder, folder = document.folder, knowledge.folder
    kept = pinned_indexes(knowledge) - pinned_with(document)
    document.delete()
    Knowledge.objects.filter(pk=knowledge.pk).update(
        index=0, passages=0, characters=0, practice={}, job=None
    )
    knowledge.refresh_from_db()

    def delete_files() -> None:
        delete_folder(document_folder)
        delete_indexes(folder, keep=kept)

    transaction.on_commit(delete_files)
    if knowledge.documents.readable().exists():
        _queue_index_job(knowledge)


@transaction.atomic
def reindex(*, goal: Goal) -> None:
    """Queue a new index of all documents, also of those that could not be read. Cached text and
    embeddings are reused. Raises PlainError if there are no documents."""
    knowledge = _lock(get_knowledge(goal).pk)
    if not knowledge.documents.exists():
        raise PlainError(_("There are no documents to read yet."))
    knowledge.documents.filter(state=Document.State.FAILED).update(
        state=Document.State.WAITING, message=""
    )
    _queue_index_job(knowledge)


def stop(*, goal: Goal) -> None:
    """Cancel the active job; what it read and embedded stays cached."""
    knowledge = Knowledge.objects.filter(goal=goal).select_related("job").first()
    if knowledge and knowledge.job:
        jobs.cancel(knowledge.job)


def is_index_missing(knowledge: Knowledge) -> bool:
    """Whether the folder of the index in use is gone, as after a restore."""
    name = f"{knowledge.index_folder}/index.json"
    if not knowledge.index or (Path(settings.DATA_DIR) / name).exists():
        return False
    return is_local() or not default_storage.exists(name)


def rebuild_missing_indexes() -> int:
    """Queue every missing index, since backups do not contain them. Returns their number."""
    indexed = Knowledge.objects.exclude(index=0).select_related("job")
    missing = [one for one in indexed if is_index_missing(one)]
    for knowledge in missing:
        with transaction.atomic():
            Knowledge.objects.filter(pk=knowledge.pk).update(index=0)
            if knowledge.job:  # of more documents: `accept_index` queues it again
                jobs.cancel(knowledge.job)
            # With its number: it is made of the same documents, and what is live has pinned it.
            _queue_index_job(knowledge, rebuilt=knowledge.index)
    return len(missing)


def _lock(pk: int) -> Knowledge:
    rows = Knowledge.objects.select_for_update(of=("self",)).select_related("job", "goal__team")
    return rows.get(pk=pk)


def _queue_index_job(knowledge: Knowledge, rebuilt: int | None = None) -> None:
    """Queue a job, unless one is active: then `accept_index` queues the next one. rebuilt: the
    number of an index that is made once more, of the documents that it had."""
    knowledge = _lock(knowledge.pk)
    job = knowledge.job
    if job and job.is_active and not job.cancel_asked:
        return
    number = rebuilt or knowledge.last_index + 1
    knowledge.last_index = max(number, knowledge.last_index)
    of_those_read = {"rebuilt": True} if rebuilt else {}
    knowledge.job = jobs.create(
        team=knowledge.goal.team,
        kind="index",
        title=_("Reading your documents"),
        spec={"knowledge": knowledge.pk, "number": number} | of_those_read,
    )
    knowledge.save(update_fields=["last_index", "job"])


@transaction.atomic
def accept_index(*, job: Job, result: IndexResult) -> bool:
    """Switch to the job's index. False if it must not be used: the job is not the newest, or the
    index contains a document that was deleted."""
    knowledge = _lock(int(job.spec["knowledge"]))
    existing = set(knowledge.documents.values_list("pk", flat=True))
    if knowledge.job_id != job.pk or not {one["id"] for one in result["documents"]} <= existing:
        return False
    for document in result["documents"]:
        _store_result(document)
    index = result["index"]
    Knowledge.objects.filter(pk=knowledge.pk).update(
        index=job.spec["number"] if index["passages"] else 0,
        embedder=index["embedder"],
        passages=index["passages"],
        characters=index["characters"],
        indexed_at=job.ended_at,
        practice=result["practice"],
    )
    if knowledge.documents.waiting().exists():  # added while the job ran
        _queue_index_job(knowledge)
    return True


def _store_result(result: DocumentResult) -> None:
    problem = result["problem"]
    Document.objects.filter(pk=result["id"]).update(
        state=Document.State.FAILED if problem else Document.State.READY,
        message=problem,
        pages=result["pages"],
        characters=result["characters"],
        passages=result["passages"],
    )


def register_index_user(numbers_of: IndexUser) -> None:
    """Have the indexes with these numbers kept when there is a newer one."""
    if numbers_of not in _index_users:
        _index_users.append(numbers_of)


def pinned_indexes(knowledge: Knowledge) -> set[int]:
    """The numbers of its indexes that are kept when there is a newer one."""
    return set().union(*(numbers_of(knowledge) for numbers_of in _index_users))


def pinned_with(document: Document) -> set[int]:
    """Those of them that contain the document."""
    knowledge = document.knowledge
    manifests = {number: manifest_of(knowledge, number) for number in pinned_indexes(knowledge)}
    return {number for number, one in manifests.items() if one and document.pk in one["documents"]}


def manifest_of(knowledge: Knowledge, number: int) -> IndexManifest | None:
    """Of an index that can be searched; None if it is gone, or has a document that was deleted."""
    path = local_folder(f"{knowledge.folder}/index-{number}") / "index.json"
    if not path.exists():
        return None
    manifest: IndexManifest = json.loads(path.read_text())
    if number != knowledge.index:
        there = knowledge.documents.filter(pk__in=manifest["documents"]).count()
        if there < len(manifest["documents"]):
            return None
    return manifest


def delete_indexes(folder: str, *, keep: Collection[int] = ()) -> None:
    """Delete the indexes in `folder` ("knowledge/3"), except those with the numbers `keep`."""
    kept = {f"index-{number}" for number in keep}
    names = {path.name for path in (Path(settings.DATA_DIR) / folder).glob("index-*")}
    if not is_local():
        with suppress(FileNotFoundError):
            names |= set(default_storage.listdir(folder)[0])
    for name in names:
        if name.startswith("index-") and name not in kept:
            delete_folder(f"{folder}/{name}")
