"""A version as a file, in every format that comes in; and what a check found, as a table."""

import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404

from finetune_app.accounts.models import Role
from finetune_app.core.downloads import BLOCK, download, pieces_of
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.core.requests import HttpRequest
from finetune_app.datasets import exporting
from finetune_app.datasets.finding_rows import listed_in
from finetune_app.datasets.forms import TableForm
from finetune_app.datasets.models import Example, Finding, Version
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

SOME = 20_000  # rows of one query
FOUND = ("pk", "number", "split", "source", "messages")


@goal_page(Role.VIEWER, "GET")
def version(request: HttpRequest, goal: Goal, number: int, form: str) -> HttpResponseBase:
    """`form` is a name of exporting.FORMS; a table's layout comes in the query."""
    found = get_object_or_404(Version, dataset__goal=goal, number=number)
    path = local_path(found.stored_name)
    if form not in exporting.FORMATS or not path.exists():
        raise Http404("there is no such file")
    ending = exporting.FORMATS[form]
    table = TableForm(request.GET)
    if not table.is_valid():
        raise PlainError(" ".join(str(e) for errors in table.errors.values() for e in errors))
    layout = table.layout(form)
    if form == "csv" and layout.delimiter == "\t":
        ending = ".tsv"
    middle = "" if form in ("jsonl", "json", "csv", "tsv", "xlsx", "parquet") else f"-{form}"
    content_type = exporting.TYPES[ending]
    if ending in (".csv", ".tsv"):
        content_type += f"; charset={layout.encoding.removesuffix('-sig')}"
    return download(
        request,
        _pieces(form, path, layout),
        content_type=content_type,
        name=f"examples-version-{found.number}{middle}{ending}",
    )


@goal_page(Role.VIEWER, "GET")
def found(request: HttpRequest, goal: Goal, check_name: str) -> HttpResponseBase:
    """Every row that one check found, as a table, as the rows are now."""
    finding = get_object_or_404(Finding.objects.light(), dataset__goal=goal, check_name=check_name)
    pieces = exporting.table_pieces(rows_of(finding), exporting.Layout())
    return download(
        request,
        pieces,
        content_type="text/csv; charset=utf-8",
        name=f"{finding.check_name.replace('_', '-')}.csv",
    )


def rows_of(finding: Finding) -> exporting.Rows:
    """In the order of their keys, some at a time: a finding may have a million."""

    def rows() -> Iterator[exporting.Row]:
        there = Example.objects.kept().filter(pk__in=listed_in(finding.pk)).order_by("pk")
        at = 0
        while some := list(there.filter(pk__gt=at).values_list(*FOUND)[:SOME]):
            at = some[-1][0]
            for _pk, number, split, source, messages in some:
                yield {
                    "id": number,
                    "split": split,
                    "source": source,
                    "messages": messages or [{"role": "user", "content": ""}],
                }

    return rows


def _pieces(form: str, path: Path, layout: exporting.Layout) -> Generator[bytes]:
    rows = exporting.rows_in(path)
    if form == "jsonl":
        return pieces_of(path)
    if form in ("csv", "tsv"):
        return exporting.table_pieces(rows, layout)
    if form == "xlsx":
        exporting.require_excel(exporting.facts_of(rows))
    if form in ("xlsx", "parquet"):
        return _written_elsewhere(form, path)
    return exporting.json_pieces(form, rows)


def _written_elsewhere(form: str, path: Path) -> Generator[bytes]:
    """By a process of its own (worker/dataset_export.py). A download that breaks off says so to the
    browser: it never ends early and looks whole."""
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
