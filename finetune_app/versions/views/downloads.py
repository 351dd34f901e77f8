"""The download of a version in every format that can be imported."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import BLOCK, download, file_chunks
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.datasets import example_export
from finetune_app.datasets.version_rows import rows_in
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.versions.forms import TableForm
from finetune_app.versions.models import Version


@goal_page(Role.VIEWER, "GET", audit=AuditAction.DATA_EXPORTED)
def version(request: HttpRequest, goal: Goal, number: int, form: str) -> HttpResponseBase:
    """`form` is a key of example_export.FORMATS; a table's layout is in the query string."""
    found = get_object_or_404(Version, dataset__goal=goal, number=number)
    path = local_path(found.stored_name)
    if form not in example_export.FORMATS or not path.exists():
        raise Http404("there is no such file")
    ending = example_export.FORMATS[form]
    table = TableForm(request.GET)
    if not table.is_valid():
        raise PlainError(" ".join(str(e) for errors in table.errors.values() for e in errors))
    layout = table.layout(form)
    if form == "csv" and layout.delimiter == "\t":
        ending = ".tsv"
    middle = "" if form in ("jsonl", "json", "csv", "tsv", "xlsx", "parquet") else f"-{form}"
    content_type = example_export.TYPES[ending]
    if ending in (".csv", ".tsv"):
        content_type += f"; charset={layout.encoding.removesuffix('-sig')}"
    return download(
        request,
        _pieces(form, path, layout),
        content_type=content_type,
        name=f"examples-version-{found.number}{middle}{ending}",
    )


def _pieces(form: str, path: Path, layout: example_export.TableLayout) -> Generator[bytes]:
    rows = rows_in(path)
    if form == "jsonl":
        return file_chunks(path)
    if form in ("csv", "tsv"):
        return example_export.table_pieces(rows, layout)
    if form == "xlsx":
        example_export.require_excel(rows)
    if form in ("xlsx", "parquet"):
        return _child_output(form, path)
    return example_export.json_pieces(form, rows)


def _child_output(form: str, path: Path) -> Generator[bytes]:
    """The output of a child process (worker/dataset_export.py). If it fails, the response is
    aborted, so a truncated file never looks complete."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.dataset_export", form, str(path)],
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        while block := process.stdout.read(BLOCK):
            yield block
        if process.wait():
            raise OSError(f"writing {form} ended with status {process.returncode}")
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
