"""One import, in its own process: look at the file, or read it."""

from pathlib import Path
from typing import Any

from worker.channel import Channel, Job, UserError
from worker.imports import limits
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Spec: {"step", "file", "file_name", "given", "shape", "mapping"}; the step is "look", "read",
    "bring" or "forget"."""
    limits.apply_limits()
    spec = job.spec
    if spec["step"] in ("bring", "forget"):
        return {"step": spec["step"]}  # storing rows, and removing them, is the supervisor's
    path = Path(spec["file"])
    if not path.exists():
        raise UserError("bad_data", "The uploaded file is gone. Upload it again.")
    try:
        if spec["step"] == "look":
            return inspect_file(path, spec.get("file_name", ""), spec.get("given") or {}, channel)
        return read_rows(path, job.folder, spec["shape"], spec["mapping"], channel)
    except MemoryError as error:
        raise UserError(
            "bad_data",
            "Reading this file needs more memory than an import may use. Nothing was added. "
            "Save it as CSV or JSON lines, or bring it in smaller parts.",
        ) from error
