"""The child process of an import: inspects the file, or reads it."""

from pathlib import Path
from typing import Any, cast

from finetune_app.imports.schemas import ImportChildSpec
from worker.channel import Channel, Job, UserError
from worker.imports import limits
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """The spec is an `ImportChildSpec`, the result an `InspectResult` or a `ReadResult`."""
    limits.apply_limits()
    spec = cast(ImportChildSpec, job.spec)
    path = Path(spec["file"])
    if not path.exists():
        raise UserError("bad_data", "The uploaded file is gone. Upload it again.")
    try:
        if spec["step"] == "inspect":
            options = spec.get("options") or {}
            return {**inspect_file(path, spec.get("file_name", ""), options, channel)}
        return {
            **read_rows(
                path, job.folder, spec["shape"], spec["mapping"], channel, spec["bytes_left"]
            )
        }
    except MemoryError as error:
        raise UserError(
            "bad_data",
            "Reading this file needs more memory than an import may use. Nothing was added. "
            "Save it as CSV or JSON lines, or bring it in smaller parts.",
        ) from error
