"""The files that come of a batch: its answers, and its errors; a line for each request."""

import json
import tempfile
from collections.abc import Iterator
from typing import IO
from uuid import UUID, uuid5

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.utils import timezone

from finetune_app.batches.models import Batch, BatchRequest
from finetune_app.fine_tuning_api.models import ApiFile, Purpose
from finetune_app.gateway.json_body import JsonObject

# Why a request was not answered, by the status of its batch; one that failed is finalized, too.
FAILED = ("batch_failed", "The batch failed before this was asked. Send it again.")
NOT_ANSWERED = {
    Batch.Status.CANCELLING: ("batch_cancelled", "The batch was cancelled before this was asked."),
    Batch.Status.FINALIZING: (
        "batch_expired",
        "This was not asked before the completion window of the batch had passed.",
    ),
}


def write_output_files(batch: Batch) -> tuple[ApiFile | None, ApiFile | None]:
    """(answers, errors): stored files whose rows are not saved yet. None where nothing is in it.

    Their ids are derived from the batch's, so that a second run writes over what the first left.
    """
    with tempfile.NamedTemporaryFile() as answers, tempfile.NamedTemporaryFile() as errors:
        for request in _all_requests(batch):
            target = answers if request.status_code == 200 else errors
            target.write(json.dumps(output_line(batch, request)).encode() + b"\n")
        return _store(batch, "output", answers), _store(batch, "errors", errors)


def output_line(batch: Batch, request: BatchRequest) -> JsonObject:
    request_id = f"batch_req_{batch.public_id.hex}_{request.line}"
    line: JsonObject = {"id": request_id, "custom_id": request.custom_id}
    if request.status_code is None:
        code, message = FAILED if batch.errors else NOT_ANSWERED[Batch.Status(batch.status)]
        return line | {"response": None, "error": {"code": code, "message": message}}
    response = {
        "status_code": request.status_code,
        "request_id": request_id,
        "body": json.loads(request.body),
    }
    return line | {"response": response, "error": None}


def _all_requests(batch: Batch) -> Iterator[BatchRequest]:
    return batch.requests.order_by("line").iterator(chunk_size=500)


def _store(batch: Batch, name: str, content: IO[bytes]) -> ApiFile | None:
    content.flush()
    size = content.tell()
    if not size:
        return None
    content.seek(0)
    file = ApiFile(
        team_id=batch.team_id,
        name=f"{batch.api_id}_{name}.jsonl",
        purpose=Purpose.BATCH_OUTPUT,
        size=size,
        public_id=_file_id(batch.public_id, name),
        expires_at=timezone.now() + batch.output_lifetime if batch.output_lifetime else None,
    )
    default_storage.delete(file.path_of_upload)
    file.storage_path = default_storage.save(file.path_of_upload, File(content))
    return file


def _file_id(batch_id: UUID, name: str) -> UUID:
    return uuid5(batch_id, name)
